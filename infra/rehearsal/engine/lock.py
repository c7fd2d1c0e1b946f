"""One writer per stack, by a lock that the kernel drops with its process: after a kill nothing is left to take.

Beside it lies what other tools and people look at, Pulumi's own lock file (pkg/backend/diy/lock.go); one that
another tool has left there is respected.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from infra.rehearsal.engine.errors import EngineError
from infra.rehearsal.engine.resource import now
from infra.rehearsal.engine.state import StackFiles, write_atomically

OURS: Final = "embedded-engine.json"


@contextlib.contextmanager
def held(files: StackFiles) -> Iterator[None]:
    """Hold the stack's lock; raises `EngineError` in the words of a concurrent update."""
    mine = files.locks / OURS
    with _opened(files) as file:
        live = working(files, file)
        if live:
            raise EngineError(
                f"the stack is currently locked by {'; '.join(live)}. Wait until that has ended"
            )
        owner = {"pid": os.getpid(), "hostname": socket.gethostname(), "timestamp": now()}
        write_atomically(mine, json.dumps(owner))
        try:
            yield
        finally:
            mine.unlink(missing_ok=True)


def owners(files: StackFiles) -> list[str]:
    """Who is at work on the stack, in words."""
    with _opened(files) as file:
        return working(files, file)


def working(files: StackFiles, file: IO[str]) -> list[str]:
    """Takes the lock on `file` if nobody else is at work; says in words who is."""
    live = [f"another tool ({path})" for path in files.locks.glob("*.json") if path.name != OURS]
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with contextlib.suppress(OSError, ValueError):
            owner = json.loads((files.locks / OURS).read_text())
            return [f"pid {owner['pid']} on {owner['hostname']} since {owner['timestamp']}", *live]
        return ["a process that has just begun", *live]
    return live


def _opened(files: StackFiles) -> IO[str]:
    files.locks.mkdir(parents=True, exist_ok=True)
    return Path(files.locks, ".guard").open("w")
