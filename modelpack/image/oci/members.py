"""The entries of a layer: read from its blob, or from a folder that keeps a layer's files once it was read.

`Kept` is for images that share layers: a layer that was unpacked before is linked, not read again. A kept layer is
whole or absent, named by the digest that its bytes were verified against; its files are shared by every tree that links
them, so they must not be written to.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modelpack.errors import EcomdeployError
from modelpack.home import name_file
from modelpack.image.oci.blob import BlobSource, tar_stream
from modelpack.image.oci.descriptor import Descriptor
from modelpack.image.oci.tar_entry import TarEntry

FOLDER, SYMLINK, HARD_LINK, FILE, OTHER = "folder", "symlink", "hard link", "file", "other"
"""Kinds; devices and pipes are others."""
INDEX = "index.json"
MOST_ENTRIES = 1_000_000


@dataclass(frozen=True)
class Member:
    """One entry in the order of the layer: `target` is what a link names, `mode` the permissions it asks for."""

    name: str
    kind: str
    mode: int
    target: str = ""


Put = Callable[[Path], None]
"""Makes an entry's file at a path where nothing is."""
Members = Callable[[BlobSource, Descriptor, str], Iterator[tuple[Member, Put]]]
"""A layer's entries with their files; raises EcomdeployError, at the latest after the last, for other bytes than the
layer's digest and diff id name."""


def stream(source: BlobSource, layer: Descriptor, diff_id: str) -> Iterator[tuple[Member, Put]]:
    """From the blob, each entry's file to be made before the next is asked for."""
    with (
        tar_stream(source, layer, diff_id) as stream,
        tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 20, tarinfo=TarEntry) as tar,
    ):
        for number, entry in enumerate(tar):
            if number > MOST_ENTRIES:
                raise EcomdeployError(
                    f"layer {layer.digest} is refused: it holds more than {MOST_ENTRIES:,} entries"
                )
            member = Member(entry.name, kind_of(entry), entry.mode & 0o7777, entry.linkname)
            yield member, lambda path, entry=entry: write(tar, entry, path)  # type: ignore[misc]


def kind_of(entry: tarfile.TarInfo) -> str:
    """One of the kinds above."""
    kinds = (
        (entry.isdir(), FOLDER),
        (entry.issym(), SYMLINK),
        (entry.islnk(), HARD_LINK),
        (entry.isreg(), FILE),
    )
    return next((kind for is_it, kind in kinds if is_it), OTHER)


def write(tar: tarfile.TarFile, entry: tarfile.TarInfo, path: Path) -> None:
    """A regular file's content."""
    content = tar.extractfile(entry)
    assert content is not None, "regular members have content"
    # O_EXCL and O_NOFOLLOW: never write through a link, whatever appeared meanwhile
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with name_file(path), os.fdopen(descriptor, "wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)
        # no set-uid from an image ever lands on this machine, and nothing that others may write
        os.fchmod(file.fileno(), entry.mode & 0o755 | 0o400)


class Kept:
    """Layers by their digest's hex below `folder`, on the file system of the trees. One process at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()

    def __call__(self, source: BlobSource, layer: Descriptor, diff_id: str) -> Iterator[tuple[Member, Put]]:
        """The entries of a layer, its files linked; read and kept first where it is new."""
        place = self.path(layer.digest)
        with self._lock:
            if not place.is_dir():
                self._keep(source, layer, diff_id, place)
            entries: list[dict[str, Any]] = json.loads((place / INDEX).read_bytes())
        for number, entry in enumerate(entries):
            yield Member(**entry), lambda path, file=place / str(number): link(file, path)  # type: ignore[misc]

    def path(self, digest: str) -> Path:
        """Where a layer is, or would be."""
        return self.folder / digest.removeprefix("sha256:")

    def forget(self, digest: str) -> None:
        """Read a layer anew when it is next asked for; trees that link its files keep them."""
        with self._lock:
            shutil.rmtree(self.path(digest), ignore_errors=True)

    def sweep(self, wanted: frozenset[str]) -> None:
        """Remove what a kill left half kept, and layers that are not among the `wanted` digests."""
        names = {digest.removeprefix("sha256:") for digest in wanted}
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if path.name not in names:
                shutil.rmtree(path, ignore_errors=True)

    def _keep(self, source: BlobSource, layer: Descriptor, diff_id: str, place: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        work = self.folder / f".keep-{os.getpid()}-{secrets.token_hex(6)}"
        work.mkdir(mode=0o700)
        try:
            entries = []
            for number, (member, put) in enumerate(stream(source, layer, diff_id)):
                entries.append(asdict(member))
                if member.kind == FILE:
                    put(work / str(number))
            (work / INDEX).write_text(json.dumps(entries))
            work.rename(place)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def link(file: Path, path: Path) -> None:
    """The kept file at another path; a copy where the file system knows no hard links or has no more of them."""
    try:
        os.link(file, path)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(file, path)
