"""An OCI image layout on disk that many processes may use at once, and that a killed one leaves whole.

Every file appears by rename, so a reader sees all of it or nothing. The index is rewritten under a file lock.
Format: github.com/opencontainers/image-spec/blob/main/image-layout.md.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelpack.errors import EcomdeployError
from modelpack.home import hold_lock_briefly, name_file, write_atomically
from modelpack.image.oci.descriptor import (
    INDEX,
    MANIFEST,
    Descriptor,
    blobs_of,
    check_digest,
    decode,
    digest_of,
    encode,
    parse,
)

BLOCK = 1 << 20


class Layout:
    """The layout below `root`, created on first write."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: str) -> Path:
        """Where a blob lies or would lie. Raises EcomdeployError for what is not a digest."""
        return self.root / "blobs" / "sha256" / check_digest(digest).removeprefix("sha256:")

    def has(self, digest: str, size: int | None = None) -> bool:
        """Whether the blob is here, with that size where one is given."""
        try:
            found = self.path(digest).stat().st_size
            return size in (None, found)
        except FileNotFoundError:
            return False

    def open(self, digest: str) -> io.BufferedReader:
        """A blob for reading, not verified: who reads it compares the digest."""
        try:
            return self.path(digest).open("rb")
        except FileNotFoundError:
            hint = "run `ecomdeploy pack` to build it again"
            raise EcomdeployError(f"{digest} is missing", where=str(self.root), hint=hint) from None

    def read(self, digest: str) -> bytes:
        """A small blob's bytes, verified. Raises EcomdeployError when it is missing or corrupted."""
        with self.open(digest) as file:
            data = file.read()
        self._compare(digest, digest_of(data))
        return data

    def verify(self, digest: str) -> None:
        """Raise EcomdeployError unless the blob is here and hashes to its name."""
        with self.open(digest) as file:
            self._compare(digest, f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}")

    def put(self, data: bytes) -> str:
        """Store bytes; returns their digest."""
        digest = digest_of(data)
        if not self.has(digest, len(data)):
            with self.writer() as pending:
                pending.write(data)
                pending.commit(digest)
        return digest

    @contextmanager
    def writer(self) -> Iterator[Pending]:
        """A temporary file beside the blobs; `commit(digest)` makes it a blob, else it goes."""
        folder = self.root / "blobs" / "sha256"
        folder.mkdir(parents=True, exist_ok=True)
        pending = Pending(self, folder / f".partial-{os.getpid()}-{secrets.token_hex(6)}")
        try:
            yield pending
        finally:
            pending.path.unlink(missing_ok=True)
            pending.close()

    def manifest(self, digest: str) -> dict[str, Any]:
        """A manifest as data, verified."""
        return decode(self.read(digest))

    def size(self, digest: str) -> int:
        """Bytes of the manifest and all it points to: what a first push sends."""
        blobs = sum(blob.size for blob in blobs_of(self.manifest(digest)))
        return blobs + self.path(digest).stat().st_size

    def complete(self, digest: str) -> bool:
        """Whether the manifest and all its blobs are here with the sizes declared."""
        if not self.has(digest):
            return False
        return all(self.has(blob.digest, blob.size) for blob in blobs_of(self.manifest(digest)))

    def descriptors(self) -> tuple[Descriptor, ...]:
        """Every manifest that the index lists."""
        return tuple(parse(entry) for entry in self._index().get("manifests", ()))

    def referrers(self, digest: str, artifact_type: str | None = None) -> tuple[Descriptor, ...]:
        """Manifests whose `subject` is that manifest, of one artifact type or all, ordered."""
        found = [
            entry
            for entry in self.descriptors()
            if entry.artifact_type
            and artifact_type in (None, entry.artifact_type)
            and self.manifest(entry.digest).get("subject", {}).get("digest") == digest
        ]
        return tuple(sorted(found, key=lambda entry: (entry.artifact_type, entry.digest)))

    def put_manifest(
        self, document: Mapping[str, Any], annotations: Mapping[str, str] | None = None
    ) -> Descriptor:
        """Store a manifest and list it in the index (once)."""
        data = encode(document)
        described = Descriptor(
            str(document.get("mediaType", MANIFEST)),
            self.put(data),
            len(data),
            dict(annotations or {}),
            str(document.get("artifactType", "")),
        )
        with hold_lock_briefly(self.root / ".lock"):
            others = [entry for entry in self.descriptors() if entry.digest != described.digest]
            listed = sorted((*others, described), key=lambda entry: entry.digest)
            self._write_index([entry.data() for entry in listed])
        return described

    def sweep(self) -> None:
        """Delete what writers that are no more left unfinished."""
        for path in self.root.glob("blobs/sha256/.partial-*"):
            pid = path.name.split("-")[1]
            if not Path("/proc", pid).exists():
                path.unlink(missing_ok=True)

    def _index(self) -> dict[str, Any]:
        try:
            data: dict[str, Any] = json.loads((self.root / "index.json").read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError as problem:
            hint = f"delete {self.root}; what it held is built again"
            raise EcomdeployError(
                f"index.json is corrupted: {problem}", where=str(self.root), hint=hint
            ) from None
        return data

    def _write_index(self, manifests: list[dict[str, Any]]) -> None:
        self.replace("oci-layout", encode({"imageLayoutVersion": "1.0.0"}))
        self.replace("index.json", encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}))

    def replace(self, name: str, data: bytes) -> None:
        """Write a small file below the root so that readers see the old or the new one."""
        write_atomically(self.root / name, data)

    def _compare(self, digest: str, found: str) -> None:
        if found != digest:
            hint = f"delete {self.path(digest)} and run `ecomdeploy pack`"
            raise EcomdeployError(
                f"{digest} is corrupted on disk (its bytes hash to {found})", where=str(self.root), hint=hint
            )


class Pending:
    """A blob being written."""

    def __init__(self, layout: Layout, path: Path) -> None:
        self.layout = layout
        self.path = path
        self.file = path.open("wb")

    def write(self, data: bytes) -> None:
        with name_file(self.path):
            self.file.write(data)

    def close(self) -> None:
        with name_file(self.path):
            self.file.close()

    def commit(self, digest: str) -> None:
        """Give the file its name. The caller has hashed what it wrote."""
        self.close()
        self.path.replace(self.layout.path(digest))
