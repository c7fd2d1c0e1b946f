"""Dense layers in a graph: which there are, with their weights, and the bias that is added to each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from modelpack.passes.shared.editing import attributes_of

if TYPE_CHECKING:
    import onnx

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Bias:
    """A bias (outputs,) by its name, empty when there is none, and the name of the layer's result with it."""

    name: str
    result: str


def readers(graph: onnx.GraphProto) -> Counter[str]:
    """How often each value is read; the graph's own outputs count."""
    return Counter(
        [name for node in graph.node for name in node.input] + [value.name for value in graph.output]
    )


def biases(graph: onnx.GraphProto, layers: Mapping[str, onnx.NodeProto]) -> dict[str, Bias]:
    """Constant biases by the layer's name, where nothing but their addition reads the layer."""
    read, results = readers(graph), {node.output[0]: name for name, node in layers.items()}
    widths = {tensor.name: tensor.dims[1] for tensor in graph.initializer if len(tensor.dims) == 2}
    rows = {tensor.name: tensor.dims[0] for tensor in graph.initializer if len(tensor.dims) == 1}
    found = {}
    for node in graph.node:
        if node.op_type != "Add":
            continue
        for layer, bias in (node.input, reversed(node.input)):
            name = results.get(layer)
            if name and read[layer] == 1 and rows.get(bias) == widths[layers[name].input[1]]:
                found[name] = Bias(bias, node.output[0])
    return found


def matrices_of(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """Constant float matrices by name."""
    from onnx import TensorProto

    return {
        tensor.name: tensor
        for tensor in graph.initializer
        if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 2
    }


def sizes_of(graph: onnx.GraphProto) -> dict[str, list[int]]:
    """The shapes of all constants by name."""
    return {tensor.name: list(tensor.dims) for tensor in graph.initializer}


def layers_of(graph: onnx.GraphProto) -> dict[int, Floats]:
    """The weights (inputs, outputs) of every MatMul and plain Gemm with constant float weights, by the node's place."""
    matrices, found = matrices_of(graph), {}
    for place, node in enumerate(graph.node):
        if node.op_type in ("MatMul", "Gemm") and node.input[1] in matrices:
            weights = inputs_first(node, matrices[node.input[1]])
            if weights is not None:
                found[place] = weights
    return found


def inputs_first(node: onnx.NodeProto, tensor: onnx.TensorProto) -> Floats | None:
    """A layer's weights as (inputs, outputs); None for a Gemm that does more than multiply and add."""
    from onnx import numpy_helper

    given = attributes_of(node)
    if (given.get("alpha", 1.0), given.get("beta", 1.0), given.get("transA", 0)) != (1.0, 1.0, 0):
        return None
    values: Floats = numpy_helper.to_array(tensor)
    return np.ascontiguousarray(values.T) if given.get("transB") else values


def own_bias(sizes: Mapping[str, list[int]], node: onnx.NodeProto, outputs: int) -> str | None:
    """The name of a Gemm's bias (outputs,); "" where there is none, None where it has another shape. `sizes`: of all
    constants (`sizes_of`)."""
    if node.op_type != "Gemm" or len(node.input) < 3 or not node.input[2]:
        return ""
    return node.input[2] if sizes.get(node.input[2]) == [outputs] else None
