"""One writer per stack, by a lock that the kernel drops with its process: after a kill nothing is left to take.

Beside it lies what other tools and people look at, Pulumi's own lock file (pkg/backend/diy/lock.go). The CLI reads
every file of that folder as one, so our kernel lock lies elsewhere. A file that another tool left there is respected,
unless its owner was a process of this machine and is gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from infra.lock_owner import read_owner
from infra.rehearsal.engine.errors import EngineError
from infra.rehearsal.engine.resource import now
from infra.rehearsal.engine.state.checkpoint import StackFiles
from modelpack.home import write_atomically

OURS: Final = "embedded-engine.json"
BEFORE: Final = ".guard"
"""Where the kernel lock lay in earlier versions: the CLI stops at it."""


@contextlib.contextmanager
def hold(files: StackFiles) -> Iterator[None]:
    """Hold the stack's lock; raises `EngineError` in the words of a concurrent update."""
    files.locks.mkdir(parents=True, exist_ok=True)
    files.guard.parent.mkdir(parents=True, exist_ok=True)
    mine = files.locks / OURS
    with files.guard.open("w") as guard:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise refusal(_describe(mine), "interrupt it there (Ctrl-C), or wait") from None
        (files.locks / BEFORE).unlink(missing_ok=True)
        write_atomically(mine, json.dumps(_myself()).encode())
        try:
            _respect_others(files, mine)
            yield
        finally:
            mine.unlink(missing_ok=True)


def _respect_others(files: StackFiles, mine: Path) -> None:
    """Only now that our own file is there to be seen: so of two that begin at once at least one gives way."""
    others = [path for path in sorted(files.locks.glob("*.json")) if path != mine]
    held = [path for path in others if not _lift_dead(path)]
    if held:
        raise refusal(
            "; ".join(f"another tool ({path.name}): {_describe(path)}" for path in held),
            "wait for it; once it is certain that nobody works there, type: "
            f"PULUMI_BACKEND_URL={files.root.as_uri()} pulumi cancel --yes --stack "
            f"organization/{files.project}/{files.stack}   (or remove {' '.join(map(str, held))})",
        )


def find_worker(files: StackFiles) -> str:
    """Who is at work on the stack now, "" for nobody that can be seen."""
    owners = ((path, read_owner(_text(path))) for path in sorted(files.locks.glob("*.json")))
    return "; ".join(_describe(path) for path, owner in owners if owner is not None and not owner.is_dead())


def _lift_dead(path: Path) -> bool:
    owner = read_owner(_text(path))
    if owner is None or not owner.is_dead():
        return not path.exists()
    path.unlink(missing_ok=True)
    path.with_name(path.name + ".attrs").unlink(missing_ok=True)
    return True


def refusal(whom: str, what: str) -> EngineError:
    """The refusal, beginning as the CLI's own, by which the Automation API knows it."""
    return EngineError(f"the stack is currently locked by {whom}: {what}")


def _myself() -> dict[str, object]:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return {"pid": os.getpid(), "username": user, "hostname": socket.gethostname(), "timestamp": now()}


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def _describe(path: Path) -> str:
    return str(read_owner(_text(path)) or "a process that does not say who it is")
