"""Embedding tables in int8: a quarter of the size, read with standard operators.

`DequantizeLinear` widens only the rows looked up, so the table stays small in memory too. One scale for the whole
table, chosen for the least squared error (clipping what lies far out): a scale per row is a little more exact but
needs a broadcast multiplication, which costs ONNX Runtime three times as much per row as this. Small or narrow
tables stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modelpack.draft import ONNX, Draft
from modelpack.passes.base import GRAPH, Pass, Workshop
from modelpack.sources.onnx import write

if TYPE_CHECKING:
    import onnx

FEWEST_ROWS = 256
NARROWEST = 8
STEPS = 127
SHARES = tuple(round(1 - 0.05 * step, 2) for step in range(15))


class EmbeddingInt8(Pass):
    """int8 for the tables that Gather reads."""

    name: ClassVar[str] = "embedding-int8"
    title: ClassVar[str] = "embedding tables in int8"
    stage: ClassVar[int] = GRAPH
    takes: ClassVar[str] = ONNX
    gives: ClassVar[str] = ONNX
    about: ClassVar[str] = "https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html"

    def apply(self, draft: Draft, workshop: Workshop) -> Draft:
        import onnx

        graph = onnx.load(str(draft.path))
        tables = {tensor.name: tensor for tensor in graph.graph.initializer if is_table(tensor)}
        lookups = [node for node in graph.graph.node if is_lookup(node) and node.input[0] in tables]
        if not lookups:
            raise ValueError(f"no embedding table of at least {FEWEST_ROWS} rows and width {NARROWEST}")
        only_looked_up = {node.input[0] for node in lookups} - used_elsewhere(graph.graph, lookups)
        for name in sorted(only_looked_up):
            quantize_table(graph.graph, tables[name])
        replaced = [part for node in graph.graph.node for part in widened(node, only_looked_up)]
        del graph.graph.node[:]
        graph.graph.node.extend(replaced)
        return write(graph, workshop.folder)


def is_table(tensor: onnx.TensorProto) -> bool:
    """A float matrix worth quantizing."""
    import onnx

    shape = tensor.dims
    return (
        tensor.data_type == onnx.TensorProto.FLOAT
        and len(shape) == 2
        and shape[0] >= FEWEST_ROWS
        and shape[1] >= NARROWEST
    )


def is_lookup(node: onnx.NodeProto) -> bool:
    """A Gather of whole rows."""
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
    return node.op_type == "Gather" and axis == 0


def used_elsewhere(graph: onnx.GraphProto, lookups: list[onnx.NodeProto]) -> set[str]:
    """Values that something other than a lookup reads."""
    outputs = {id(node) for node in lookups}
    return {name for node in graph.node if id(node) not in outputs for name in node.input}


def quantize_table(graph: onnx.GraphProto, table: onnx.TensorProto) -> None:
    """Replace the float table by `<name>.int8` (rows, width) and `<name>.scale` (one number)."""
    from onnx import numpy_helper

    values = numpy_helper.to_array(table)
    scale = best_scale(values)
    parts: list[tuple[str, Any]] = [("int8", in_steps(values, scale)), ("scale", np.float32(scale))]
    for suffix, array in parts:
        graph.initializer.append(numpy_helper.from_array(np.asarray(array), f"{table.name}.{suffix}"))
    graph.initializer.remove(table)


def best_scale(values: NDArray[np.float32]) -> float:
    """The scale with the least squared error among those that clip at 100 %, 95 % ... of the largest value."""
    largest = float(np.abs(values).max()) or 1.0
    smallest = float(np.finfo(np.float32).tiny)
    scales = [max(largest * share / STEPS, smallest) for share in SHARES]
    errors = [
        float(np.square(in_steps(values, scale) * np.float32(scale) - values).sum()) for scale in scales
    ]
    return scales[int(np.argmin(errors))]


def in_steps(values: NDArray[np.float32], scale: float) -> NDArray[np.int8]:
    """Values as whole steps of `scale`, clipped to -127..127."""
    steps: NDArray[np.float32] = np.rint(values / np.float32(scale))
    return np.clip(steps, -STEPS, STEPS).astype(np.int8)


def widened(node: onnx.NodeProto, tables: set[str]) -> list[onnx.NodeProto]:
    """A lookup in a quantized table as two nodes; any other node as it is."""
    from onnx import helper

    if not (is_lookup(node) and node.input[0] in tables):
        return [node]
    table, index = node.input
    result = node.output[0]
    return [
        helper.make_node("Gather", [f"{table}.int8", index], [f"{result}.int8"], f"{node.name}.rows", axis=0),
        helper.make_node(
            "DequantizeLinear", [f"{result}.int8", f"{table}.scale"], [result], f"{node.name}.wide"
        ),
    ]
