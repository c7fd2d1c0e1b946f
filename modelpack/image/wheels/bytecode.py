"""Compiled Python files, made by the image's own interpreter, so that they depend on the locked packages only.

Halves the server's start. The interpreter runs through its own loader from a temporary folder: no root, no chroot,
nothing of this machine's Python. The files are unchecked-hash .pyc (PEP 552): no time in them, no check at import;
the file manifest covers them. Marshal format 2 has no reference flags, which would depend on what else the process
holds.
"""

from __future__ import annotations

import os
import posixpath
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from types import TracebackType

from modelpack.errors import EcomdeployError
from modelpack.image import tree
from modelpack.image.tree import Entry

LOADER = "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
INTERPRETER = "usr/bin/python3"
SECONDS = 600
TESTS = frozenset({"tests", "test"})
LENGTH = struct.Struct("<I")
PROGRAM = """
import importlib.util, marshal, struct, sys
read, write = sys.stdin.buffer.read, sys.stdout.buffer.write
def take():
    head = read(4)
    return read(struct.unpack("<I", head)[0]) if head else None
def give(data):
    write(struct.pack("<I", len(data)) + data)
give(sys.implementation.cache_tag.encode())
while (name := take()) is not None:
    source = take()
    try:
        code = compile(source, name.decode(), "exec", dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError):
        give(b"")
        continue
    flags = struct.pack("<I", 1)
    give(importlib.util.MAGIC_NUMBER + flags + importlib.util.source_hash(source) + marshal.dumps(code, 2))
"""


class Compiler:
    """The image's interpreter, unpacked when first used: to `kept`, where a later one finds it, or else gone with the
    `with` block."""

    def __init__(self, base: Callable[[], Iterable[Entry]], kept: Path | None = None) -> None:
        self.base = base
        self.kept = kept
        self.lock = Lock()
        self.folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Compiler:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.folder is not None:
            self.folder.cleanup()

    def with_bytecode(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """The entries, and a .pyc for every .py that compiles. Raises EcomdeployError when the interpreter fails."""
        given = tuple(entries)
        yield from given
        sources = sorted(filter(_worth_it, given), key=lambda entry: entry.path)
        if sources:
            tag, *compiled = self._run(sources)
            for entry, data in zip(sources, compiled, strict=True):
                if data:
                    yield tree.of_bytes(_cached_path(entry.path, tag.decode()), data)

    def _run(self, sources: Sequence[Entry]) -> list[bytes]:
        root = self._root()
        loader, libraries, python = (str(root / path) for path in (LOADER, LIBRARIES, INTERPRETER))
        command = [loader, "--library-path", libraries, python, "-S", "-s", "-B", "-P", "-c", PROGRAM]
        asked = b"".join(_frame(f"/{entry.path}".encode()) + _frame(_read(entry)) for entry in sources)
        environment = {"PYTHONHOME": str(root / "usr"), "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}
        try:
            done = subprocess.run(
                command,
                input=asked,
                env=environment,
                cwd=root,
                capture_output=True,
                timeout=SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as problem:
            raise _cannot_run(str(problem)) from problem
        if done.returncode:
            raise _cannot_run(
                done.stderr.decode("utf-8", "replace").strip()[-500:] or f"exit {done.returncode}"
            )
        answers = list(_unframe(done.stdout))
        if len(answers) != len(sources) + 1:
            raise _cannot_run(f"{len(answers)} answers to {len(sources)} files")
        return answers

    def _root(self) -> Path:
        with self.lock:
            if self.kept is not None:
                if not self.kept.is_dir():
                    keep(self.base(), self.kept)
                return self.kept
            if self.folder is None:
                self.folder = tempfile.TemporaryDirectory(prefix="ecomdeploy-python-")
                materialise(self.base(), Path(self.folder.name))
            return Path(self.folder.name)


def keep(entries: Iterable[Entry], root: Path) -> None:
    """Write trusted entries below `root`, which is there whole or not at all: others may do the same beside us."""
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=f".{root.name}-") as work:
        made = Path(work) / root.name
        made.mkdir()
        materialise(entries, made)
        try:
            made.rename(root)
        except OSError:
            if not root.is_dir():  # else another was first
                raise


def materialise(entries: Iterable[Entry], root: Path) -> None:
    """Write trusted entries (our own base) as files below `root`."""
    for entry in tree.complete(entries):
        path = root / entry.path
        if entry.kind == "folder":
            path.mkdir(exist_ok=True)
        elif entry.kind == "link":
            # absolute targets would lead to this machine's files
            up = "../" * entry.path.count("/")
            path.symlink_to(
                f"{up}{entry.target.lstrip('/')}" if entry.target.startswith("/") else entry.target
            )
        else:
            path.write_bytes(_read(entry))
            os.chmod(path, entry.mode)


def _worth_it(entry: Entry) -> bool:
    """Python sources, but for tests, which no server imports."""
    return (
        entry.kind == "file" and entry.path.endswith(".py") and not TESTS.intersection(entry.path.split("/"))
    )


def _cached_path(path: str, tag: str) -> str:
    folder, name = posixpath.split(path)
    return f"{folder}/__pycache__/{name.removesuffix('.py')}.{tag}.pyc"


def _read(entry: Entry) -> bytes:
    with entry.open() as file:
        return file.read()


def _frame(data: bytes) -> bytes:
    return LENGTH.pack(len(data)) + data


def _unframe(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        (length,) = LENGTH.unpack_from(data, at)
        yield data[at + 4 : at + 4 + length]
        at += 4 + length


def _cannot_run(why: str) -> EcomdeployError:
    hint = "image building needs Linux on x86-64"
    return EcomdeployError(f"the image's own Python does not run on this machine: {why}", hint=hint)
