"""Child processes that die with the daemon, and are found again when it was killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.rehearsal.cloud.addresses import Identity
from infra.rehearsal.cloud.own_files import write_atomically
from infra.rehearsal.cloud.servers.isolation import LAUNCHER

DRAIN_SECONDS = 12
"""A model server drains within 10 s."""


@dataclass(frozen=True)
class Child:
    """A started process (leader of its own group) and where its output goes."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def status(self) -> int | None:
        """Exit status, None while it runs."""
        return self.process.poll()


class Supervisor:
    """Starts children from one thread that lives as long as the daemon.

    The kernel ties "tell me when my parent dies" to the *thread* that made the child (man 2 prctl,
    PR_SET_PDEATHSIG): a child started from a short-lived thread would be killed when that thread ends.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._spawner = ThreadPoolExecutor(1, thread_name_prefix="spawn")
        self._lock = threading.Lock()

    def spawn(self, identifier: str, plan: Mapping[str, Any], log: Path) -> Child:
        """Start `launch.py` with the plan; its output is appended to `log`. Raises OSError."""
        return self._spawner.submit(self._spawn, identifier, plan, log).result()

    def _spawn(self, identifier: str, plan: Mapping[str, Any], log: Path) -> Child:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                LAUNCHER,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={},
            )
        self._keep(identifier, process.pid)
        assert process.stdin is not None, "asked for above"
        try:
            process.stdin.write(json.dumps({**plan, "parent": os.getpid()}).encode())
            process.stdin.close()
        except BrokenPipeError:
            pass  # it ended already; its status tells
        return Child(process, log)

    def stop(self, identifier: str, child: Child, seconds: float = DRAIN_SECONDS) -> None:
        """SIGTERM, then SIGKILL to the whole group after `seconds`."""
        if child.status is None:
            _signal_group(child.process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(seconds)
        # also when the leader has ended: its group may hold others
        _signal_group(child.process.pid, signal.SIGKILL)
        child.process.wait(10)
        self.forget(identifier)

    def forget(self, identifier: str) -> None:
        (self._folder / f"{identifier}.json").unlink(missing_ok=True)

    def sweep(self) -> tuple[str, ...]:
        """Kill what a killed daemon left behind; returns the identifiers of all that were recorded."""
        records = sorted(self._folder.glob("*.json")) if self._folder.is_dir() else []
        for record in records:
            identity = _identity(record)
            if identity and identity.alive:
                _signal_group(identity.pid, signal.SIGKILL)
                _wait_gone(identity)
            record.unlink(missing_ok=True)
        return tuple(record.stem for record in records)

    def close(self) -> None:
        self._spawner.shutdown()

    def _keep(self, identifier: str, pid: int) -> None:
        identity = Identity.of(pid)
        if identity:
            record = {"pid": identity.pid, "started": identity.started}
            write_atomically(self._folder / f"{identifier}.json", json.dumps(record).encode())


def _identity(record: Path) -> Identity | None:
    try:
        return Identity(**json.loads(record.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _wait_gone(identity: Identity, seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while identity.alive and time.monotonic() < deadline:
        time.sleep(0.02)
