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
    size, rest = 0, body
    try:
        while True:
            # members of gzip may follow one another (RFC 1952, 2.2)
            reader = zlib.decompressobj(WINDOWS[encoding])
            pieces.append(reader.decompress(rest, most + 1 - size))
            size += len(pieces[-1])
            if size > most:
                raise Refusal(413, f"the body has more than {most} bytes once decompressed")
            if not reader.eof:
                raise Refusal(400, f"the {encoding.decode()} body ends too early")
            rest = reader.unused_data
            if not rest:
                return b"".join(pieces)
            if encoding == b"deflate":
                raise Refusal(400, "something follows the deflate body")
    except zlib.error as problem:
        raise Refusal(400, f"the body is not {encoding.decode()}: {problem}") from None
