"""Which shared libraries the programs of an image ask for, and whether it has them: read by pyelftools, never run.

Search order: ld.so(8).
"""

from __future__ import annotations

import posixpath
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from elftools.elf.elffile import ELFFile

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
PATHS = {"DT_RUNPATH": "runpath", "DT_RPATH": "rpath"}
"""Tags of the folders that a file names itself."""
IN_MEMORY, PIECE = 64 << 20, 1 << 20
MOST_LINKS = 40


@dataclass(frozen=True)
class LoaderNeeds:
    """What one ELF file asks of its loader: sonames, and the folders it names itself (may hold $ORIGIN)."""

    libraries: tuple[str, ...]
    search: tuple[str, ...]


@dataclass(frozen=True)
class LayerFacts:
    """What one layer holds: sha256 hex of its files, its links, what its ELF files need, what it hides below."""

    files: Mapping[str, str]
    links: Mapping[str, str] = field(default_factory=dict)
    needs: Mapping[str, LoaderNeeds] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    private: tuple[str, ...] = ()


@contextmanager
def parse(file: IO[bytes]) -> Iterator[ELFFile | None]:
    """A 64-bit little-endian ELF file; None for any other. From a copy: the parser goes back and forth, and a member of
    a wheel would be decompressed anew each time. Raises ValueError for what it meets in a damaged one, within as well.
    """
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    with SpooledTemporaryFile(IN_MEMORY) as copy:
        head = file.read(len(MAGIC))
        copy.write(head)
        shutil.copyfileobj(file, copy, PIECE)
        try:
            elf = ELFFile(copy) if head == MAGIC else None
            yield elf if elf is not None and elf.elfclass == 64 and elf.little_endian else None
        except (AssertionError, ELFError, OverflowError) as error:
            raise ValueError(f"damaged ELF file: {error}") from error


def needs(file: IO[bytes]) -> LoaderNeeds | None:
    """What the file's dynamic section asks for; None for what is no such ELF file, is damaged or is static."""
    try:
        with parse(file) as elf:
            dynamic = None if elf is None else next(elf.iter_segments("PT_DYNAMIC"), None)
            tags = [] if dynamic is None else list(dynamic.iter_tags())
    except ValueError:
        return None
    paths = {
        tag.entry.d_tag: getattr(tag, PATHS[tag.entry.d_tag]) for tag in tags if tag.entry.d_tag in PATHS
    }
    search = paths.get("DT_RUNPATH", paths.get("DT_RPATH", ""))
    libraries = tuple(tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED")
    return LoaderNeeds(libraries, tuple(part for part in search.split(":") if part)) if tags else None


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

    def exists(folder: str, name: str) -> bool:
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
        and not any(exists(folder, library) for folder in (*_folders(path, need), *usual))
    ]
    by_name = [
        f"{library} (opened by name)"
        for library in opened
        if library not in allow and not any(exists(folder, library) for folder in usual)
    ]
    return (*lacking, *by_name)


def _folders(path: str, need: LoaderNeeds) -> list[str]:
    origin = posixpath.dirname(path)
    named = [part.replace("${ORIGIN}", "$ORIGIN").replace("$ORIGIN", f"/{origin}") for part in need.search]
    return [posixpath.normpath(part).lstrip("/") for part in named]


def merge(layers: Sequence[LayerFacts]) -> tuple[dict[str, str], dict[str, str], dict[str, LoaderNeeds]]:
    """Files, links and needs as they stand when all layers lie over each other."""
    files: dict[str, str] = {}
    links: dict[str, str] = {}
    asked: dict[str, LoaderNeeds] = {}
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
