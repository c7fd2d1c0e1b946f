"""Large dense layers with weights of four bits on disk, multiplied in int8: an eighth of the size at int8's speed.

The recommender's scoring layer has a column for every product and is most of its bytes. Weights are packed in blocks
of 32 with a scale each; when the graph is loaded they become int8 with a scale per output (the same MatMulInteger as
the pass `int8`; 7 bits, because AVX2's multiply-add saturates beyond). MatMulNBits would keep four bits in memory too,
but unpacks at every call, which a full batch pays for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from modelpack.passes.base import GraphPass, Inapplicable, PassContext
from modelpack.passes.shared import nibbles, ranges
from modelpack.passes.shared.dense import Floats, layers_of
from modelpack.passes.shared.editing import Constants, add_constants, drop_unread, nodes_below, set_nodes

if TYPE_CHECKING:
    import onnx

FEWEST_WEIGHTS = 65_536
BLOCK = 32
STEPS = 63


class DenseInt4(GraphPass):
    """MatMul and Gemm with constant weights, large ones only."""

    name: ClassVar[str] = "dense-int4"
    title: ClassVar[str] = "large dense layers in packed int4, multiplied in int8"
    about: ClassVar[str] = "https://arxiv.org/abs/2212.09720"

    def change(self, model: onnx.ModelProto, context: PassContext) -> onnx.ModelProto:
        graph = model.graph
        layers = {
            place: np.ascontiguousarray(weights.T)
            for place, weights in layers_of(graph).items()
            if weights.size >= FEWEST_WEIGHTS and weights.shape[0] % BLOCK == 0
        }
        if not layers:
            raise Inapplicable(f"no dense layer of at least {FEWEST_WEIGHTS:,} constant weights")
        covered = ranges.find_ranges(model, {graph.node[place].input[0] for place in layers}, context)
        opset = ranges.opset_of(model)
        nodes: list[onnx.NodeProto] = []
        for place, node in enumerate(graph.node):
            if place not in layers:
                nodes.append(node)
                continue
            own, further = product(node, opset).nodes(covered.get(node.input[0]))
            nodes += own
            add_constants(graph, further)
        for name, weights in {graph.node[place].input[1]: found for place, found in layers.items()}.items():
            add_constants(graph, stored_constants(weights), below=name)
            nodes = [*multiplier(name), *nodes]
        set_nodes(graph, nodes)
        drop_unread(graph)
        ranges.with_domain(model)
        return model


def product(node: onnx.NodeProto, opset: int) -> ranges.Product:
    """A layer over the int8 weights that `multiplier` makes."""
    name, bias = node.input[1], node.input[2] if len(node.input) > 2 else ""
    return ranges.Product(node.input[0], f"{name}.int8", f"{name}.scale", bias, node.output[0], opset)


def stored_constants(weights: Floats) -> Constants:
    """What stays of (outputs, inputs) weights."""
    return {
        **nibbles.store(weights, BLOCK),
        "inputs": np.array([1], dtype=np.int64),
        "most": np.float32(STEPS),
        "least": np.float32(np.finfo(np.float16).tiny),
    }


def multiplier(name: str) -> list[onnx.NodeProto]:
    """Once, when the graph is loaded: `<name>.int8` (inputs, outputs) and `<name>.scale` (outputs,)."""
    from onnx import TensorProto

    node = nodes_below(name)
    return [
        *nibbles.widening(name),
        node("Abs", ["float"], "sizes"),
        node("ReduceMax", ["sizes", "inputs"], "largest", keepdims=1),
        node("Max", ["largest", "least"], "reach"),
        node("Div", ["reach", "most"], "step"),
        node("Div", ["float", "step"], "counted"),
        node("Round", ["counted"], "rounded"),
        node("Cast", ["rounded"], "narrow", to=TensorProto.INT8),
        node("Transpose", ["narrow"], "int8", perm=[1, 0]),
        node("Squeeze", ["step", "inputs"], "scale"),
    ]
