"""Processes that the local cluster is made of: each kept running, found again after whoever kept it was killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from infra.rehearsal.cloud.addresses import Identity, is_released
from infra.rehearsal.cloud.own_files import read_own
from modelpack.home import write_atomically

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
"""Seconds before a process that ended is started again: doubled each time, up to this."""
STEADY_SECONDS = 20.0
"""One that ran as long is no longer held to be failing."""
LOOK_SECONDS = 0.2
"""How often one that is no child of ours is looked at."""
LARGEST_LOG = 16 * 2**20


@dataclass(frozen=True, kw_only=True)
class Program:
    """What is run: `port`, on 127.0.0.1, must be free for it to start; `seconds`: from SIGTERM to SIGKILL."""

    name: str
    command: tuple[str, ...]
    port: int
    environment: Mapping[str, str]
    seconds: float = 10.0


@dataclass(frozen=True)
class ProcessRecord:
    """A file that says which process a program is, so that a later keeper knows it for what it is."""

    path: Path

    def read(self) -> tuple[Identity, Sequence[str]] | None:
        """The process and its command, None when it has ended or nothing is written."""
        try:
            found = json.loads(read_own(self.path))
            identity = Identity(pid=found["pid"], started=found["started"])
            return (identity, found["command"]) if identity.alive else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def write(self, identity: Identity, command: Sequence[str]) -> None:
        data = json.dumps({**asdict(identity), "command": list(command)})
        write_atomically(self.path, data.encode(), private=True)


@dataclass
class Keeper:
    """Keeps one program running until it is stopped, from a thread of its own. `folder`: of records; `log`: of its
    output, appended. A process that an earlier keeper started goes on if its command is the same."""

    program: Program
    folder: Path
    log: Path
    starts: int = 0
    """How often it was started from here."""
    failures: int = 0
    """How often in a row it was started and soon ended."""
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def record(self) -> ProcessRecord:
        return ProcessRecord(self.folder / f"{self.program.name}.json")

    @property
    def identity(self) -> Identity | None:
        """The process now, None while there is none."""
        found = self.record.read()
        return found[0] if found else None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=f"keep {self.program.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it, and whatever it started in its group; returns when it has ended."""
        self._stopping.set()
        end(self.record, self.program.seconds)
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            began, before = time.monotonic(), self.starts
            if adopted := self._adopt():
                self._await(adopted)
            else:
                self._once()
            steady = time.monotonic() - began > STEADY_SECONDS
            self.failures = 0 if steady else self.failures + self.starts - before
            pause = FIRST_PAUSE if steady else pause
            self._stopping.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _adopt(self) -> Identity | None:
        """What an earlier keeper left running, if it is what is wanted now; else that is ended."""
        found = self.record.read()
        if found and list(found[1]) == list(self.program.command):
            return found[0]
        if found:
            end(self.record, self.program.seconds)
            return None
        # its keeper may have been killed before it had written which process it was
        left = search(self.program.command)
        if left:
            self.record.write(left, self.program.command)
        return left

    def _await(self, identity: Identity) -> None:
        while identity.alive and not self._stopping.is_set():
            self._stopping.wait(LOOK_SECONDS)

    def _once(self) -> None:
        """Start it and wait for its end."""
        # one that was killed holds its port until the kernel has taken its memory apart
        if not is_released(self.program.port, 10) or self._stopping.is_set():
            return
        self.log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        large = self.log.exists() and self.log.stat().st_size > LARGEST_LOG
        with self.log.open("wb" if large else "ab") as output:
            try:
                child = subprocess.Popen(
                    self.program.command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    cwd="/",
                    env=dict(self.program.environment),
                )
            except OSError as error:
                output.write(f"{self.program.command[0]} cannot be run: {error}\n".encode())
                return
        self.starts += 1
        if identity := Identity.of(child.pid):
            self.record.write(identity, self.program.command)
        if self._stopping.is_set():  # whoever stops us looked before there was anything to end
            end(self.record, self.program.seconds)
        child.wait()


def search(command: Sequence[str]) -> Identity | None:
    """A process of this user with exactly this command line."""
    wanted = b"".join(word.encode() + b"\0" for word in command)
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_uid == os.geteuid() and (folder / "cmdline").read_bytes() == wanted:
                return Identity.of(int(folder.name))
    return None


def end(record: ProcessRecord, seconds: float) -> None:
    """SIGTERM to the process of a record, after `seconds` SIGKILL to its group; returns when it has ended."""
    found = record.read()
    if found:
        for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 30.0)):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if number == signal.SIGTERM:
                    os.kill(found[0].pid, number)
                else:
                    os.killpg(found[0].pid, number)
            if _has_ended(found[0], patience):
                break
    record.path.unlink(missing_ok=True)


def end_all(folder: Path, names: Sequence[str], seconds: float) -> int:
    """End what an earlier keeper left, in this order; how many there were."""
    ended = 0
    for record in (ProcessRecord(folder / f"{name}.json") for name in names):
        ended += record.read() is not None
        end(record, seconds)
    return ended


def _has_ended(identity: Identity, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while identity.alive:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
