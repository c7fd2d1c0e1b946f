"""Dense layers of a text encoder in int8, where one scale per channel alone changes too many answers.

How the weights are found: `smoothing.py`. Calibrated on texts without answers that the use case names for it, never on
held-out requests. In the graph each layer with its bias becomes a multiplication and one DynamicQuantizeMatMul; where
many inputs make few outputs (and some channels reach far out) a small product in float stands beside it. A GELU whose
result is rounded to 8 bits anyway is computed in its tanh form (`around.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modelpack.formats.onnx_files import write
from modelpack.formats.variant import ONNX, Variant
from modelpack.passes.base import GRAPH, Inapplicable, Pass, PassContext
from modelpack.passes.smooth.around import Bias, biases, gelus_by_tanh
from modelpack.runtimes import single_thread
from modelpack.usecases.base import Arrays

if TYPE_CHECKING:
    import onnx

DOMAIN = "com.microsoft"
NARROWING = 2
INPUTS_PER_OUTLIER = 48
BATCH = 32


class SmoothInt8(Pass):
    """SmoothQuant, float outliers and GPTQ rounding for every MatMul with constant weights."""

    name: ClassVar[str] = "smooth-int8"
    title: ClassVar[str] = "dense layers in int8, smoothed"
    stage: ClassVar[int] = GRAPH
    takes: ClassVar[str] = ONNX
    gives: ClassVar[str] = ONNX
    about: ClassVar[str] = "https://arxiv.org/abs/2211.10438, 2208.07339, 2210.17323, 1606.08415"

    def apply(self, variant: Variant, context: PassContext) -> Variant:
        import onnx

        graph = onnx.load(str(variant.path))
        layers = dense(graph.graph)
        if not layers:
            raise Inapplicable("no dense layer with constant float weights")
        given = activations(graph, sorted({node.input[0] for node in layers.values()}), context)
        with single_thread.inference():
            rewrite(graph.graph, layers, given)
        if all(one.domain != DOMAIN for one in graph.opset_import):
            graph.opset_import.append(onnx.helper.make_opsetid(DOMAIN, 1))
        return write(graph, context.folder)


def dense(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """MatMul nodes whose right side is a constant float matrix, by name."""
    import onnx

    matrices = {
        tensor.name
        for tensor in graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2
    }
    return {node.name: node for node in graph.node if node.op_type == "MatMul" and node.input[1] in matrices}


def activations(
    graph: onnx.ModelProto, names: list[str], context: PassContext
) -> dict[str, NDArray[np.float32]]:
    """What the named values are on the calibration inputs, zero where a token is padding."""
    import onnx

    watched = onnx.ModelProto()
    watched.CopyFrom(graph)
    for name in names:
        watched.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = single_thread.session(watched.SerializeToString())
    inputs = context.whole_answers()
    count = len(next(iter(inputs.values())))
    parts = [
        session.run(names, {name: array[begin : begin + BATCH] for name, array in inputs.items()})
        for begin in range(0, count, BATCH)
    ]
    seen = {name: np.concatenate([part[place] for part in parts]) for place, name in enumerate(names)}
    return without_padding(seen, inputs, context)


def without_padding(
    seen: dict[str, NDArray[np.float32]], inputs: Arrays, context: PassContext
) -> dict[str, NDArray[np.float32]]:
    """Activations (texts, tokens, width) with zero where the use case's mask says that there is no token."""
    text = context.usecase.text
    if text is None:
        return seen
    mask = inputs[text.mask].astype(np.float32)[:, :, None]
    return {
        name: array * mask if array.ndim == 3 and array.shape[:2] == mask.shape[:2] else array
        for name, array in seen.items()
    }


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
        replaced += nodes(node, parts, added.get(node.name, Bias("", node.output[0])))
        for name, array in parts.items():
            if array.size:
                graph.initializer.append(numpy_helper.from_array(array, f"{node.name}.{name}"))
    read = {name for node in replaced for name in node.input}
    for tensor in weights.values():
        if tensor.name not in read:
            graph.initializer.remove(tensor)
    del graph.node[:]
    graph.node.extend(replaced)


PARTS = ("before", "weights", "scale", "outliers", "float_rows")


def nodes(node: onnx.NodeProto, parts: Mapping[str, NDArray[Any]], bias: Bias) -> list[onnx.NodeProto]:
    """The nodes that stand for one layer."""
    from onnx import helper

    given, result, own = node.input[0], bias.result, node.name
    beside = bool(parts["outliers"].size)
    whole = f"{own}.int" if beside else result
    made = [
        helper.make_node("Mul", [given, f"{own}.before"], [f"{own}.smooth"], f"{own}.smoothing"),
        helper.make_node(
            "DynamicQuantizeMatMul",
            [f"{own}.smooth", f"{own}.weights", f"{own}.scale", *(("", bias.name) if bias.name else ())],
            [whole],
            f"{own}.int8",
            domain=DOMAIN,
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
