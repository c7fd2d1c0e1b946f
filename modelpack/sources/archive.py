"""Zip archives from strangers: names, sizes and kinds of all members are checked before any is read.

What is refused: names that leave the folder or come twice, links, encryption, members that overlap or unpack to far
more than they take (Fifield, "A better zip bomb", WOOT 2019), archives in archives.
"""

from __future__ import annotations

import itertools
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from modelpack.errors import BadInput
from modelpack.sources.base import LARGEST

MOST_MEMBERS = 100_000
MOST_RATIO = 200
SMALL = 1_000_000
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
NESTED = (b"PK\x03\x04", b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ")


@contextmanager
def open_archive(file: Path | IO[bytes], where: Path) -> Iterator[zipfile.ZipFile]:
    """The archive, its directory checked. Raises BadInput; errors of zipfile while reading become BadInput too."""
    try:
        with zipfile.ZipFile(file) as archive:
            check(archive, where)
            yield archive
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError, ValueError) as error:
        raise BadInput(f"damaged zip archive: {error}", where=str(where)) from error


def check(archive: zipfile.ZipFile, where: Path) -> None:
    """Raises BadInput for what the module's docstring lists, but for nested archives: see `member`."""
    members = archive.infolist()
    if len(members) > MOST_MEMBERS:
        raise BadInput(f"an archive of more than {MOST_MEMBERS:,} members is refused", where=str(where))
    seen: set[str] = set()
    for one in members:
        if problem := wrong(one, seen):
            raise BadInput(f"{problem}: {one.filename!r}", where=str(where))
        seen.add(one.filename)
    if sum(one.file_size for one in members) > LARGEST:
        raise BadInput(f"unpacked it would be larger than {LARGEST / 1e9:.0f} GB", where=str(where))
    placed = sorted((one.header_offset, one.compress_size) for one in members)
    for (begin, size), (following, _) in itertools.pairwise(placed):
        if begin + size > following:
            raise BadInput("members of the archive overlap", where=str(where))


def wrong(one: zipfile.ZipInfo, seen: set[str]) -> str | None:
    """What is wrong with a member, in words."""
    path = PurePosixPath(one.filename)
    outside = path.is_absolute() or ".." in path.parts or "\\" in one.filename or "\0" in one.orig_filename
    checks = {
        "a name outside the archive is refused": outside or not one.filename,
        "a name that comes twice is refused": one.filename in seen,
        "links are refused": stat.S_ISLNK(one.external_attr >> 16),
        "encrypted members are refused": bool(one.flag_bits & 1),
        "unknown compression is refused": one.compress_type not in METHODS,
        "it unpacks to too much": one.file_size > max(SMALL, MOST_RATIO * one.compress_size),
    }
    return next((words for words, found in checks.items() if found), None)


def member(archive: zipfile.ZipFile, name: str, where: Path, most: int, nested: bool = False) -> bytes:
    """One member, at most `most` bytes. Raises BadInput when it is missing, larger, or itself an archive."""
    try:
        declared = archive.getinfo(name)
    except KeyError as error:
        raise BadInput(f"the archive has no {name!r}", where=str(where)) from error
    if declared.file_size > most:
        raise BadInput(f"{name!r} has {declared.file_size:,} bytes; at most {most:,}", where=str(where))
    with archive.open(declared) as file:
        data = file.read(most + 1)
    if len(data) != declared.file_size:
        raise BadInput(f"{name!r} has another size than the archive says", where=str(where))
    if not nested and data.startswith(NESTED):
        raise BadInput(f"an archive inside the archive is refused: {name!r}", where=str(where))
    return data
