"""GGUF files, read without running anything: metadata and tensors of the two block formats that our weights have.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. A block holds 32 neighbouring weights of a row.
Q4_1: a scale and a minimum (two float16), then 16 bytes of two 4-bit steps each, the low halves first.
Q8_0: a scale (float16), then 32 signed bytes.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelpack.errors import BadInput

MAGIC = b"GGUF"
VERSIONS = (2, 3)
BLOCK = 32
F32, Q4_1, Q8_0 = 0, 3, 8
BYTES = {F32: (1, 4), Q4_1: (BLOCK, 20), Q8_0: (BLOCK, 34)}
"""Tensor kind -> weights and bytes of one block."""
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TEXT, LIST = 8, 9
MOST = 10_000_000
"""Entries of a list, letters of a text: more is a damaged or hostile file."""

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Blocks:
    """A tensor as it lies in the file: `shape` (rows, columns) or (columns,), `kind`, its `data`."""

    kind: int
    shape: tuple[int, ...]
    data: Bytes

    def floats(self) -> Floats:
        """The weights in float32."""
        if self.kind == F32:
            return self.data.view(np.float32).reshape(self.shape)
        blocks = self.data.reshape(-1, BYTES[self.kind][1])
        scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)
        if self.kind == Q8_0:
            return (blocks[:, 2:].view(np.int8) * scale).reshape(self.shape)
        least = blocks[:, 2:4].copy().view(np.float16).astype(np.float32)
        halves = blocks[:, 4:]
        steps = np.concatenate([halves & 15, halves >> 4], axis=1)
        return (steps * scale + least).reshape(self.shape)


@dataclass
class Reader:
    """A place in the file's bytes."""

    content: memoryview
    place: int = 0

    def take(self, layout: str) -> Any:
        """One number."""
        try:
            (value,) = struct.unpack_from(f"<{layout}", self.content, self.place)
        except struct.error:
            raise BadInput("damaged GGUF file: it ends too early") from None
        self.place += struct.calcsize(f"<{layout}")
        return value

    def text(self) -> str:
        """A text with its length before it."""
        length = self.count()
        begin = self.place
        self.place += length
        if self.place > len(self.content):
            raise BadInput("damaged GGUF file: it ends too early")
        return bytes(self.content[begin : self.place]).decode("utf-8", "replace")

    def count(self) -> int:
        """A length that is not absurd."""
        count: int = self.take("Q")
        if count > MOST:
            raise BadInput(f"damaged GGUF file: a length of {count}")
        return count

    def value(self, kind: int) -> Any:
        """A metadata value."""
        if kind == TEXT:
            return self.text()
        if kind == LIST:
            inner = self.take("I")
            if inner == LIST:
                raise BadInput("damaged GGUF file: lists in lists")
            return [self.value(inner) for _ in range(self.count())]
        if kind not in SCALARS:
            raise BadInput(f"damaged GGUF file: a value of type {kind}")
        return self.take(SCALARS[kind])


def read(content: bytes) -> tuple[dict[str, Any], dict[str, Blocks]]:
    """Metadata and tensors by name. Raises BadInput for a damaged file or another kind of tensor."""
    reader = Reader(memoryview(content))
    if bytes(reader.content[:4]) != MAGIC:
        raise BadInput("not a GGUF file")
    reader.place = 4
    if (version := reader.take("I")) not in VERSIONS:
        raise BadInput(f"GGUF version {version} is not known here")
    tensors, entries = reader.count(), reader.count()
    metadata = {reader.text(): reader.value(reader.take("I")) for _ in range(entries)}
    heads = [header(reader) for _ in range(tensors)]
    alignment = int(metadata.get("general.alignment", 32))
    start = -(-reader.place // alignment) * alignment
    data = np.frombuffer(content, np.uint8)
    return metadata, {name: cut(data, start + at, kind, shape, name) for name, kind, shape, at in heads}


def header(reader: Reader) -> tuple[str, int, tuple[int, ...], int]:
    """A tensor's name, kind, shape (rows first) and place."""
    name = reader.text()
    sizes = [reader.take("Q") for _ in range(reader.take("I"))]
    return name, reader.take("I"), tuple(reversed(sizes)), reader.take("Q")


def cut(data: Bytes, begin: int, kind: int, shape: tuple[int, ...], name: str) -> Blocks:
    """A tensor's own bytes."""
    if kind not in BYTES:
        raise BadInput(f"{name}: tensors of GGUF type {kind} are not known here (F32, Q4_1 and Q8_0 are)")
    weights, size = BYTES[kind]
    length = math.prod(shape) // weights * size
    if not shape or shape[-1] % weights or begin + length > len(data):
        raise BadInput(f"{name}: damaged GGUF file: its data does not fit its shape {shape}")
    return Blocks(kind, shape, data[begin : begin + length])
