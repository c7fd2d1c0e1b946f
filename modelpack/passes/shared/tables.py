"""Embedding tables in a graph: which those are, and how a pass puts another form in their place.

A table is a constant float matrix that nothing but Gather reads, whole rows at a time. A pass says for each what is
kept instead and which nodes then answer a lookup; finding, replacing and writing is the same for all of them. Small
or narrow tables stay as they are.

`once` are nodes over constants alone. ONNX Runtime works them out while it loads the graph ("constant folding",
onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html), so that a form which is small on disk
need not be slow to read.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from modelpack.formats.signature import Arrays, Run
from modelpack.passes.base import GraphPass, Inapplicable, PassContext
from modelpack.passes.shared.editing import Constants, add_constants, attributes_of, set_nodes

if TYPE_CHECKING:
    import onnx

FEWEST_ROWS = 256
NARROWEST = 8
AT_ONCE = 512
Floats = NDArray[np.float32]
Counts = NDArray[np.int64]


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

    arrays: Constants
    lookup: Callable[[Lookup], Sequence[onnx.NodeProto]]
    once: Sequence[onnx.NodeProto] = field(default_factory=tuple)


class TablePass(GraphPass):
    """A pass that keeps every table in another form; `by_traffic`: rows asked for often are treated otherwise."""

    by_traffic: ClassVar[bool] = False

    @abc.abstractmethod
    def store(self, name: str, values: Floats, seen: Counts | None) -> Stored | None:
        """What is kept of a table; None leaves it as it is. `seen`: how often each row is looked up by requests of the
        training period, None where the use case gives none."""

    def change(self, model: onnx.ModelProto, context: PassContext) -> onnx.ModelProto:
        from onnx import numpy_helper

        graph, found = model.graph, tables(model.graph)
        requests = context.traffic() if self.by_traffic else None
        seen = {} if requests is None else count_lookups(model, requests)
        forms = {
            name: self.store(name, numpy_helper.to_array(one), seen.get(name)) for name, one in found.items()
        }
        changed = {name: form for name, form in forms.items() if form is not None}
        if not changed:
            raise Inapplicable(
                f"no embedding table of at least {FEWEST_ROWS} rows and width {NARROWEST} that this pass can change"
            )
        for name, form in changed.items():
            graph.initializer.remove(found[name])
            add_constants(graph, form.arrays, below=name)
        answered = [part for node in graph.node for part in replace_lookup(node, changed)]
        set_nodes(graph, [*(node for form in changed.values() for node in form.once), *answered])
        return model


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
    return bool(node.op_type == "Gather" and attributes_of(node).get("axis", 0) == 0)


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


def count_lookups(model: onnx.ModelProto, requests: Arrays) -> Mapping[str, Counts]:
    """Lookups of every row by table: the part of the graph before the tables, run on these requests.

    So it holds for any table behind any vocabulary. A negative place counts from the end, as Gather reads it.
    """
    rows = {name: tensor.dims[0] for name, tensor in tables(model.graph).items()}
    read = [(node.input[0], node.input[1]) for node in model.graph.node if is_lookup(node)]
    read = [(table, index) for table, index in read if table in rows]
    seen = {name: np.zeros(count, dtype=np.int64) for name, count in rows.items()}
    run = places(model, sorted({index for _, index in read}))
    for begin in range(0, len(next(iter(requests.values()))), AT_ONCE):
        found = run({name: array[begin : begin + AT_ONCE] for name, array in requests.items()})
        for table, index in read:
            seen[table] += np.bincount(found[index].ravel() % rows[table], minlength=rows[table])
    return seen


def places(model: onnx.ModelProto, wanted: list[str]) -> Run:
    """A run of the graph as far as the `wanted` values; the graph's own inputs among them pass through."""
    import onnx
    import onnxruntime

    given = [value.name for value in model.graph.input]
    made = [name for name in wanted if name not in given]
    if not made:
        return lambda arrays: arrays
    part = onnx.utils.Extractor(onnx.shape_inference.infer_shapes(model)).extract_model(given, made)
    session = onnxruntime.InferenceSession(part.SerializeToString(), providers=["CPUExecutionProvider"])
    taken = {value.name for value in session.get_inputs()}

    def run(arrays: Arrays) -> Arrays:
        feeds = {name: np.ascontiguousarray(array) for name, array in arrays.items() if name in taken}
        return {**arrays, **dict(zip(made, session.run(made, feeds), strict=True))}

    return run
