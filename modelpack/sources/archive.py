"""Zip archives from strangers: taken only in the one form that no two readers see differently, and then written anew.

What is refused: names that leave the folder, come twice or differ by case only, links, encryption, members that unpack
to far more than they take (Fifield, "A better zip bomb", WOOT 2019), archives in archives; and any byte of the file
that is not one of: the members one after another, the directory, one end record (with zip64's two before it). Readers
differ in which of two directories they believe (CVE-2025-8291), whether they look at local headers, where a name ends.
What a foreign library loads is `rewrite`'s file, made of the very bytes that were checked.
"""

from __future__ import annotations

import lzma
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from modelpack.errors import BadInput
from modelpack.home import name_file
from modelpack.sources.limits import LARGEST

MOST_MEMBERS = 100_000
MOST_RATIO = 200
SMALL = 1_000_000
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
NESTED = (b"PK\x03\x04", b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ")
LOCAL, END, END64, LOCATOR64, DESCRIPTOR = (
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"PK\x06\x06",
    b"PK\x06\x07",
    b"PK\x07\x08",
)
LOCAL_BYTES, ENTRY_BYTES, END_BYTES, END64_BYTES, LOCATOR64_BYTES = 30, 46, 22, 56, 20
DESCRIBED_LATER = 1 << 3
CHUNK = 1 << 20
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    struct.error,
)
"""What zipfile raises for a damaged or foreign archive, at its opening and while a member is read."""


@contextmanager
def open_archive(file: IO[bytes], where: Path) -> Iterator[zipfile.ZipFile]:
    """The archive, checked. Raises BadInput; errors of zipfile while reading become BadInput too."""
    try:
        with zipfile.ZipFile(file) as archive:
            check(archive, where)
            check_layout(file, archive, where)
            yield archive
    except DAMAGED as error:
        raise BadInput(f"damaged zip archive: {error}", where=str(where)) from error


def check(archive: zipfile.ZipFile, where: Path) -> None:
    """Raises BadInput for what the directory says and may not, but for nested archives: see `member`."""
    members = archive.infolist()
    if len(members) > MOST_MEMBERS:
        raise BadInput(f"an archive of more than {MOST_MEMBERS:,} members is refused", where=str(where))
    seen: set[str] = set()
    for one in members:
        if problem := wrong(one, seen):
            raise BadInput(f"{problem}: {one.filename!r}", where=str(where))
        seen.add(fold(one.filename))
    if sum(one.file_size for one in members) > LARGEST:
        raise BadInput(f"unpacked it would be larger than {LARGEST / 1e9:.0f} GB", where=str(where))


def wrong(one: zipfile.ZipInfo, seen: set[str]) -> str | None:
    """What is wrong with a member, in words."""
    path = PurePosixPath(one.filename)
    outside = path.is_absolute() or ".." in path.parts or "\\" in one.filename or "\0" in one.orig_filename
    checks = {
        "a name outside the archive is refused": outside or not one.filename or one.filename.endswith("/"),
        "a name that comes twice, or differs by case only, is refused": fold(one.filename) in seen,
        "links are refused": stat.S_ISLNK(one.external_attr >> 16),
        "encrypted members are refused": bool(one.flag_bits & 0x2041),
        "unknown compression is refused": one.compress_type not in METHODS,
        "a member with a size that does not fit is refused": one.compress_type == zipfile.ZIP_STORED
        and one.file_size != one.compress_size,
        "it unpacks to too much": one.file_size > max(SMALL, MOST_RATIO * one.compress_size),
    }
    return next((words for words, found in checks.items() if found), None)


def fold(name: str) -> str:
    """A name as the most generous reader compares it."""
    return unicodedata.normalize("NFKC", name).casefold()


