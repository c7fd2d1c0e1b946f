"""Reading a layer blob: decompressed on the way, hashed on the way, refused at the end if it is another."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Protocol, cast

from modelpack.errors import EcomdeployError
from modelpack.image.oci.descriptor import Descriptor

BLOCK = 1 << 20
LEAST_UNPACKED, MOST_RATIO = 1_000_000_000, 100
"""Bytes that any layer may unpack to, and how many more for each byte of its blob: gzip reaches 1,032 (zlib.net)."""
MOST_SMALL = 64_000_000
"""Bytes of a manifest or a config."""


class BlobSource(Protocol):
    """Whatever holds blobs and manifests by digest: a `Layout`, a registry's store."""

    def open(self, digest: str) -> BinaryIO:
        """The raw bytes, unverified. Raises EcomdeployError (or OSError) when there are none."""
        ...


class Hashing(io.RawIOBase):
    """A read-only file that hashes and counts what passes through it. `packed`: what it is unpacked from, which bounds
    it (OSError)."""

    def __init__(self, inner: BinaryIO, packed: Hashing | None = None) -> None:
        self.inner = inner
        self.packed = packed
        self.count = 0
        self.hash = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.inner.read(len(buffer))
        self.hash.update(data)
        self.count += len(data)
        if self.packed and self.count > LEAST_UNPACKED + MOST_RATIO * self.packed.count:
            raise OSError(f"it unpacks to more than {MOST_RATIO} times its size")
        buffer[: len(data)] = data
        return len(data)

    def drain(self) -> None:
        """Read to the end."""
        while self.read(BLOCK):
            pass

    @property
    def digest(self) -> str:
        return f"sha256:{self.hash.hexdigest()}"


def read(source: BlobSource, digest: str) -> bytes:
    """A small blob's bytes. Raises EcomdeployError when they hash to something else."""
    with source.open(digest) as file:
        data = file.read(MOST_SMALL + 1)
    if len(data) > MOST_SMALL:
        raise EcomdeployError(
            f"blob {digest} has more than {MOST_SMALL:,} bytes, and is no manifest or config"
        )
    found = f"sha256:{hashlib.sha256(data).hexdigest()}"
    if found != digest:
        raise EcomdeployError(f"blob {digest} is corrupted: its bytes hash to {found}")
    return data


@contextmanager
def tar_stream(source: BlobSource, layer: Descriptor, diff_id: str) -> Iterator[BinaryIO]:
    """The layer's tar as a stream; what is raised of a damaged one while it is read becomes EcomdeployError.

    On leaving, raises EcomdeployError if blob or tar hash to something else than `layer.digest` and
    `diff_id`: keep nothing of what was read until then.
    """
    with source.open(layer.digest) as file:
        outer = Hashing(file)
        inner = Hashing(_decompress(outer, layer), packed=outer)
        try:
            yield cast("BinaryIO", io.BufferedReader(inner, BLOCK))
            inner.drain()
            outer.drain()
        except (OSError, EOFError, ValueError, RecursionError, tarfile.TarError) as problem:
            raise EcomdeployError(f"layer {layer.digest} cannot be read: {problem}") from problem
    if outer.digest != layer.digest:
        raise EcomdeployError(f"layer {layer.digest} is corrupted: its bytes hash to {outer.digest}")
    if inner.digest != diff_id:
        raise EcomdeployError(f"layer {layer.digest} is not the one the image's config names ({diff_id})")


def _decompress(raw: Hashing, layer: Descriptor) -> BinaryIO:
    """By media type, as the specification wants; Docker's types end in ".gzip" or ".zstd"."""
    kind = layer.media_type
    if kind.endswith(("+gzip", ".gzip")):
        from isal import igzip, isal_zlib

        # isal's types are not quite right: its error is a class, its opener untyped
        opener: Any = igzip.IGzipFile
        error: Any = isal_zlib.error
        return cast("BinaryIO", Unpacked(opener(fileobj=io.BufferedReader(raw, BLOCK), mode="rb"), error))
    if kind.endswith(("+zstd", ".zstd")):
        import zstandard

        reader: Any = zstandard.ZstdDecompressor().stream_reader(
            cast("BinaryIO", raw), read_across_frames=True
        )
        return cast("BinaryIO", Unpacked(reader, zstandard.ZstdError))
    if kind.endswith(".tar"):
        return cast("BinaryIO", raw)
    raise EcomdeployError(f"layer {layer.digest} has a media type that is not known: {kind}")


class Unpacked:
    """A decompressor's reader whose own kind of error is told as an OSError."""

    def __init__(self, inner: BinaryIO, error: type[Exception]) -> None:
        self.inner = inner
        self.error = error

    def read(self, size: int) -> bytes:
        try:
            return self.inner.read(size)
        except self.error as problem:
            raise OSError(str(problem)) from problem
