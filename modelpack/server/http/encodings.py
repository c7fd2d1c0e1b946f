"""Content-Encoding of request bodies: gzip and deflate (RFC 9110, section 8.4.1), by zlib alone.

Brotli and Zstandard are refused by name: neither is in the standard library of the image's Python, and a wheel in every
image is more than a rarely used encoding is worth; Triton's and KServe's clients offer gzip and deflate. What comes out
of a body is bounded like the body itself, and never made beyond that bound.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from modelpack.server.http.refusal import Refusal

WINDOWS: Mapping[bytes, int] = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}
"""zlib's wbits: 31 is gzip's frame, 15 zlib's (RFC 1950), which "deflate" names in HTTP."""
ACCEPTED = "gzip, deflate"
PIECE, MOST_MEMBERS = 16 * 1024, 10_000
"""Bytes decompressed at once; members of gzip, which may follow one another (RFC 1952, 2.2; bgzip: 64 KiB)."""
MANY = f"the body has more than {MOST_MEMBERS} members of gzip"


def check_encoding(encoding: bytes) -> bytes:
    """The encoding by its one name, "" for none. Raises `Refusal` (415, with what is accepted: RFC 9110, 12.5.3)."""
    name = encoding.strip().lower()
    if name in (b"", b"identity"):
        return b""
    if name not in WINDOWS:
        raise Refusal(
            415,
            f"content encoding {name.decode('latin-1')!r} is not known; send {ACCEPTED}, or none",
            [(b"accept-encoding", ACCEPTED.encode())],
        )
    return name


def decompress(encoding: bytes, body: bytes, most: int) -> bytes:
    """The body as it was before. Raises `Refusal`: 413 above `most` bytes, 400 where it is damaged."""
    if not encoding:
        return body
    pieces: list[bytes] = []
    size, place, members = 0, 0, 0
    while place < len(body) or not members:
        members += 1
        if members > (MOST_MEMBERS if encoding != b"deflate" else 1):
            what = "something follows the deflate body" if encoding == b"deflate" else MANY
            raise Refusal(400, what)
        reader = zlib.decompressobj(WINDOWS[encoding])
        while not reader.eof:
            piece = body[place : place + PIECE]
            if not piece:
                raise Refusal(400, f"the {encoding.decode()} body ends too early")
            try:
                pieces.append(reader.decompress(piece, most + 1 - size))
            except zlib.error as problem:
                raise Refusal(400, f"the body is not {encoding.decode()}: {problem}") from None
            place += len(piece)
            size += len(pieces[-1])
            if size > most:
                raise Refusal(413, f"the body has more than {most} bytes once decompressed")
        # what is left over is copied at every member: so pieces are short
        place -= len(reader.unused_data)
    return b"".join(pieces)
