"""ONNX models as files: written so that the same graph gives the same bytes, and read node by node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelpack.formats.variant import ONNX, Variant

if TYPE_CHECKING:
    import onnx


WEIGHTS_FILE = "model.bin"
GRAPH_FILE = "model.onnx"
INLINE_BYTES = 1024


def write(graph: onnx.ModelProto, folder: Path) -> Variant:
    """Graph and weights as two files in `folder`; the same model gives the same bytes on any path.

    Exporters leave notes in the graph (stack traces with paths, scopes): they are taken out.
    """
    import onnx

    folder.mkdir(parents=True, exist_ok=True)
    strip_notes(graph)
    onnx.save_model(
        graph,
        str(folder / GRAPH_FILE),
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=WEIGHTS_FILE,
        size_threshold=INLINE_BYTES,
        convert_attribute=False,
    )
    return Variant(ONNX, folder / GRAPH_FILE)


def strip_notes(graph: onnx.ModelProto) -> None:
    """Remove metadata and doc strings everywhere; they carry paths and do not change an answer."""
    graph.doc_string = ""
    del graph.metadata_props[:]
    parts: list[Any] = [graph.graph, *graph.functions]
    for part in parts:
        part.doc_string = ""
        del part.metadata_props[:]
        named = [*part.node, *getattr(part, "initializer", ()), *getattr(part, "value_info", ())]
        for item in [*named, *(getattr(part, "input", ()) if part is graph.graph else ())]:
            item.doc_string = ""
            del item.metadata_props[:]
        for item in getattr(part, "output", ()) if part is graph.graph else ():
            item.doc_string = ""
            del item.metadata_props[:]


def external_tensors(graph: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor, also in attributes and subgraphs, whose data lies in another file."""
    from onnx.external_data_helper import _get_all_tensors, uses_external_data

    return (tensor for tensor in _get_all_tensors(graph) if uses_external_data(tensor))


def nodes(graph: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Every node, also in subgraphs and functions."""
    waiting: list[Any] = [
        *graph.graph.node,
        *(node for function in graph.functions for node in function.node),
    ]
    while waiting:
        node = waiting.pop()
        yield node
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                waiting.extend(inner.node)
