"""Numbers of four bits, two to a byte: how they are packed here, and the ONNX operators that unpack them.

The first half of a row's columns lies in the bytes' low halves and the second half in the high ones, so that
unpacking is a mask, a shift and one concatenation, with no interleaving.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

Constant = NDArray[Any] | np.generic
ZERO = 8
"""The code that stands for 0; codes are 0..15, steps -8..7."""
SHARES = tuple(round(1 - 0.05 * step, 2) for step in range(12))


def pack(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(rows, width) of 0..15, width even -> (rows, width / 2)."""
    low, high = np.split(codes, 2, axis=1)
    return np.bitwise_or(low, np.left_shift(high, 4), dtype=np.uint8)


def unpack(pairs: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What `pack` packed."""
    return np.concatenate([pairs & 15, pairs >> 4], axis=1)


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


def constants(block: int, width: int) -> dict[str, Constant]:
    """What `widening` needs beside `nibbles` and `scales`."""
    return {
        "mask": np.uint8(15),
        "shift": np.uint8(4),
        "zero": np.float32(ZERO),
        "blocks": np.array([0, width // block, block], dtype=np.int64),
        "whole": np.array([0, width], dtype=np.int64),
        "last": np.array([2], dtype=np.int64),
    }


def widening(name: str, result: str) -> list[onnx.NodeProto]:
    """`<name>.nibbles` and `<name>.scales` as a float matrix `result`, in standard operators."""
    from onnx import TensorProto, helper

    def node(operator: str, given: list[str], made: str, **attributes: Any) -> onnx.NodeProto:
        return helper.make_node(operator, given, [made], f"{made}.of", **attributes)

    return [
        node("BitwiseAnd", [f"{name}.nibbles", f"{name}.mask"], f"{name}.low"),
        node("BitShift", [f"{name}.nibbles", f"{name}.shift"], f"{name}.high", direction="RIGHT"),
        node("Concat", [f"{name}.low", f"{name}.high"], f"{name}.codes", axis=1),
        node("Cast", [f"{name}.codes"], f"{name}.wide", to=TensorProto.FLOAT),
        node("Sub", [f"{name}.wide", f"{name}.zero"], f"{name}.steps"),
        node("Reshape", [f"{name}.steps", f"{name}.blocks"], f"{name}.parts"),
        node("Cast", [f"{name}.scales"], f"{name}.factors", to=TensorProto.FLOAT),
        node("Unsqueeze", [f"{name}.factors", f"{name}.last"], f"{name}.each"),
        node("Mul", [f"{name}.parts", f"{name}.each"], f"{name}.scaled"),
        node("Reshape", [f"{name}.scaled", f"{name}.whole"], result),
    ]
