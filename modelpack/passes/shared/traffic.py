"""How often each row of a table is looked up by requests of the training period."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from modelpack.formats.signature import Arrays, Run
from modelpack.formats.variant import Variant
from modelpack.passes.shared.tables import is_lookup, tables

if TYPE_CHECKING:
    import onnx

AT_ONCE = 512


def count_lookups(variant: Variant, requests: Arrays) -> Mapping[str, NDArray[np.int64]]:
    """Lookups of every row by table: the part of the graph before the tables, run on these requests.

    So it holds for any table behind any vocabulary. A negative place counts from the end, as Gather reads it.
    """
    import onnx

    model = onnx.load(str(variant.path))
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
