"""What a file of Debian's is before it was compressed, in memory and bounded."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Mapping
from typing import IO, Any, cast

from modelpack.image.oci.blob import Unpacked

MOST = 512_000_000
"""Bytes: ten times Debian's list of all packages. xz makes 7,000 of one (tukaani.org/xz)."""
DAMAGED = (EOFError, OSError, ValueError, lzma.LZMAError, zlib.error)


def decompress(data: bytes, suffix: str, most: int = MOST) -> bytes:
    """The bytes, by the name's suffix (deb(5)). Raises ValueError where they are damaged or more than `most`, KeyError
    for a suffix that is not known."""
    opener = OPENERS[suffix]
    try:
        found = opener(io.BytesIO(data)).read(most + 1)
    except DAMAGED as problem:
        raise ValueError(str(problem)) from problem
    if len(found) > most:
        raise ValueError(f"it unpacks to more than {most:,} bytes")
    return found


def _open_zstd(file: IO[bytes]) -> IO[bytes]:
    import zstandard

    reader: Any = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
    return cast("IO[bytes]", Unpacked(reader, zstandard.ZstdError))


OPENERS: Mapping[str, Callable[[IO[bytes]], IO[bytes]]] = {
    "": lambda file: file,
    ".gz": lambda file: cast("IO[bytes]", gzip.GzipFile(fileobj=file)),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
    ".zst": _open_zstd,
}
