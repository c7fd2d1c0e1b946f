"""Embedding tables in int8: a quarter of the size, read with standard operators.

`DequantizeLinear` widens only the rows looked up, so the table stays small in memory too. One scale for the whole
table, chosen for the least squared error (clipping what lies far out): a scale per row is a little more exact but
needs a broadcast multiplication, which costs ONNX Runtime three times as much per row as this.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from modelpack.passes.shared.tables import Counts, Floats, Stored, TablePass, int8_lookup

STEPS = 127
SHARES = tuple(round(1 - 0.05 * step, 2) for step in range(15))


class EmbeddingInt8(TablePass):
    """int8 for the tables that Gather reads."""

    name: ClassVar[str] = "embedding-int8"
    title: ClassVar[str] = "embedding tables in int8"
    about: ClassVar[str] = "https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html"

    def store(self, name: str, values: Floats, seen: Counts | None) -> Stored | None:
        """`int8` (rows, width), `scale` and `zero` (one number each)."""
        scale = best_scale(values)
        return Stored(
            {"int8": in_steps(values, scale), "scale": np.float32(scale), "zero": np.int8(0)}, int8_lookup
        )


def best_scale(values: Floats) -> float:
    """The scale with the least squared error among those that clip at 100 %, 95 % ... of the largest value."""
    largest = float(np.abs(values).max()) or 1.0
    smallest = float(np.finfo(np.float32).tiny)
    scales = [max(largest * share / STEPS, smallest) for share in SHARES]
    errors = [
        float(np.square(in_steps(values, scale) * np.float32(scale) - values).sum()) for scale in scales
    ]
    return scales[int(np.argmin(errors))]


def in_steps(values: Floats, scale: float) -> NDArray[np.int8]:
    """Values as whole steps of `scale`, clipped to -127..127."""
    steps: Floats = np.rint(values / np.float32(scale))
    return np.clip(steps, -STEPS, STEPS).astype(np.int8)
