"""Embedding tables in int8, one scale per row: a quarter of the size, read with standard operators.

A row is `scale * int8`, scale = max|row| / 127. Only the rows looked up are widened again, so the table stays small
in memory too. Method: Guan et al., "Post-Training 4-bit Quantization on Embedding Tables" (arXiv:1911.02079), here
in 8 bits, row-wise and symmetric. Tables that are small or narrow stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from modelpack.draft import ONNX, Draft
from modelpack.passes.base import GRAPH, Pass, Workshop
from modelpack.sources.onnx import write

if TYPE_CHECKING:
    import onnx

FEWEST_ROWS = 256
NARROWEST = 8
STEPS = 127


class EmbeddingInt8(Pass):
    """Row-wise int8 for the tables that Gather reads."""

    name: ClassVar[str] = "embedding-int8"
    title: ClassVar[str] = "embedding tables in int8"
    stage: ClassVar[int] = GRAPH
    takes: ClassVar[str] = ONNX
    gives: ClassVar[str] = ONNX
    about: ClassVar[str] = "https://arxiv.org/abs/1911.02079"

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
    """Replace the float table by `<name>.int8` (rows, width) and `<name>.scale` (rows, 1)."""
    from onnx import numpy_helper

    values = numpy_helper.to_array(table)
    scale = (np.abs(values).max(axis=1, keepdims=True) / STEPS).astype(np.float32)
    steps = np.divide(values, scale, out=np.zeros_like(values), where=scale > 0)
    parts: list[tuple[str, Any]] = [("int8", np.rint(steps).astype(np.int8)), ("scale", scale)]
    for suffix, array in parts:
        graph.initializer.append(numpy_helper.from_array(array, f"{table.name}.{suffix}"))
    graph.initializer.remove(table)


def widened(node: onnx.NodeProto, tables: set[str]) -> list[onnx.NodeProto]:
    """A lookup in a quantized table as four nodes; any other node as it is."""
    from onnx import TensorProto, helper

    if not (is_lookup(node) and node.input[0] in tables):
        return [node]
    table, index = node.input
    result = node.output[0]
    return [
        helper.make_node("Gather", [f"{table}.int8", index], [f"{result}.int8"], f"{node.name}.rows", axis=0),
        helper.make_node(
            "Gather", [f"{table}.scale", index], [f"{result}.scale"], f"{node.name}.scales", axis=0
        ),
        helper.make_node(
            "Cast", [f"{result}.int8"], [f"{result}.wide"], f"{node.name}.wide", to=TensorProto.FLOAT
        ),
        helper.make_node("Mul", [f"{result}.wide", f"{result}.scale"], [result], f"{node.name}.product"),
    ]
