"""What installing a wheel would put into a folder, read straight from the zip, without installing.

The same files and bytes as `pip install --target` (packaging.python.org/specifications/binary-distribution-format),
but for RECORD, INSTALLER and the launchers of entry points, which depend on the machine and which nothing here runs.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from modelpack.errors import EcomdeployError
from modelpack.image import tree
from modelpack.image.oci.blob import LEAST_UNPACKED, MOST_RATIO
from modelpack.image.oci.rooted import parts_of
from modelpack.image.parts import Wheel
from modelpack.image.tree import Entry
from modelpack.image.wheels.lock import path_of
from modelpack.sources.archive import DAMAGED

TARGET = "opt/ecomdeploy/deps"
OWN_LAYER_BYTES = 4_000_000
MOST_OWN_LAYERS = 40
LIBRARIES = ("purelib", "platlib")
T = TypeVar("T")


def group(wheels: Sequence[Wheel], downloads: Path) -> tuple[tuple[Wheel, ...], ...]:
    """Wheels by layer: each of 4 MB or more alone, the rest together; at most 41 layers.

    A bump of one small package then sends a few MB, a bump of a large one that one.
    """
    sizes = {wheel: wheel.size or _size(wheel, downloads) for wheel in wheels}
    large = sorted((w for w in wheels if sizes[w] >= OWN_LAYER_BYTES), key=lambda w: (-sizes[w], w.name))
    alone = sorted(large[:MOST_OWN_LAYERS], key=lambda wheel: wheel.name)
    rest = tuple(sorted((wheel for wheel in wheels if wheel not in alone), key=lambda wheel: wheel.name))
    return tuple(group for group in (*((wheel,) for wheel in alone), rest) if group)


def entries(wheels: Sequence[Wheel], downloads: Path, left_out: Sequence[str] = ()) -> Iterator[Entry]:
    """The files of the wheels below `opt/ecomdeploy/deps`, but for those that a pattern in `left_out` matches.

    Raises EcomdeployError for a wheel that is not readable; a damaged file of it does when it is read.
    """
    for wheel in wheels:
        try:
            # stays open as long as its entries are held: reading its directory anew for each file would take minutes
            archive = open_wheel(wheel, downloads)
        except DAMAGED as problem:
            raise EcomdeployError(
                f"{wheel.filename} cannot be read: {problem}", hint="call fetch_wheels"
            ) from None
        for info, place in _places(archive):
            if not any(fnmatchcase(place, pattern) for pattern in left_out):
                yield _entry(partial(WheelMember, archive, info), info, place)


def open_wheel(wheel: Wheel, downloads: Path) -> zipfile.ZipFile:
    """Raises one of DAMAGED, or EcomdeployError where its files claim to be more than it can hold."""
    path = path_of(wheel, downloads)
    archive = zipfile.ZipFile(path)
    most = LEAST_UNPACKED + MOST_RATIO * path.stat().st_size
    if sum(info.file_size for info in archive.infolist()) > most:
        archive.close()
        raise damage(archive, f"its files have more than {most:,} bytes")
    return archive


def _places(archive: zipfile.ZipFile) -> Iterator[tuple[zipfile.ZipInfo, str]]:
    for info in archive.infolist():
        if not info.filename:
            raise damage(archive, "it has a file without a name")
        if info.is_dir() or info.filename.endswith(".dist-info/RECORD"):
            continue
        first, *rest = parts_of(info.filename) or ("",)
        if not first.endswith(".data") or not rest:
            yield info, info.filename
        elif rest[0] in LIBRARIES or rest[0] == "data":
            yield info, "/".join(rest[1:])
        elif rest[0] == "scripts":
            yield info, "/".join(["bin", *rest[1:]])


def damage(archive: zipfile.ZipFile, problem: object) -> EcomdeployError:
    hint = "delete it from the downloads: it is fetched again"
    return EcomdeployError(f"{Path(archive.filename or '').name} is damaged: {problem}", hint=hint)


class WheelMember(io.RawIOBase):
    """A file of a wheel. Raises EcomdeployError, with the wheel's name, where it is damaged."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        self.archive = archive
        self.inner = self._read(lambda: archive.open(info))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._read(lambda: self.inner.read(len(buffer)))
        buffer[: len(data)] = data
        return len(data)

    def _read(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except DAMAGED as problem:
            raise damage(self.archive, problem) from problem


def _entry(opener: Callable[[], WheelMember], info: zipfile.ZipInfo, place: str) -> Entry:
    executable = bool((info.external_attr >> 16) & 0o111)
    if place.startswith("bin/"):
        return tree.of_bytes(f"{TARGET}/{place}", _launcher(opener().read()), executable=True)
    return tree.of_opener(
        f"{TARGET}/{place}", lambda: cast("IO[bytes]", opener()), info.file_size, executable
    )


def _launcher(data: bytes) -> bytes:
    """`#!python` stands for the interpreter, which in the image is /usr/bin/python3."""
    first, newline, rest = data.partition(b"\n")
    return b"#!/usr/bin/python3" + newline + rest if first.startswith(b"#!python") else data


def _size(wheel: Wheel, downloads: Path) -> int:
    try:
        return path_of(wheel, downloads).stat().st_size
    except OSError:
        raise EcomdeployError(f"{wheel.filename} has not been fetched", hint="call fetch_wheels") from None
