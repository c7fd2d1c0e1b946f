"""A converted graph's inputs and outputs under the use case's names, whole numbers in its width.

Converters name what the framework left unnamed ("keras_tensor"), so names are matched first, then places.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modelpack.formats.signature import Signature
from modelpack.server.signature import Tensor

if TYPE_CHECKING:
    import onnx

INSIDE = "given/"


def fit_names(graph: onnx.ModelProto, signature: Signature) -> onnx.ModelProto:
    """The graph with the signature's names; what cannot be matched stays as it is, for the check that follows."""
    from onnx import helper

    weights = {tensor.name for tensor in graph.graph.initializer}
    inputs = [value for value in graph.graph.input if value.name not in weights]
    for value, wanted in match_tensors(inputs, signature.inputs):
        inner = INSIDE + value.name
        rename(graph, value.name, inner)
        given = value.type.tensor_type.elem_type
        node = helper.make_node("Cast", [wanted.name], [inner], to=given)
        value.name = wanted.name
        value.type.tensor_type.elem_type = narrow_type(given, wanted)
        graph.graph.node.insert(0, node)
    for value, wanted in match_tensors(list(graph.graph.output), signature.outputs):
        inner = INSIDE + value.name
        rename(graph, value.name, inner)
        made = narrow_type(value.type.tensor_type.elem_type, wanted)
        graph.graph.node.append(helper.make_node("Cast", [inner], [wanted.name], to=made))
        value.name = wanted.name
        value.type.tensor_type.elem_type = made
    return graph


def match_tensors(given: Sequence[Any], wanted: Sequence[Tensor]) -> list[tuple[Any, Tensor]]:
    """Pairs by name where the names agree, else by place; none where the numbers differ."""
    if len(given) != len(wanted):
        return []
    named = {value.name: value for value in given}
    if set(named) == {tensor.name for tensor in wanted}:
        return [(named[tensor.name], tensor) for tensor in wanted]
    return list(zip(given, wanted, strict=True))


def rename(graph: onnx.ModelProto, old: str, new: str) -> None:
    """Every use of a value in the main graph and its subgraphs."""
    waiting: list[Any] = [*graph.graph.node]
    while waiting:
        node = waiting.pop()
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
        waiting.extend(
            inner for one in node.attribute for part in (one.g, *one.graphs) for inner in part.node
        )


def narrow_type(given: int, wanted: Tensor) -> int:
    """The wanted type where both are whole numbers, else the given one."""
    from onnx import TensorProto

    whole = {"INT32": TensorProto.INT32, "INT64": TensorProto.INT64}
    return int(whole[wanted.datatype]) if wanted.datatype in whole and given in whole.values() else given
