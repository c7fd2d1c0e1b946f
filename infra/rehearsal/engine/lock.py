"""One writer per stack. The lock of a process that is gone is taken over without a word.

A process is known by boot id, pid and start time: neither a reboot nor a reused pid looks like a live owner.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infra.rehearsal.engine.errors import EngineError
from infra.rehearsal.engine.resource import now
from infra.rehearsal.engine.state import StackFiles, write_atomically

START_TIME_FIELD = 19
"""Of /proc/<pid>/stat, counted after the command's closing parenthesis (proc(5): field 22 in all)."""


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _started(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[START_TIME_FIELD]
    except (OSError, IndexError):
        return ""


def alive(owner: dict[str, Any]) -> bool:
    """Whether the process that wrote the lock still runs. A lock from another host counts as alive."""
    if owner.get("hostname") != socket.gethostname():
        return True
    if owner.get("bootId") != _boot():
        return False
    return bool(owner.get("started")) and _started(int(owner["pid"])) == owner["started"]


def owners(files: StackFiles) -> list[dict[str, Any]]:
    """Who is at work on the stack. Locks of processes that are gone are taken away on the way."""
    found = []
    for path in sorted(files.locks.glob("*.json")):
        with contextlib.suppress(OSError, ValueError):
            owner = json.loads(path.read_text())
            if alive(owner):
                found.append(owner)
            else:
                path.unlink(missing_ok=True)
    return found


@contextlib.contextmanager
def held(files: StackFiles) -> Iterator[None]:
    """Hold the stack's lock; raises `EngineError` in the words of a concurrent update."""
    files.locks.mkdir(parents=True, exist_ok=True)
    mine = files.locks / f"{uuid.uuid4()}.json"
    with _guard(files):
        if live := owners(files):
            pids = ", ".join(f"pid {owner['pid']} since {owner['timestamp']}" for owner in live)
            raise EngineError(
                f"the stack is currently locked by {len(live)} lock(s) in {files.locks}: {pids}. "
                "Wait for the other process to end"
            )
        owner = {"pid": os.getpid(), "uid": os.getuid(), "hostname": socket.gethostname()}
        owner |= {"timestamp": now(), "bootId": _boot(), "started": _started(os.getpid())}
        write_atomically(mine, json.dumps(owner))
    try:
        yield
    finally:
        mine.unlink(missing_ok=True)


@contextlib.contextmanager
def _guard(files: StackFiles) -> Iterator[None]:
    """Makes look-then-take one step between processes; the kernel drops it with the process."""
    with (files.locks / ".guard").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
