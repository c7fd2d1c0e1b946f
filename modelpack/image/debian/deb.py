"""What a .deb holds: deb(5), an ar archive of a version, a control tar and a data tar."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from modelpack.errors import EcomdeployError

AR_MAGIC = b"!<arch>\n"
HEADER_SIZE = 60


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
        # damage shows as the members are read
        data.getmembers()
        return DebFile(file.read().decode("utf-8"), data)
    except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, KeyError) as problem:
        raise EcomdeployError(f"{path.name} is damaged: {problem}") from problem


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
    decompress = DECOMPRESS.get(name.removeprefix(stem))
    if decompress is None:
        raise EcomdeployError(f"{path.name}: {name} is compressed in a way that is not known")
    return tarfile.open(fileobj=io.BytesIO(decompress(members[name])), mode="r:")


def _zstd(data: bytes) -> bytes:
    import zstandard

    try:
        return bytes(zstandard.ZstdDecompressor().stream_reader(data).read())
    except zstandard.ZstdError as problem:
        raise ValueError(str(problem)) from problem


DECOMPRESS: Mapping[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
    ".zst": _zstd,
}
"""By a member's suffix: deb(5)."""
