"""Binary tensors of the Open Inference Protocol: raw little-endian bytes behind the JSON, in the order of the inputs.

The header `Inference-Header-Content-Length` says where the JSON ends; BYTES are a length (4 bytes) and UTF-8 text each.
Source: https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/extension_binary_data.md and
https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/protocol/extension_binary_data.html
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from modelpack.server.http.refusal import Refusal
from modelpack.server.http.tensors import finite
from modelpack.server.signature import Tensor

EXTENSION = "binary_tensor_data"
HEADER_LENGTH = b"inference-header-content-length"
OCTETS = b"application/octet-stream"
LENGTH = struct.Struct("<I")


def split(body: bytes, header: bytes) -> tuple[bytes, memoryview]:
    """The JSON and what follows it, not copied. Raises `Refusal` (400) for a header that does not fit the body."""
    if not header:
        return body, memoryview(b"")
    if not (header.isdigit() and len(header) < 16 and int(header) <= len(body)):
        said = header[:32].decode("latin-1")
        raise Refusal(
            400, f"Inference-Header-Content-Length: {said!r} does not fit a body of {len(body)} bytes"
        )
    return body[: int(header)], memoryview(body)[int(header) :]


def read(tensor: Tensor, count: int, raw: memoryview) -> NDArray[np.generic]:
    """`count` values. Raises `Refusal` (400) when the bytes are not exactly that many."""
    if tensor.datatype == "BYTES":
        return _read_texts(tensor, count, bytes(raw))
    dtype = np.dtype(tensor.dtype).newbyteorder("<")
    if len(raw) != count * dtype.itemsize:
        wanted = count * dtype.itemsize
        raise Refusal(400, f"input {tensor.name!r}: {count} values are {wanted} bytes, not {len(raw)}")
    if tensor.datatype == "BOOL" and bytes(raw).translate(None, b"\x00\x01"):
        raise Refusal(400, f"input {tensor.name!r}: a BOOL is a byte of 0 or 1")
    # the one copy: in a body they begin at any byte, where a runtime may fault, and may not be written to
    return finite(tensor, np.frombuffer(raw, dtype).astype(tensor.dtype))


def write(array: NDArray[np.generic]) -> bytes:
    """The array's values, row-major."""
    if array.dtype.kind in "OUS":
        texts = [str(text).encode() for text in array.ravel().tolist()]
        return b"".join(part for text in texts for part in (LENGTH.pack(len(text)), text))
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()


def _read_texts(tensor: Tensor, count: int, raw: bytes) -> NDArray[np.generic]:
    texts: list[str] = []
    place = 0
    while place + LENGTH.size <= len(raw) and len(texts) < count:
        (length,) = LENGTH.unpack_from(raw, place)
        place += LENGTH.size + length
        if place > len(raw):
            break
        try:
            texts.append(raw[place - length : place].decode())
        except UnicodeDecodeError as problem:
            raise Refusal(400, f"input {tensor.name!r}: value {len(texts)} is not UTF-8: {problem}") from None
    if len(texts) != count or place != len(raw):
        raise Refusal(400, f"input {tensor.name!r}: the bytes are not {count} values, each behind its length")
    return np.array(texts, dtype=np.object_)
