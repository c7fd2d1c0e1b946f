"""Layers onto a folder: each verified against its digest while it is read, in order, with whiteouts.

Source: https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md
"""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, cast

from infra.rehearsal.cloud.blobs import Blobs
from infra.rehearsal.cloud.host import ServerFailed

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"


class Measured(io.RawIOBase):
    """A file that is hashed as it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        self.sha256.update(data)
        buffer[: len(data)] = data
        return len(data)


def unpack(blobs: Blobs, manifest: Mapping[str, Any], folder: Path) -> None:
    """Fill an empty folder with the image's files.

    Raises:
        ServerFailed: a layer is missing, damaged, of an unknown kind, or reaches out of the folder.
    """
    for layer in manifest["layers"]:
        digest = str(layer["digest"])
        try:
            _apply(blobs.path(digest), digest, str(layer["mediaType"]), folder)
        except (OSError, EOFError, tarfile.TarError) as problem:
            raise ServerFailed(f"layer {digest} cannot be unpacked: {problem}") from None


def _apply(path: Path, digest: str, media_type: str, folder: Path) -> None:
    with path.open("rb") as file:
        measured = Measured(file)
        source = io.BufferedReader(measured, 1024 * 1024)
        plain = _decompressed(source, media_type)
        with tarfile.open(fileobj=plain, mode="r|") as archive:
            for member in archive:
                _extract(archive, member, folder)
        while plain.read(1024 * 1024):
            pass
        while source.read(1024 * 1024):
            pass
        if f"sha256:{measured.sha256.hexdigest()}" != digest:
            raise ServerFailed(f"layer {digest} is damaged in the registry")


def _decompressed(source: IO[bytes], media_type: str) -> IO[bytes]:
    if media_type.endswith("zstd"):
        import zstandard

        return cast("IO[bytes]", zstandard.ZstdDecompressor().stream_reader(source))
    if media_type.endswith("gzip"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=source, mode="rb"))
    if media_type.endswith("tar"):
        return source
    raise ServerFailed(f"layer media type {media_type!r} is not known")


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    parent, _, name = member.name.strip("/").rpartition("/")
    if name == OPAQUE:
        for entry in (folder / parent).iterdir():
            _remove(entry)
    elif name.startswith(WHITEOUT):
        _remove(folder / parent / name.removeprefix(WHITEOUT))
    elif not (member.ischr() or member.isblk() or member.isfifo()):
        target = folder / member.name.strip("/")
        if target.is_symlink() or (target.exists() and not (target.is_dir() and member.isdir())):
            _remove(target)
        # the filter refuses names and links that leave the folder, and keeps modes but not owners
        archive.extract(member, folder, filter=_inside, set_attrs=True)


def _inside(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """Like tarfile's "tar" filter, without owners: the files belong to whoever unpacks."""
    checked = tarfile.tar_filter(member, folder)
    # deep=False: a deep copy of a member copies the whole archive it came from
    nobody: Any = {"uid": None, "gid": None, "uname": None, "gname": None}
    return checked.replace(**nobody, deep=False) if checked else None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
