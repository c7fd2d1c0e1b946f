"""ONNX graphs that are small on disk and huge in memory, refused from their headers.

Three ways: tensors whose dimensions promise more than the file holds; constants that an operator blows up
(ConstantOfShape, Expand, Tile, Range); local functions that call each other so often that inlining never ends.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelpack.errors import BadInput
from modelpack.sources.limits import LARGEST

if TYPE_CHECKING:
    import onnx

MOST_NODES = 1_000_000
SHAPED = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1}
"""Operators whose result's size is a constant's content, and which input that is."""
SMALL = 64


def check_bombs(graph: onnx.ModelProto, path: Path) -> None:
    """Raises BadInput for what the module's docstring lists."""
    from onnx.external_data_helper import _get_all_tensors

    shapes: dict[str, onnx.TensorProto] = {}
    for tensor in _get_all_tensors(graph):
        if problem := refuse_dimensions(tensor):
            raise BadInput(problem, where=str(path))
        if math.prod(tensor.dims) <= SMALL:
            shapes[tensor.name] = tensor
    if graph.graph.sparse_initializer:
        raise BadInput("sparse weights are refused", where=str(path))
    for problem in (*find_blow_ups(graph, shapes), *endless(graph)):
        raise BadInput(problem, where=str(path))


def refuse_dimensions(tensor: onnx.TensorProto) -> str | None:
    """What is wrong with a tensor's dimensions, in words."""
    from onnx import TensorProto

    if any(size < 0 for size in tensor.dims):
        return f"the tensor {tensor.name!r} has a negative dimension"
    numbers = math.prod(tensor.dims)
    if numbers > LARGEST * 2:
        return f"the tensor {tensor.name!r} claims {numbers:,} numbers: more than any model may hold"
    if tensor.data_location == TensorProto.EXTERNAL:
        length = {item.key: item.value for item in tensor.external_data}.get("length", "")
        there = int(length) if length.isascii() and length.isdigit() else LARGEST
    elif tensor.raw_data:
        there = len(tensor.raw_data)
    else:
        names = ("float_data", "int32_data", "int64_data", "string_data", "double_data", "uint64_data")
        there = max(len(getattr(tensor, name)) for name in names)
    # The smallest type packs four numbers in a byte.
    if numbers > 4 * there:
        return f"the tensor {tensor.name!r} claims {numbers:,} numbers and holds {there:,} bytes"
    return None


def find_blow_ups(graph: onnx.ModelProto, shapes: dict[str, onnx.TensorProto]) -> Iterator[str]:
    """Operators that would make a tensor larger than any model from a few bytes."""
    constants = dict(shapes)
    for node in every(graph.graph.node):
        if node.op_type == "Constant" and node.output:
            constants.update((node.output[0], one.t) for one in node.attribute if one.name == "value")
    for node in every([*graph.graph.node, *(node for function in graph.functions for node in function.node)]):
        place = SHAPED.get(node.op_type)
        if place is None or len(node.input) <= place or node.input[place] not in constants:
            continue
        shape = constants[node.input[place]]
        if not shape.external_data and math.prod(shape.dims) <= SMALL:
            sizes = whole_numbers(shape)
            if sizes is None:
                yield f"{node.op_type} {node.name!r} takes its sizes from what holds no whole numbers"
            elif (size := math.prod(map(abs, sizes))) > LARGEST:
                yield f"{node.op_type} {node.name!r} would make {size:,} numbers"


def whole_numbers(tensor: onnx.TensorProto) -> list[int] | None:
    """What a small tensor holds; None for a type, a length or numbers that no sizes have."""
    from onnx import numpy_helper

    try:
        return [int(one) for one in numpy_helper.to_array(tensor).reshape(-1).tolist()]
    except (TypeError, ValueError, OverflowError, KeyError):
        return None


def endless(graph: onnx.ModelProto) -> Iterator[str]:
    """Local functions that call themselves, or that unfold to more nodes than any model has."""
    functions = {(one.domain, one.name): list(every(one.node)) for one in graph.functions}
    sizes: dict[tuple[str, str], int] = {}
    waiting = [*functions]
    active: set[tuple[str, str]] = set()
    while waiting:
        name = waiting[-1]
        inner = [call for node in functions[name] if (call := (node.domain, node.op_type)) in functions]
        missing = [call for call in inner if call not in sizes]
        if name in active or not missing:
            if missing:
                yield f"the function {name[1]!r} calls itself"
                return
            sizes[name] = len(functions[name]) + sum(sizes[call] for call in inner)
            active.discard(name)
            waiting.pop()
            continue
        active.add(name)
        if back := active.intersection(missing):
            yield f"the function {min(back)[1]!r} calls itself"
            return
        waiting.extend(set(missing))
    total = sum(sizes.get((node.domain, node.op_type), 1) for node in every(graph.graph.node))
    if total > MOST_NODES or any(size > MOST_NODES for size in sizes.values()):
        yield f"unfolded it would have more than {MOST_NODES:,} nodes"


def every(nodes: Iterable[Any]) -> Iterator[Any]:
    """The nodes and those of their subgraphs."""
    waiting = [*nodes]
    while waiting:
        node = waiting.pop()
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                waiting.extend(inner.node)
