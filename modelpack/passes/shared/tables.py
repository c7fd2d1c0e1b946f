"""Embedding tables in a graph: which those are, and how a pass puts another form in their place.

A table is a constant float matrix that nothing but Gather reads, whole rows at a time. A pass says for each what is
kept instead and which nodes then answer a lookup; finding, replacing and writing is the same for all of them. Small
or narrow tables stay as they are.

`once` are nodes over constants alone. ONNX Runtime works them out while it loads the graph ("constant folding",
onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html), so that a form which is small on disk
need not be slow to read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from modelpack.formats.onnx_files import write
from modelpack.formats.variant import Variant
from modelpack.passes.base import Inapplicable

if TYPE_CHECKING:
    import onnx

FEWEST_ROWS = 256
NARROWEST = 8
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Lookup:
    """The names of one lookup: the table it read, its index, its result, and the node's own."""

    table: str
    index: str
    result: str
    own: str


@dataclass(frozen=True)
class Stored:
    """A table in another form: `arrays` by suffix, kept as `<table>.<suffix>`; what is worked out of them `once`;
    and the nodes that answer a lookup."""

    arrays: Mapping[str, NDArray[Any] | np.generic]
    lookup: Callable[[Lookup], Sequence[onnx.NodeProto]]
    once: Sequence[onnx.NodeProto] = field(default_factory=tuple)


def rewrite_tables(variant: Variant, folder: Path, store: Callable[[str, Floats], Stored | None]) -> Variant:
    """The variant with every table as `store(name, values)` says; None leaves a table as it is.

    Raises Inapplicable when there is no table, or none is changed.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(variant.path))
    graph = model.graph
    found = tables(graph)
    forms = {name: store(name, numpy_helper.to_array(tensor)) for name, tensor in found.items()}
    changed = {name: form for name, form in forms.items() if form is not None}
    if not changed:
        raise Inapplicable(
            f"no embedding table of at least {FEWEST_ROWS} rows and width {NARROWEST} that this pass can change"
        )
    for name, form in changed.items():
        graph.initializer.remove(found[name])
        for suffix, array in form.arrays.items():
            graph.initializer.append(numpy_helper.from_array(np.asarray(array), f"{name}.{suffix}"))
    answered = [part for node in graph.node for part in replace_lookup(node, changed)]
    del graph.node[:]
    graph.node.extend([*(node for form in changed.values() for node in form.once), *answered])
    return write(model, folder)


def tables(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """The tables by name, sorted: large enough, looked up, and read by nothing else."""
    lookups = [node for node in graph.node if is_lookup(node)]
    names = {node.input[0] for node in lookups} - used_elsewhere(graph, lookups)
    found = {tensor.name: tensor for tensor in graph.initializer if is_table(tensor)}
    return {name: found[name] for name in sorted(names & found.keys())}


def is_table(tensor: onnx.TensorProto) -> bool:
    """A float matrix of the size of a table."""
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


def used_elsewhere(graph: onnx.GraphProto, lookups: Sequence[onnx.NodeProto]) -> set[str]:
    """Values that something other than these lookups' tables reads, the graph's outputs included."""
    own = {id(node) for node in lookups}
    read = {name for node in graph.node for name in (node.input[1:] if id(node) in own else node.input)}
    return read | {value.name for value in graph.output}


def replace_lookup(node: onnx.NodeProto, changed: Mapping[str, Stored]) -> Sequence[onnx.NodeProto]:
    """The nodes in place of a lookup in a changed table; any other node as it is."""
    if not (is_lookup(node) and node.input[0] in changed):
        return [node]
    table, index = node.input
    return changed[table].lookup(Lookup(table, index, node.output[0], node.name))


def int8_lookup(at: Lookup) -> list[onnx.NodeProto]:
    """Gather rows of `<table>.int8`, widen only those by `<table>.scale` (one number); `<table>.zero` is 0.

    The zero is written out: where it is left out, ONNX Runtime (1.32) carries the widening past a Reshape with one that
    is unsigned, and every negative number becomes 0.
    """
    from onnx import helper

    narrow = f"{at.result}.int8"
    return [
        helper.make_node("Gather", [f"{at.table}.int8", at.index], [narrow], f"{at.own}.rows", axis=0),
        helper.make_node(
            "DequantizeLinear",
            [narrow, f"{at.table}.scale", f"{at.table}.zero"],
            [at.result],
            f"{at.own}.wide",
        ),
    ]


def lookup_in(suffix: str) -> Callable[[Lookup], list[onnx.NodeProto]]:
    """A plain Gather from `<table>.<suffix>`."""
    from onnx import helper

    return lambda at: [
        helper.make_node("Gather", [f"{at.table}.{suffix}", at.index], [at.result], at.own, axis=0)
    ]
