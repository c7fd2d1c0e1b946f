"""Entries to a tar whose bytes depend on nothing but the entries: no clock, no owner, no order, no host.

GNU format: long names and sizes without the numbers that a pax header adds. Times are SOURCE_DATE_EPOCH's default, 0.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterable

from modelpack.errors import EcomdeployError
from modelpack.image.tree import Entry, complete

BLOCK = 1 << 20
END = b"\0" * 1024
TYPES = {"file": tarfile.REGTYPE, "folder": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}


def write(
    entries: Iterable[Entry], sink: Callable[[bytes], object], seen: Callable[[Entry, bytes], object]
) -> None:
    """Write the tar to `sink` in pieces; `seen(entry, piece)` is told of every piece of a file's content.

    Raises EcomdeployError when a file's length is not what its entry said (it changed while it was read).
    """
    for entry in complete(entries):
        sink(header(entry))
        if entry.kind == "file":
            _content(entry, sink, seen)
    sink(END)


def header(entry: Entry) -> bytes:
    """The entry's tar header, with a long-name record before it where it needs one."""
    info = tarfile.TarInfo(f"{entry.path}/" if entry.kind == "folder" else entry.path)
    info.type = TYPES[entry.kind]
    info.mode = entry.mode
    info.size = entry.size
    info.linkname = entry.target
    info.mtime = 0
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _content(entry: Entry, sink: Callable[[bytes], object], seen: Callable[[Entry, bytes], object]) -> None:
    written = 0
    with entry.open() as file:
        while piece := file.read(BLOCK):
            sink(piece)
            seen(entry, piece)
            written += len(piece)
    if written != entry.size:
        raise EcomdeployError(f"{entry.path} changed while it was packed: {entry.size} bytes, then {written}")
    sink(b"\0" * (-written % tarfile.BLOCKSIZE))
