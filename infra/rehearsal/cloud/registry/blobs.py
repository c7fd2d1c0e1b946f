"""Content-addressed files on disk, and uploads on their way to become one.

Bytes are verified before they get their name.
"""

from __future__ import annotations

import os
import re
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from modelpack.digests import sha256_of
from modelpack.home import write_atomically
from modelpack.image.oci.descriptor import DIGEST, digest_of

CHUNK = 1024 * 1024
UPLOAD = re.compile(r"[0-9a-f]{32}")


class DigestMismatch(Exception):
    """The bytes are not what their digest says."""


class WrongOffset(Exception):
    """A chunk does not start where the last one ended; `expected` is the offset to go on from, bytes."""

    def __init__(self, expected: int) -> None:
        super().__init__(f"expected offset {expected}")
        self.expected = expected


@dataclass(frozen=True)
class Blobs:
    """`<root>/blobs/sha256/<hex>`, the folder shape of an OCI image layout."""

    root: Path

    def path(self, digest: str) -> Path:
        """Where a blob is or would be. The digest must have been checked against `DIGEST`."""
        return self.root / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def has(self, digest: str) -> bool:
        return bool(DIGEST.fullmatch(digest)) and self.path(digest).is_file()

    def size(self, digest: str) -> int:
        """Bytes. Raises FileNotFoundError."""
        return self.path(digest).stat().st_size

    def read(self, digest: str) -> bytes:
        """The whole blob: for manifests and configurations."""
        return self.path(digest).read_bytes()

    def open(self, digest: str) -> BinaryIO:
        """The raw bytes. Raises FileNotFoundError."""
        return self.path(digest).open("rb")

    def stream(self, digest: str, start: int, length: int) -> Iterator[bytes]:
        """`length` bytes from `start`, in pieces of at most 1 MiB."""
        with self.path(digest).open("rb") as file:
            file.seek(start)
            while length > 0 and (piece := file.read(min(CHUNK, length))):
                length -= len(piece)
                yield piece

    def put(self, data: bytes) -> str:
        """Store bytes that are in memory; the digest is theirs."""
        digest = digest_of(data)
        if not self.path(digest).is_file():
            write_atomically(self.path(digest), data)
        return digest

    def adopt(self, part: Path, digest: str) -> None:
        """Give a finished file its name.

        Raises:
            DigestMismatch: the file's bytes have another digest (the file is left where it is).
        """
        if f"sha256:{sha256_of(part)}" != digest:
            raise DigestMismatch(digest)
        target = self.path(digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        part.replace(target)

    def every(self) -> Iterator[str]:
        """The digests of all blobs."""
        folder = self.root / "blobs" / "sha256"
        if folder.is_dir():
            for entry in os.scandir(folder):
                if DIGEST.fullmatch(f"sha256:{entry.name}"):
                    yield f"sha256:{entry.name}"

    def remove(self, digest: str) -> None:
        self.path(digest).unlink(missing_ok=True)


class Uploads:
    """Bytes that have no name yet: `<root>/uploads/<id>`.

    What arrived before a cut stays, so a client can go on from there.
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / "uploads"
        self._lock = threading.Lock()
        self._busy: set[str] = set()

    def _path(self, upload: str) -> Path:
        if not UPLOAD.fullmatch(upload):
            raise FileNotFoundError(upload)
        return self._folder / upload

    def start(self) -> str:
        """A new, empty upload's id."""
        upload = secrets.token_hex(16)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._path(upload).touch()
        return upload

    def offset(self, upload: str) -> int:
        """Bytes stored so far. Raises FileNotFoundError for an unknown upload."""
        return self._path(upload).stat().st_size

    def append(self, upload: str, source: BinaryIO, start: int | None) -> int:
        """Add a chunk that begins at `start` (None: at the end) and return the new offset.

        Raises:
            FileNotFoundError: unknown upload.
            WrongOffset: `start` is not the end of what is stored, or another request is writing.
        """
        path = self._path(upload)
        offset = path.stat().st_size
        with self._lock:
            if upload in self._busy or start not in (None, offset):
                raise WrongOffset(offset)
            self._busy.add(upload)
        try:
            with path.open("ab", buffering=0) as file:
                while piece := source.read(CHUNK):
                    file.write(piece)
        finally:
            with self._lock:
                self._busy.discard(upload)
        return path.stat().st_size

    def finish(self, upload: str, digest: str, blobs: Blobs) -> None:
        """Make the upload a blob. Raises FileNotFoundError, DigestMismatch (the upload is then dropped)."""
        path = self._path(upload)
        try:
            blobs.adopt(path, digest)
        except DigestMismatch:
            path.unlink(missing_ok=True)
            raise

    def cancel(self, upload: str) -> None:
        """Drop it. Raises FileNotFoundError."""
        self._path(upload).unlink()
