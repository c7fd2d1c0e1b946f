"""Dense layers in int8: weights quantized per channel, activations in ranges found beforehand or row by row.

Symmetric weights in 7 bits: on CPUs without VNNI the 8-bit multiply-add of AVX2 saturates, and the same file has to
answer alike on every instance type. Why no range is shared between rows: `shared/ranges.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from modelpack.passes.base import GraphPass, Inapplicable, PassContext
from modelpack.passes.shared import ranges
from modelpack.passes.shared.dense import Floats, layers_of, own_bias, sizes_of
from modelpack.passes.shared.editing import add_constants, drop_unread, set_nodes
from modelpack.passes.shared.ranges import Product, Range

if TYPE_CHECKING:
    import onnx

STEPS = 63


class Int8(GraphPass):
    """Every MatMul and Gemm with constant weights."""

    name: ClassVar[str] = "int8"
    title: ClassVar[str] = "dense layers in int8"
    about: ClassVar[str] = "https://arxiv.org/abs/2004.09602"

    def change(self, model: onnx.ModelProto, context: PassContext) -> onnx.ModelProto:
        sizes = sizes_of(model.graph)
        layers = {
            place: weights
            for place, weights in layers_of(model.graph).items()
            if own_bias(sizes, model.graph.node[place], weights.shape[1]) is not None
        }
        if not layers:
            raise Inapplicable("no dense layer with constant float weights")
        covered = ranges.find_ranges(model, {model.graph.node[place].input[0] for place in layers}, context)
        rewrite(model.graph, layers, covered, ranges.opset_of(model))
        ranges.with_domain(model)
        return model


def rewrite(
    graph: onnx.GraphProto, layers: Mapping[int, Floats], covered: Mapping[str, Range], opset: int
) -> None:
    """Every layer in int8, in place."""
    made: list[Any] = []
    sizes = sizes_of(graph)
    for place, node in enumerate(graph.node):
        if place not in layers:
            made.append(node)
            continue
        result, weights = node.output[0], layers[place]
        scale = np.maximum(np.abs(weights).max(axis=0), np.finfo(np.float32).tiny) / np.float32(STEPS)
        own = {f"{result}.weights": np.rint(weights / scale).astype(np.int8), f"{result}.scale": scale}
        bias = own_bias(sizes, node, weights.shape[1]) or ""
        product = Product(node.input[0], f"{result}.weights", f"{result}.scale", bias, result, opset)
        nodes, constants = product.nodes(covered.get(node.input[0]))
        made += nodes
        add_constants(graph, own | constants)
    set_nodes(graph, made)
    drop_unread(graph)
