"""Attention in 16 bits inside a graph in 32, for ONNX Runtime's CUDA provider.

It has GroupQueryAttention in float16 and bfloat16 only (github.com/microsoft/onnxruntime, docs/OperatorKernels.md; the
types compiled into onnxruntime-gpu 1.31.1 say the same). In float32 every layer's attention would run on the CPU, and
the caches would cross the bus at every step. So queries, keys and values are cast around it and the caches are kept in
float16: half of the memory as well. All else stays float32, and the CPU provider runs the very same graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

ATTENTION = "GroupQueryAttention"
CACHES, TURNS = (3, 4), (7, 8)
"""Places of the operator's caches, and of its tables of rotary positions, among its inputs."""

_FLOATS = frozenset({"float", "float16"})
KERNELS: Mapping[str, frozenset[str]] = {
    "Add": _FLOATS,
    "Cast": _FLOATS,
    "Gather": _FLOATS,
    "GroupQueryAttention": frozenset({"float16", "bfloat16"}),
    "MatMul": _FLOATS,
    "MatMulNBits": _FLOATS,
    "Mul": _FLOATS,
    "Neg": _FLOATS | {"int64"},
    "ReduceSum": _FLOATS,
    "Reshape": _FLOATS,
    "Sigmoid": _FLOATS,
    "SimplifiedLayerNormalization": _FLOATS,
    "Slice": _FLOATS,
    "Split": _FLOATS,
    "Squeeze": _FLOATS,
}
"""Operators of our steps -> the element types of the first input that the CUDA provider has a kernel for, as far as the
steps use them. Source: the kernels' classes named in onnxruntime-gpu 1.31.1's own library, and OperatorKernels.md."""


def half_attention(graph: onnx.ModelProto) -> int:
    """Change `graph` in place; how many attentions in float32 were found."""
    from onnx import TensorProto, helper

    nodes, caches, turns, found = [], set[str](), set[str](), 0
    floats = {one.name for one in graph.graph.input if one.type.tensor_type.elem_type == TensorProto.FLOAT}
    for node in graph.graph.node:
        if node.op_type != ATTENTION or node.input[CACHES[0]] not in floats:
            nodes.append(node)
            continue
        found += 1
        given, result = [name for name in node.input[:3] if name], node.output[0]
        caches |= {*(node.input[place] for place in CACHES), *node.output[1:3]}
        turns |= {node.input[place] for place in TURNS if len(node.input) > place}
        for place, name in enumerate(given):
            nodes.append(helper.make_node("Cast", [name], [f"{name}.half"], to=TensorProto.FLOAT16))
            node.input[place] = f"{name}.half"
        node.output[0] = f"{result}.half"
        nodes.append(node)
        nodes.append(helper.make_node("Cast", [f"{result}.half"], [result], to=TensorProto.FLOAT))
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    for value in (*graph.graph.input, *graph.graph.output):
        if value.name in caches:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    _halve(graph, turns)
    return found


def _halve(graph: onnx.ModelProto, names: set[str]) -> None:
    """These constants in float16."""
    import numpy as np
    from onnx import numpy_helper

    for tensor in graph.graph.initializer:
        if tensor.name in names:
            values = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def on_the_cpu(graph: onnx.ModelProto) -> tuple[str, ...]:
    """What of a language model's step the CUDA provider has no kernel for, by operator and type: it would run on the
    CPU. An operator that is in no step of ours is named as well, for nobody looked it up."""
    import onnx

    known = onnx.shape_inference.infer_shapes(graph).graph
    types = {one.name: one.type.tensor_type.elem_type for one in (*known.input, *known.value_info)}
    types |= {one.name: one.data_type for one in known.initializer}
    made: set[str] = set()
    for node in known.node:
        kind = onnx.TensorProto.DataType.Name(types.get(node.input[0], onnx.TensorProto.FLOAT)).lower()
        if kind not in KERNELS.get(node.op_type, frozenset()):
            made.add(f"{node.op_type} ({kind})")
    return tuple(sorted(made))
