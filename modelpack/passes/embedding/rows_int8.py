"""Embedding tables in int8 with a scale per row: closer than one scale per table, for a little more work per lookup.

Fit for a language model's words, where a request looks up a few rows and rare words lie far out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from modelpack.passes.embedding.int8 import STEPS
from modelpack.passes.shared.tables import Counts, Floats, Lookup, Stored, TablePass

if TYPE_CHECKING:
    import onnx


class EmbeddingRowsInt8(TablePass):
    """Gather rows of int8, gather their scales, multiply."""

    name: ClassVar[str] = "embedding-rows-int8"
    title: ClassVar[str] = "embedding tables in int8, a scale per row"
    about: ClassVar[str] = "https://arxiv.org/abs/1911.02079"

    def store(self, name: str, values: Floats, seen: Counts | None) -> Stored | None:
        """`int8` (rows, width) and `scale` (rows, 1)."""
        largest = np.maximum(np.abs(values).max(axis=1, keepdims=True), 1e-12).astype(np.float32)
        scale = largest / np.float32(STEPS)
        steps = np.clip(np.rint(values / scale), -STEPS, STEPS).astype(np.int8)
        return Stored({"int8": steps, "scale": scale}, look_up)


def look_up(at: Lookup) -> list[onnx.NodeProto]:
    """A lookup as four nodes."""
    from onnx import TensorProto, helper

    narrow, scale, wide = f"{at.result}.int8", f"{at.result}.scale", f"{at.result}.wide"
    return [
        helper.make_node("Gather", [f"{at.table}.int8", at.index], [narrow], f"{at.own}.rows", axis=0),
        helper.make_node("Gather", [f"{at.table}.scale", at.index], [scale], f"{at.own}.scales", axis=0),
        helper.make_node("Cast", [narrow], [wide], f"{at.own}.wide", to=TensorProto.FLOAT),
        helper.make_node("Mul", [wide, scale], [at.result], f"{at.own}.scaled"),
    ]
