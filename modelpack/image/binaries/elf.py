"""Which shared libraries the programs of an image ask for, and whether the image has them: read, never run.

Format: System V ABI, "Program Loading and Dynamic Linking"; search order: ld.so(8).
"""

from __future__ import annotations

import posixpath
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

MAGIC = b"\x7fELF"
LIBRARY_FOLDERS = (
    "lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu",
    "lib64",
    "usr/lib64",
    "lib",
    "usr/lib",
    "usr/local/lib",
    "usr/local/lib/x86_64-linux-gnu",
)
PT_LOAD, PT_DYNAMIC = 1, 2
DT_NEEDED, DT_STRTAB, DT_STRSZ, DT_RPATH, DT_RUNPATH = 1, 5, 10, 15, 29
MOST_LINKS = 40


@dataclass(frozen=True)
class Needs:
    """What one ELF file asks of its loader: sonames, and the folders it names itself (may hold $ORIGIN)."""

    libraries: tuple[str, ...]
    search: tuple[str, ...]


@dataclass(frozen=True)
class LayerFacts:
    """What one layer holds: sha256 hex of its files, its links, what its ELF files need, what it hides below."""

    files: Mapping[str, str]
    links: Mapping[str, str] = field(default_factory=dict)
    needs: Mapping[str, Needs] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    private: tuple[str, ...] = ()


def needs(file: IO[bytes]) -> Needs | None:
    """Read the dynamic section of a seekable 64-bit little-endian ELF; None for any other file or a static one."""
    head = file.read(64)
    if len(head) < 64 or head[:6] != MAGIC + b"\x02\x01":
        return None
    try:
        start, size, count = struct.unpack_from("<Q", head, 32)[0], *struct.unpack_from("<HH", head, 54)
        file.seek(start)
        table = file.read(size * count)
        segments = [struct.unpack_from("<IIQQQQQQ", table, size * number) for number in range(count)]
        return _dynamic(file, segments)
    except struct.error:
        return None


def _dynamic(file: IO[bytes], segments: Sequence[tuple[int, ...]]) -> Needs | None:
    dynamic = next((segment for segment in segments if segment[0] == PT_DYNAMIC), None)
    if dynamic is None:
        return None
    file.seek(dynamic[2])
    section = file.read(dynamic[5])
    pairs = [struct.unpack_from("<QQ", section, at) for at in range(0, len(section) - 15, 16)]
    if (0, 0) in pairs:
        pairs = pairs[: pairs.index((0, 0))]
    once = dict(pairs)
    if DT_STRTAB not in once or DT_STRSZ not in once:
        return None
    address = once[DT_STRTAB]
    # the table is named by its address in memory; the segment that loads it gives its place in the file
    place = next(
        (s[2] + address - s[3] for s in segments if s[0] == PT_LOAD and s[3] <= address < s[3] + s[5]), None
    )
    if place is None:
        return None
    file.seek(place)
    strings = file.read(once[DT_STRSZ])

    def text(offset: int) -> str:
        return strings[offset : strings.index(b"\0", offset)].decode("utf-8", "replace")

    search = (
        text(once[DT_RUNPATH]) if DT_RUNPATH in once else text(once[DT_RPATH]) if DT_RPATH in once else ""
    )
    return Needs(
        tuple(text(value) for tag, value in pairs if tag == DT_NEEDED),
        tuple(part for part in search.split(":") if part),
    )


def missing_libraries(
    layers: Sequence[LayerFacts],
    allowed: Iterable[str] = (),
    folders: Sequence[str] = (),
    opened: Iterable[str] = (),
) -> tuple[str, ...]:
    """ "<soname> (needed by <path>)" for every library that no layer has where its asker's loader would look.

    `folders` are those of LD_LIBRARY_PATH, which come after a file's own; `opened` are sonames that some program
    opens by name, which must be in them or in the usual folders.
    """
    files, links, asked = merge(layers)
    allow, usual = frozenset(allowed), (*(folder.strip("/") for folder in folders), *LIBRARY_FOLDERS)
    memory: dict[tuple[str, str], bool] = {}

    def found(folder: str, name: str) -> bool:
        key = (folder, name)
        if key not in memory:
            memory[key] = resolve(f"{folder}/{name}", links) in files
        return memory[key]

    # a soname that another loaded file carries satisfies later askers only by luck of load order: not counted
    lacking = [
        f"{library} (needed by {path})"
        for path, need in sorted(asked.items())
        for library in need.libraries
        if library not in allow
        and not any(found(folder, library) for folder in (*_folders(path, need), *usual))
    ]
    by_name = [
        f"{library} (opened by name)"
        for library in opened
        if library not in allow and not any(found(folder, library) for folder in usual)
    ]
    return (*lacking, *by_name)


def _folders(path: str, need: Needs) -> list[str]:
    origin = posixpath.dirname(path)
    named = [part.replace("${ORIGIN}", "$ORIGIN").replace("$ORIGIN", f"/{origin}") for part in need.search]
    return [posixpath.normpath(part).lstrip("/") for part in named]


def merge(layers: Sequence[LayerFacts]) -> tuple[dict[str, str], dict[str, str], dict[str, Needs]]:
    """Files, links and needs as they stand when all layers lie over each other."""
    files: dict[str, str] = {}
    links: dict[str, str] = {}
    asked: dict[str, Needs] = {}
    for layer in layers:
        for hidden in layer.hidden:
            for table in (files, links, asked):
                for path in [path for path in table if path == hidden or path.startswith(f"{hidden}/")]:
                    del table[path]
        for path in (*layer.files, *layer.links):
            files.pop(path, None)
            links.pop(path, None)
            asked.pop(path, None)
        files.update(layer.files)
        links.update(layer.links)
        asked.update(layer.needs)
    return files, links, asked


def resolve(path: str, links: Mapping[str, str]) -> str:
    """Follow the image's links in every component; "" when they never end."""
    waiting = path.split("/")[::-1]
    here: list[str] = []
    for _ in range(MOST_LINKS * 20):
        if not waiting:
            return "/".join(here)
        part = waiting.pop()
        if part in ("", "."):
            continue
        if part == "..":
            here = here[:-1]
            continue
        target = links.get("/".join([*here, part]))
        if target is None:
            here.append(part)
            continue
        here = [] if target.startswith("/") else here
        waiting += target.split("/")[::-1]
    return ""
