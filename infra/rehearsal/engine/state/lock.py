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
from typing import Final

from infra.rehearsal.engine.errors import EngineError
from infra.rehearsal.engine.resource import now
from infra.rehearsal.engine.state.checkpoint import StackFiles
from modelpack.home import write_atomically

OURS: Final = "embedded-engine.json"


@contextlib.contextmanager
def hold(files: StackFiles) -> Iterator[None]:
    """Hold the stack's lock; raises `EngineError` in the words of a concurrent update."""
    files.locks.mkdir(parents=True, exist_ok=True)
    mine = files.locks / OURS
    with (files.locks / ".guard").open("w") as guard:
        others = [f"another tool ({path})" for path in files.locks.glob("*.json") if path != mine]
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            others.append(_owner(mine))
        if others:
            raise EngineError(
                f"the stack is currently locked by {'; '.join(others)}: interrupt it there (Ctrl-C), or wait. "
                "If it is killed, the next command picks up where it stopped"
            )
        owner = {"pid": os.getpid(), "hostname": socket.gethostname(), "timestamp": now()}
        write_atomically(mine, json.dumps(owner).encode())
        try:
            yield
        finally:
            mine.unlink(missing_ok=True)


def _owner(path: Path) -> str:
    try:
        owner = json.loads(path.read_text())
    except (OSError, ValueError):
        return "a process that has just begun"
    return f"pid {owner['pid']} on {owner['hostname']} since {owner['timestamp']}"
