"""Dense layers of a text encoder in int8, where one scale per channel alone changes too many answers.

How the weights are found: `smoothing.py`. Calibrated on texts without answers that the use case names for it, never on
held-out requests. In the graph each layer with its bias becomes a multiplication, a QuantizeLinear in a range found
beforehand (why: `shared/ranges.py`) and one product of whole numbers; where many inputs make few outputs (and some
channels reach far out) a small product in float stands beside it. A GELU whose result is rounded to 8 bits anyway is
computed in its tanh form (`around.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modelpack.passes.base import GraphPass, Inapplicable, PassContext
from modelpack.passes.shared import ranges
from modelpack.passes.shared.dense import Bias, biases, matrices_of
from modelpack.passes.shared.editing import add_constants, drop_unread, set_nodes
from modelpack.passes.smooth.around import gelus_by_tanh
from modelpack.runtimes import torch_thread

if TYPE_CHECKING:
    import onnx

NARROWING = 2
INPUTS_PER_OUTLIER = 48


class SmoothInt8(GraphPass):
    """SmoothQuant, float outliers and GPTQ rounding for every MatMul with constant weights."""

    name: ClassVar[str] = "smooth-int8"
    title: ClassVar[str] = "dense layers in int8, smoothed"
    tools: ClassVar[tuple[str, ...]] = ("torch",)
    about: ClassVar[str] = "https://arxiv.org/abs/2211.10438, 2208.07339, 2210.17323, 1606.08415"

    def change(self, model: onnx.ModelProto, context: PassContext) -> onnx.ModelProto:
        layers = dense(model.graph)
        if not layers:
            raise Inapplicable("no dense layer with constant float weights")
        given = ranges.activations(model, {node.input[0] for node in layers.values()}, context)
        with torch_thread.inference():
            rewrite(model.graph, layers, given)
        ranges.with_domain(model)
        return model


def dense(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """MatMul nodes whose right side is a constant float matrix, by name."""
    matrices = matrices_of(graph)
    return {node.name: node for node in graph.node if node.op_type == "MatMul" and node.input[1] in matrices}


def rewrite(
    graph: onnx.GraphProto, layers: Mapping[str, onnx.NodeProto], given: Mapping[str, NDArray[np.float32]]
) -> None:
    """Every layer in int8, in place."""
    import torch
    from onnx import numpy_helper

    from modelpack.passes.smooth.smoothing import quantize

    added = biases(graph, layers)
    gelus_by_tanh(graph, layers)
    weights = {tensor.name: tensor for tensor in graph.initializer}
    replaced: list[Any] = []
    in_layers = {bias.result for bias in added.values()}
    for node in graph.node:
        if node.name not in layers:
            if node.output[0] not in in_layers:
                replaced.append(node)
            continue
        tensor = weights[node.input[1]]
        matrix = torch.from_numpy(numpy_helper.to_array(tensor).copy())
        inputs, outputs = matrix.shape
        outliers = inputs // INPUTS_PER_OUTLIER if inputs >= NARROWING * outputs else 0
        layer = quantize(torch.from_numpy(given[node.input[0]]), matrix, outliers)
        parts = {name: getattr(layer, name).numpy() for name in PARTS}
        parts |= {
            "unit": np.array(layer.covered.step, np.float32),
            "zero": np.array(layer.covered.zero, np.uint8),
        }
        replaced += nodes(node, parts, added.get(node.name, Bias("", node.output[0])))
        add_constants(graph, {name: array for name, array in parts.items() if array.size}, below=node.name)
    set_nodes(graph, replaced)
    drop_unread(graph)


PARTS = ("before", "weights", "scale", "outliers", "float_rows")


def nodes(node: onnx.NodeProto, parts: Mapping[str, NDArray[Any]], bias: Bias) -> list[onnx.NodeProto]:
    """The nodes that stand for one layer."""
    from onnx import helper

    given, result, own = node.input[0], bias.result, node.name
    beside = bool(parts["outliers"].size)
    whole = f"{own}.int" if beside else result
    codes, unit, zero = f"{own}.codes", f"{own}.unit", f"{own}.zero"
    given_as = [codes, f"{own}.weights", unit, f"{own}.scale", zero]
    made = [
        helper.make_node("Mul", [given, f"{own}.before"], [f"{own}.smooth"], f"{own}.smoothing"),
        helper.make_node("QuantizeLinear", [f"{own}.smooth", unit, zero], [codes], f"{own}.storing"),
        helper.make_node(
            "MatMulIntegerToFloat",
            [*given_as, *(("", bias.name) if bias.name else ())],
            [whole],
            f"{own}.int8",
            domain=ranges.DOMAIN,
        ),
    ]
    if beside:
        made += [
            helper.make_node("Gather", [given, f"{own}.outliers"], [f"{own}.far"], f"{own}.picking", axis=-1),
            helper.make_node(
                "MatMul", [f"{own}.far", f"{own}.float_rows"], [f"{own}.float"], f"{own}.float32"
            ),
            helper.make_node("Add", [whole, f"{own}.float"], [result], f"{own}.sum"),
        ]
    return made
