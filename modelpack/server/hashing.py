"""Files hashed in processes of their own, from the first moment of a start.

Beside a thread that imports and loads, another one waits for the interpreter's lock at each of some thousand files, for
up to 5 ms. So processes hash, forked before anything else is there: they are small then, and no thread has begun.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

FILE_MANIFEST = "opt/ecomdeploy/files.json"
PIECE = 64 * 1024
"""Bytes that are read at once: few enough to lie in memory that is used again and again."""
MOST_PROCESSES = 3


@dataclass(frozen=True)
class HashedFiles:
    """What the processes find, by the descriptors of their pipes."""

    pipes: Mapping[int, int]
    """Process -> where its findings come out."""

    def take(self) -> dict[str, str]:
        """Path -> sha256 hex, "" for a file that cannot be read; waits for the processes. What one that failed should
        have hashed is not there. Once."""
        found: dict[str, str] = {}
        for process, pipe in self.pipes.items():
            with open(pipe, "rb") as findings:
                text = findings.read()
            if os.waitpid(process, 0)[1] == 0:
                found |= json.loads(text)
        return found


def begin(root: Path, processes: int | None = None, fork: Callable[[], int] = os.fork) -> HashedFiles:
    """Begin to hash what the file manifest below `root` lists; in one process for each further processor, at least one.
    Nothing is raised: who takes what was found looks for what is missing."""
    wanted = processes or min(max(len(os.sched_getaffinity(0)) - 1, 1), MOST_PROCESSES)
    pipes: dict[int, int] = {}
    for number in range(wanted):
        out, into = os.pipe()
        try:
            process = fork()
        except OSError:
            os.close(out)
            os.close(into)
            break
        if process == 0:
            status = 1
            try:
                os.close(out)
                _hash_share(root, number, wanted, into)
                status = 0
            finally:
                os._exit(status)
        os.close(into)
        pipes[process] = out
    return HashedFiles(pipes)


def measure(root: Path, paths: Iterable[str]) -> dict[str, str]:
    """Path -> sha256 hex, "" for a file that cannot be read."""
    found: dict[str, str] = {}
    for path in paths:
        try:
            found[path] = _digest(f"{root}/{path}")
        except OSError:
            found[path] = ""
    return found


def _hash_share(root: Path, number: int, of: int, into: int) -> None:
    found = measure(root, _deal(root, _read_listed(root))[number::of])
    with open(into, "w") as findings:
        json.dump(found, findings)


def _read_listed(root: Path) -> list[str]:
    manifest = json.loads((root / FILE_MANIFEST).read_bytes())
    lists = (json.loads((root / path).read_bytes()) for path in manifest["lists"])
    return [path for part in (manifest["files"], *lists) for path in part]


def _deal(root: Path, paths: Sequence[str]) -> list[str]:
    """The largest first, so that each gets as much."""
    sizes = dict.fromkeys(paths, 0)
    for path in paths:
        with suppress(OSError):
            sizes[path] = os.stat(f"{root}/{path}").st_size
    return sorted(paths, key=lambda path: (-sizes[path], path))


def _digest(path: str) -> str:
    # the parent needs this later than the first process does
    from hashlib import sha256

    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = sha256()
        while piece := os.read(descriptor, PIECE):
            found.update(piece)
    finally:
        os.close(descriptor)
    return found.hexdigest()