def check_layout(file: IO[bytes], archive: zipfile.ZipFile, where: Path) -> None:
    """Every byte of the file has one meaning: members without gaps, directory, end. Raises BadInput."""
    size = file.seek(0, 2)
    directory, begin = archive.start_dir, 0
    if read_at(file, size - END_BYTES, 4) != END or archive.comment:
        raise BadInput("bytes after the archive's end are refused", where=str(where))
    length, said, comment = struct.unpack("<2LH", read_at(file, size - END_BYTES + 12, 10))
    end = size - END_BYTES
    if read_at(file, end - LOCATOR64_BYTES, 4) == LOCATOR64:
        end -= LOCATOR64_BYTES + END64_BYTES
        (place,) = struct.unpack("<Q", read_at(file, end + END64_BYTES + 8, 8))
        record = struct.unpack("<4sQ2H2L4Q", read_at(file, end, END64_BYTES))
        if place != end or record[0] != END64 or record[1] != END64_BYTES - 12:
            raise BadInput("a second or a misplaced zip64 end record is refused", where=str(where))
        length, said = record[8:]
    if comment or directory != said or directory + length != end:
        raise BadInput("bytes between the archive's directory and its end are refused", where=str(where))
    if sum(map(entry_bytes, archive.infolist())) != length:
        raise BadInput("the archive's directory holds more than its members", where=str(where))
    for one in sorted(archive.infolist(), key=lambda one: one.header_offset):
        if one.header_offset != begin:
            raise BadInput(
                f"members of the archive overlap or leave gaps: {one.filename!r}", where=str(where)
            )
        begin = end_of(file, one, where)
    if begin != directory:
        raise BadInput("members of the archive overlap or leave gaps: its directory", where=str(where))


def entry_bytes(one: zipfile.ZipInfo) -> int:
    """How long a member's entry in the directory is."""
    return ENTRY_BYTES + len(one.orig_filename.encode(coding(one))) + len(one.extra) + len(one.comment)


def end_of(file: IO[bytes], one: zipfile.ZipInfo, where: Path) -> int:
    """Where a member's bytes end. Raises BadInput when its local header is not what the directory says."""
    header = struct.unpack("<4s5H3L2H", read_at(file, one.header_offset, LOCAL_BYTES))
    name = read_at(file, one.header_offset + LOCAL_BYTES, header[9])
    later = bool(one.flag_bits & DESCRIBED_LATER)
    sizes = header[7:9] == (one.compress_size, one.file_size) or 0xFFFFFFFF in header[7:9] or later
    same = name == one.orig_filename.encode(coding(one)) and header[3] == one.compress_type and sizes
    if header[0] != LOCAL or header[2] != one.flag_bits or not same:
        raise BadInput(f"a member is described in two ways: {one.filename!r}", where=str(where))
    end: int = one.header_offset + LOCAL_BYTES + header[9] + header[10] + one.compress_size
    if not later:
        return end
    signed = 4 if read_at(file, end, 4) == DESCRIPTOR else 0
    wide = 8 if one.compress_size > 0xFFFFFFFE or one.file_size > 0xFFFFFFFE else 4
    kind = "<L2Q" if wide == 8 else "<3L"
    crc, *told = struct.unpack(kind, read_at(file, end + signed, 4 + 2 * wide))
    if crc != one.CRC or told != [one.compress_size, one.file_size]:
        raise BadInput(f"a member is described in two ways: {one.filename!r}", where=str(where))
    return end + signed + 4 + 2 * wide


def coding(one: zipfile.ZipInfo) -> str:
    """How the archive writes a member's name."""
    return "utf-8" if one.flag_bits & 0x800 else "cp437"


def read_at(file: IO[bytes], place: int, count: int) -> bytes:
    """So many bytes at a place; fewer at the file's borders."""
    if place < 0:
        return b""
    file.seek(place)
    return file.read(count)


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


def rewrite(archive: zipfile.ZipFile, members: Mapping[str, str | bytes], target: Path) -> Path:
    """A fresh archive at `target`: new name -> a checked member's name, whose bytes are copied, or the bytes."""
    with name_file(target), zipfile.ZipFile(target, "w") as fresh:
        for name, content in members.items():
            if isinstance(content, bytes):
                fresh.writestr(name, content)
                continue
            with archive.open(content) as source, fresh.open(name, "w", force_zip64=True) as copy:
                while chunk := source.read(CHUNK):
                    copy.write(chunk)
    return target
