"""Child processes that end with the daemon, and are found again should they not."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.rehearsal.cloud.addresses import Identity
from infra.rehearsal.cloud.servers.host import DRAIN_SECONDS
from infra.rehearsal.cloud.servers.isolation import LAUNCHER
from modelpack.home import write_atomically

ANSWER_SECONDS = 10.0
"""How long a keeper may take for a connection: it gives up by itself before that."""


@dataclass(frozen=True)
class Child:
    """A model server's keeper (`launch.py`), where its output goes, and the way to it: a socket that ends both when it
    closes."""

    process: subprocess.Popen[bytes]
    log: Path
    control: socket.socket
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def status(self) -> int | None:
        """Exit status, None while it runs."""
        return self.process.poll()

    def connect(self, port: int) -> socket.socket:
        """A new connection to a port of the server's own network. Raises OSError."""
        with self._lock:
            number = str(next(self._numbers)).encode()
            self.control.settimeout(ANSWER_SECONDS)
            self.control.send(number + b" " + str(port).encode())
            while True:
                said, files, _, _ = socket.recv_fds(self.control, 512, 1)
                if not said:
                    raise ConnectionResetError("the model server has ended")
                answered, _, why = said.partition(b" ")
                if answered == number:
                    break
                for late in files:
                    os.close(late)
        if not files:
            raise ConnectionRefusedError(why.decode("utf-8", "replace"))
        made = socket.socket(fileno=files[0])
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made


class Supervisor:
    """`folder` keeps a small file for each child that runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def spawn(self, identifier: str, plan: Mapping[str, Any], log: Path) -> Child:
        """Start `launch.py` with the plan; its output is appended to `log`. Raises OSError."""
        log.parent.mkdir(parents=True, exist_ok=True)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, log.open("ab") as output:
            process = subprocess.Popen(
                LAUNCHER,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(theirs.fileno(),),
                cwd="/",
                env={},
            )
            self._keep(identifier, process.pid)
            assert process.stdin is not None, "asked for above"
            # it may have ended already; then its status tells
            with contextlib.suppress(BrokenPipeError), process.stdin:
                process.stdin.write(json.dumps({**plan, "control": theirs.fileno()}).encode())
        return Child(process, log, ours)

    def stop(self, identifier: str, child: Child, seconds: float = DRAIN_SECONDS) -> None:
        """SIGTERM; after `seconds` everything that it started is killed."""
        if child.status is None:
            child.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(seconds)
        child.control.close()
        try:
            child.process.wait(10)
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait(10)
        self.forget(identifier)

    def forget(self, identifier: str) -> None:
        (self._folder / f"{identifier}.json").unlink(missing_ok=True)

    def sweep(self) -> None:
        """Wait for what a killed daemon left behind to end by itself, and kill what does not."""
        records = sorted(self._folder.glob("*.json")) if self._folder.is_dir() else []
        left = [identity for record in records if (identity := _identity(record))]
        if not _await_end(left, 2):
            for identity in left:
                if identity.alive:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.killpg(identity.pid, signal.SIGKILL)
            _await_end(left, 5)
        for record in records:
            record.unlink(missing_ok=True)

    def _keep(self, identifier: str, pid: int) -> None:
        identity = Identity.of(pid)
        if identity:
            record = {"pid": identity.pid, "started": identity.started}
            write_atomically(self._folder / f"{identifier}.json", json.dumps(record).encode(), private=True)


def _identity(record: Path) -> Identity | None:
    try:
        return Identity(**json.loads(record.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _await_end(left: list[Identity], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(identity.alive for identity in left):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
