"""Embedding tables in int8 with a scale per row: closer than one scale per table, for a little more work per lookup.

Fit for a language model's words, where a request looks up a few rows and rare words lie far out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from modelpack.draft import ONNX, Draft
from modelpack.passes.base import GRAPH, Pass, Workshop
from modelpack.passes.embedding_int8 import STEPS, is_lookup, is_table, used_elsewhere
from modelpack.sources.onnx import write

if TYPE_CHECKING:
    import onnx


class EmbeddingRowsInt8(Pass):
    """Gather rows of int8, gather their scales, multiply."""

    name: ClassVar[str] = "embedding-rows-int8"
    title: ClassVar[str] = "embedding tables in int8, a scale per row"
    stage: ClassVar[int] = GRAPH
    takes: ClassVar[str] = ONNX
    gives: ClassVar[str] = ONNX
    about: ClassVar[str] = "https://arxiv.org/abs/1911.02079"

    def apply(self, draft: Draft, workshop: Workshop) -> Draft:
        import onnx

        graph = onnx.load(str(draft.path))
        tables = {tensor.name: tensor for tensor in graph.graph.initializer if is_table(tensor)}
        lookups = [node for node in graph.graph.node if is_lookup(node) and node.input[0] in tables]
        only_looked_up = {node.input[0] for node in lookups} - used_elsewhere(graph.graph, lookups)
        if not only_looked_up:
            raise ValueError("no embedding table that is large enough and only looked up")
        for name in sorted(only_looked_up):
            quantize_rows(graph.graph, tables[name])
        replaced = [part for node in graph.graph.node for part in widened(node, only_looked_up)]
        del graph.graph.node[:]
        graph.graph.node.extend(replaced)
        return write(graph, workshop.folder)


def quantize_rows(graph: onnx.GraphProto, table: onnx.TensorProto) -> None:
    """Replace the float table by `<name>.int8` (rows, width) and `<name>.scale` (rows, 1)."""
    from onnx import numpy_helper

    values = numpy_helper.to_array(table)
    scale = np.maximum(np.abs(values).max(axis=1, keepdims=True), 1e-12).astype(np.float32) / np.float32(
        STEPS
    )
    steps = np.clip(np.rint(values / scale), -STEPS, STEPS).astype(np.int8)
    for suffix, array in (("int8", steps), ("scale", scale)):
        graph.initializer.append(numpy_helper.from_array(array, f"{table.name}.{suffix}"))
    graph.initializer.remove(table)


def widened(node: onnx.NodeProto, tables: set[str]) -> list[onnx.NodeProto]:
    """A lookup in a quantized table as four nodes; any other node as it is."""
    from onnx import TensorProto, helper

    if not (is_lookup(node) and node.input[0] in tables):
        return [node]
    table, index = node.input
    result, own = node.output[0], node.name
    return [
        helper.make_node("Gather", [f"{table}.int8", index], [f"{result}.int8"], f"{own}.rows", axis=0),
        helper.make_node("Gather", [f"{table}.scale", index], [f"{result}.scale"], f"{own}.scales", axis=0),
        helper.make_node("Cast", [f"{result}.int8"], [f"{result}.wide"], f"{own}.wide", to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{result}.wide", f"{result}.scale"], [result], f"{own}.scaled"),
    ]
