"""Images of the registry as folders: from its blob store, every layer verified, unpacked once."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.rehearsal.cloud.registry.blobs import Blobs
from infra.rehearsal.cloud.servers.command import read_command
from infra.rehearsal.cloud.servers.host import NoSuchImage
from modelpack.errors import EcomdeployError
from modelpack.image.oci.blob import read
from modelpack.image.oci.descriptor import DIGEST, decode, layers_of, parse
from modelpack.image.oci.members import Kept
from modelpack.image.oci.unpack import remove, unpack

LAYERS = ".layers"


@dataclass(frozen=True, kw_only=True)
class UnpackedImage:
    """An unpacked image. `argv`, `environment` and `directory` are what its configuration says; `entry`: how many words
    of the first are its entry point."""

    digest: str
    path: Path
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str
    user: tuple[int, int]
    entry: int = 0


class UnpackedImages:
    """`<folder>/<hex>` for each image asked for. Thread-safe; one image is unpacked by one thread.

    Layers are kept in `<folder>/.layers`, so that the next image reads only those that are new.
    """

    def __init__(self, folder: Path, blobs: Blobs) -> None:
        self._folder = folder
        self._blobs = blobs
        self._kept = Kept(folder / LAYERS)
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    def tree(self, digest: str) -> UnpackedImage:
        """The unpacked image of a manifest digest.

        Raises:
            NoSuchImage: not in the registry, damaged, or not an image.
        """
        if not DIGEST.fullmatch(digest):
            raise NoSuchImage(f"the image must be named by its digest, not {digest!r}")
        manifest = self._document(digest)
        if "layers" not in manifest or "config" not in manifest:
            raise NoSuchImage(f"{digest} is not an image manifest")
        try:
            command = read_command(self._document(parse(manifest["config"]).digest))
        except EcomdeployError as problem:
            raise NoSuchImage(f"image {digest} is refused: {problem}") from None
        path = self._folder / digest.removeprefix("sha256:")
        with self._lock_of(digest):
            try:
                unpack(self._blobs, digest, path, members=self._kept)
            except (EcomdeployError, OSError) as problem:
                raise NoSuchImage(f"image {digest} cannot be unpacked: {problem}") from None
        return UnpackedImage(
            digest=digest,
            path=path,
            argv=command.argv,
            environment=command.environment,
            directory=command.directory,
            user=command.user,
            entry=command.entry,
        )

    def sweep(self) -> None:
        """Remove what a kill left half unpacked, and trees whose image the registry no longer holds."""
        if not self._folder.is_dir():
            return
        for path in self._folder.iterdir():
            lost = path.name.startswith(".") or not self._blobs.has(f"sha256:{path.name}")
            if lost and path.name != LAYERS:
                remove(path)
        wanted: set[str] = set()
        for path in self._folder.iterdir():
            if path.name != LAYERS:
                try:
                    wanted.update(self._layers(f"sha256:{path.name}"))
                except EcomdeployError:
                    remove(path)  # its manifest was damaged meanwhile
        self._kept.sweep(frozenset(wanted))

    def discard(self, digest: str) -> None:
        """Remove a tree, so that it is unpacked again when it is asked for, with all its layers, for their files are
        the tree's. No server may be running from it."""
        path = self._folder / digest.removeprefix("sha256:")
        with self._lock_of(digest):
            if path.is_dir():
                remove(path)
            for layer in self._layers(digest):
                self._kept.forget(layer)

    def _layers(self, digest: str) -> tuple[str, ...]:
        return tuple(layer.digest for layer in layers_of(self._document(digest)))

    def _lock_of(self, digest: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(digest, threading.Lock())

    def _document(self, digest: str) -> dict[str, Any]:
        try:
            return decode(read(self._blobs, digest))
        except OSError:
            raise NoSuchImage(f"{digest} is not in the registry") from None
        except EcomdeployError as problem:
            raise NoSuchImage(f"{digest} is damaged in the registry, or no document: {problem}") from None
