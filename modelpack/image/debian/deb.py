"""What a .deb holds: deb(5), an ar archive of a version, a control tar and a data tar."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path
from posixpath import normpath

from modelpack.errors import EcomdeployError
from modelpack.image.debian.decompress import MOST, decompress
from modelpack.image.oci.tar_entry import TarEntry

AR_MAGIC = b"!<arch>\n"
HEADER_SIZE = 60
MOST_MEMBERS = 100_000
DAMAGED = (tarfile.TarError, EOFError, KeyError, OSError, RecursionError, ValueError)


@dataclass(frozen=True)
class DebFile:
    """An opened package: its control stanza and its data tar, both decompressed in memory (tens of MB at most)."""

    control: str
    data: tarfile.TarFile


def read(path: Path) -> DebFile:
    """Read a package. Raises EcomdeployError when it is not one."""
    try:
        members = _members(path.read_bytes())
    except FileNotFoundError:
        raise EcomdeployError(f"{path.name} has not been fetched", hint="call fetch_debs first") from None
    try:
        control = _tar(members, "control.tar", path)
        name = next((name for name in control.getnames() if name.removeprefix("./") == "control"), "")
        file = control.extractfile(name) if name else None
        if file is None:
            raise EcomdeployError(f"{path.name} has no control file")
        data = _tar(members, "data.tar", path)
        _check(data)
        return DebFile(file.read().decode("utf-8"), data)
    except DAMAGED as problem:
        raise EcomdeployError(f"{path.name} is damaged: {problem}") from problem


def _check(data: tarfile.TarFile) -> None:
    """Read all headers, where damage shows. Raises ValueError for more files, or bytes with every hard link a copy,
    than are bounded, and for a hard link to what is no file before it."""
    sizes: dict[str, int | None] = {}
    total = 0
    for number, member in enumerate(data):
        if number >= MOST_MEMBERS:
            raise ValueError(f"it holds more than {MOST_MEMBERS:,} files")
        size = member.size if member.isreg() else None
        if member.islnk():
            size = sizes.get(normpath(member.linkname))
            if size is None:
                raise ValueError(f"{member.name!r} is a hard link to {member.linkname!r}, no file before it")
        # the last of a name counts, as for `extractfile`
        sizes[normpath(member.name)] = size
        total += size or 0
        if total > MOST:
            raise ValueError(f"its files have more than {MOST:,} bytes")


def _members(data: bytes) -> dict[str, bytes]:
    if not data.startswith(AR_MAGIC):
        raise EcomdeployError("not a Debian package: no ar archive")
    members: dict[str, bytes] = {}
    at = len(AR_MAGIC)
    while at + HEADER_SIZE <= len(data):
        header = data[at : at + HEADER_SIZE]
        name = header[:16].decode("ascii", "replace").strip().rstrip("/")
        try:
            size = int(header[48:58])
        except ValueError:
            raise EcomdeployError("not a Debian package: broken ar header") from None
        at += HEADER_SIZE
        members[name] = data[at : at + size]
        at += size + size % 2
    return members


def _tar(members: dict[str, bytes], stem: str, path: Path) -> tarfile.TarFile:
    name = next((name for name in members if name == stem or name.startswith(f"{stem}.")), "")
    if not name:
        raise EcomdeployError(f"{path.name} has no {stem}")
    try:
        plain = decompress(members[name], name.removeprefix(stem))
    except KeyError:
        raise EcomdeployError(f"{path.name}: {name} is compressed in a way that is not known") from None
    return tarfile.open(fileobj=io.BytesIO(plain), mode="r:", tarinfo=TarEntry)
