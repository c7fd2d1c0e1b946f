"""Numbers of four bits, two to a byte: how they are packed here, and the ONNX operators that unpack them.

The first half of a row's columns lies in the bytes' low halves and the second half in the high ones, so that
unpacking is a mask, a shift and one concatenation, with no interleaving.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from modelpack.passes.shared.editing import nodes_below

if TYPE_CHECKING:
    import onnx

ZERO = 8
"""The code that stands for 0; codes are 0..15, steps -8..7."""
SHARES = tuple(round(1 - 0.05 * step, 2) for step in range(12))


def pack(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(..., width) of 0..15, width even -> (..., width / 2)."""
    low, high = np.split(codes, 2, axis=-1)
    return np.bitwise_or(low, np.left_shift(high, 4), dtype=np.uint8)


def unpack(pairs: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What `pack` packed."""
    return np.concatenate([pairs & 15, pairs >> 4], axis=-1)


def in_codes(values: NDArray[np.float32], block: int) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """Codes (rows, width) and one scale for every `block` of a row, (rows, width / block): the one with the least
    squared error among those that clip at 100 %, 95 % ... of the block's largest value."""
    rows, width = values.shape
    blocks = values.reshape(rows, width // block, block)
    largest = np.abs(blocks).max(axis=2, keepdims=True) / (ZERO - 1)
    best = np.full(largest.shape, np.inf, dtype=np.float32)
    scale = np.ones(largest.shape, dtype=np.float16)
    for share in SHARES:
        tried = np.maximum(largest * share, np.finfo(np.float16).tiny).astype(np.float16)
        wide = tried.astype(np.float32)
        error = np.square(steps(blocks, wide) * wide - blocks).sum(axis=2, keepdims=True)
        better = error < best
        best, scale = np.where(better, error, best), np.where(better, tried, scale)
    codes = (steps(blocks, scale.astype(np.float32)) + ZERO).astype(np.uint8)
    return codes.reshape(rows, width), scale.reshape(rows, width // block)


def steps(values: NDArray[np.float32], scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values in whole steps, -8..7."""
    counted: NDArray[np.float32] = np.clip(np.rint(values / scale), -ZERO, ZERO - 1)
    return counted


def store(values: NDArray[np.float32], block: int) -> dict[str, NDArray[Any] | np.generic]:
    """A matrix as `nibbles` (rows, width / 2), `scales` in half precision and what else `widening` reads."""
    codes, scales = in_codes(values, block)
    width = values.shape[1]
    return {
        "nibbles": pack(codes),
        "scales": scales,
        "mask": np.uint8(15),
        "shift": np.uint8(4),
        "zero": np.float32(ZERO),
        "blocks": np.array([0, width // block, block], dtype=np.int64),
        "whole": np.array([0, width], dtype=np.int64),
        "last": np.array([2], dtype=np.int64),
    }


def widening(name: str) -> list[onnx.NodeProto]:
    """What is `stored` below that name as a float matrix `<name>.float`, in standard operators."""
    from onnx import TensorProto

    node = nodes_below(name)
    return [
        node("BitwiseAnd", ["nibbles", "mask"], "low"),
        node("BitShift", ["nibbles", "shift"], "high", direction="RIGHT"),
        node("Concat", ["low", "high"], "codes", axis=1),
        node("Cast", ["codes"], "wide", to=TensorProto.FLOAT),
        node("Sub", ["wide", "zero"], "steps"),
        node("Reshape", ["steps", "blocks"], "parts"),
        node("Cast", ["scales"], "factors", to=TensorProto.FLOAT),
        node("Unsqueeze", ["factors", "last"], "each"),
        node("Mul", ["parts", "each"], "scaled"),
        node("Reshape", ["scaled", "whole"], "float"),
    ]
