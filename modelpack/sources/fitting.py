"""A converted graph's inputs and outputs under the use case's names, whole numbers in its width.

Converters name what the framework left unnamed ("keras_tensor"), so names are matched first, then places.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from modelpack.formats.signature import Signature
from modelpack.server.signature import Tensor

if TYPE_CHECKING:
    import onnx

INSIDE = "given/"
"""Before a name that the graph itself has: repeated until nothing is called that."""


def fit_names(graph: onnx.ModelProto, signature: Signature) -> onnx.ModelProto:
    """The graph with the signature's names; what cannot be matched stays as it is, for the check that follows."""
    from onnx import helper

    weights = {tensor.name for tensor in graph.graph.initializer}
    given = [value for value in graph.graph.input if value.name not in weights]
    inputs = match_tensors(given, signature.inputs)
    outputs = match_tensors(list(graph.graph.output), signature.outputs)
    inner = free_names(graph, [*inputs, *outputs])
    for value, wanted in inputs:
        kind = value.type.tensor_type.elem_type
        node = helper.make_node("Cast", [wanted.name], [inner[value.name]], to=kind)
        value.name = wanted.name
        value.type.tensor_type.elem_type = narrow_type(kind, wanted)
        graph.graph.node.insert(0, node)
    for value, wanted in outputs:
        made = narrow_type(value.type.tensor_type.elem_type, wanted)
        graph.graph.node.append(helper.make_node("Cast", [inner[value.name]], [wanted.name], to=made))
        value.name = wanted.name
        value.type.tensor_type.elem_type = made
    return graph


def give_rows(graph: onnx.ModelProto) -> list[str]:
    """Inputs that are one number for a whole call take one for each row; such a model takes a row at a time. Their
    names."""
    from onnx import helper, numpy_helper

    weights = {tensor.name for tensor in graph.graph.initializer}
    single = [
        value
        for value in graph.graph.input
        if value.name not in weights
        and value.type.tensor_type.HasField("shape")
        and not value.type.tensor_type.shape.dim
    ]
    inner = free_names(graph, [(value, value) for value in single])
    for value in single:
        shape = f"{inner[value.name]}/shape"
        graph.graph.initializer.append(numpy_helper.from_array(np.zeros(0, np.int64), shape))
        node = helper.make_node("Reshape", [value.name, shape], [inner[value.name]])
        graph.graph.node.insert(0, node)
        value.type.tensor_type.shape.dim.add(dim_param="rows")
    return [value.name for value in single]


def free_names(graph: onnx.ModelProto, pairs: Sequence[tuple[Any, Any]]) -> dict[str, str]:
    """Rename, all at once, what the graph calls by the given or the wanted names: old name -> inner name."""
    known = {name for part in parts_of(graph.graph) for name in names_in(part)}
    asked = dict.fromkeys([value.name for value, _ in pairs] + [wanted.name for _, wanted in pairs])
    inner: dict[str, str] = {}
    for old in asked:
        new = INSIDE + old
        while new in known or new in asked or new in inner.values():
            new = INSIDE + new
        inner[old] = new
    for part in parts_of(graph.graph):
        for node in part.node:
            for names in (node.input, node.output):
                names[:] = [inner.get(name, name) for name in names]
        for value in part.initializer:
            value.name = inner.get(value.name, value.name)
        for value in [] if part is graph.graph else [*part.input, *part.output]:
            value.name = inner.get(value.name, value.name)
    return inner


def parts_of(graph: Any) -> Iterator[Any]:
    """The graph and all within its nodes."""
    waiting = [graph]
    while waiting:
        part = waiting.pop()
        yield part
        waiting.extend(
            inner
            for node in part.node
            for one in node.attribute
            for inner in (*([one.g] if one.HasField("g") else []), *one.graphs)
        )


def names_in(part: Any) -> Iterator[str]:
    """Every value that a graph names."""
    yield from (value.name for values in (part.input, part.output, part.initializer) for value in values)
    yield from (name for node in part.node for name in (*node.input, *node.output))


def match_tensors(given: Sequence[Any], wanted: Sequence[Tensor]) -> list[tuple[Any, Tensor]]:
    """Pairs by name where the names agree, else by place; none where the numbers differ."""
    if len(given) != len(wanted):
        return []
    named = {value.name: value for value in given}
    if set(named) == {tensor.name for tensor in wanted}:
        return [(named[tensor.name], tensor) for tensor in wanted]
    return list(zip(given, wanted, strict=True))


def wanted_names(given: Sequence[str], wanted: Sequence[Tensor]) -> dict[str, str]:
    """The wanted name of each given one: its own where that is wanted, else by place where the numbers agree."""
    names = [tensor.name for tensor in wanted]
    if set(names) <= set(given):
        return {name: name for name in names}
    return dict(zip(given, names, strict=True)) if len(given) == len(names) else {}


def narrow_type(given: int, wanted: Tensor) -> int:
    """The wanted type where both are whole numbers, else the given one."""
    from onnx import TensorProto

    whole = {"INT32": TensorProto.INT32, "INT64": TensorProto.INT64}
    return int(whole[wanted.datatype]) if wanted.datatype in whole and given in whole.values() else given
