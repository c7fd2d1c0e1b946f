"""What an ONNX graph says of its own inputs and outputs, in the words of the Open Inference Protocol."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from modelpack.errors import BadInput, Problem
from modelpack.formats.signature import Signature
from modelpack.server.signature import Tensor

if TYPE_CHECKING:
    import onnx

DATATYPES = {
    1: "FP32",
    2: "UINT8",
    3: "INT8",
    4: "UINT16",
    5: "INT16",
    6: "INT32",
    7: "INT64",
    8: "BYTES",
    9: "BOOL",
    10: "FP16",
    11: "FP64",
    12: "UINT32",
    13: "UINT64",
}
"""TensorProto.DataType -> the protocol's name (onnx.ai/onnx/api/classes.html#tensorproto)."""
TREES = frozenset({"TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor"})
"""Operators that send a missing value (NaN) down a branch of its own (onnx.ai/onnx/operators, ai.onnx.ml)."""
IMPUTER = "Imputer"
"""Puts a number in place of its `replaced_value_float`, which is NaN where a pipeline was trained on missing values."""


def own_signature(graph: onnx.ModelProto, path: Path) -> Signature:
    """The graph's inputs and outputs; the first axis is the rows, any other open axis is -1. Where trees or an imputer
    look at them, missing values are taken.

    Raises BadInput, all problems at once: no tensor, a data type that no request can carry, no first axis for rows.
    """
    weights = {tensor.name for tensor in graph.graph.initializer}
    given = [value for value in graph.graph.input if value.name not in weights]
    problems = [
        Problem(what, str(path), hint=hint)
        for word, values in (("input", given), ("output", graph.graph.output))
        for value in values
        for what, hint in [unfit(word, value)]
        if what
    ]
    if problems:
        raise BadInput(problems, hint="export the model anew")
    missing = any(takes_missing(node) for node in graph.graph.node)
    inputs = tuple(map(as_tensor, given))
    return Signature(with_missing(inputs) if missing else inputs, tuple(map(as_tensor, graph.graph.output)))


def takes_missing(node: onnx.NodeProto) -> bool:
    """Whether an operator has an answer of its own for NaN."""
    replaced = (one.f for one in node.attribute if one.name == "replaced_value_float")
    return node.op_type in TREES or (node.op_type == IMPUTER and any(map(math.isnan, replaced)))


def with_missing(inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The inputs, each of real numbers taking missing values."""
    return tuple(
        structs.replace(one, missing=True) if one.datatype.startswith("FP") else one for one in inputs
    )


def takes_one_row(graph: onnx.ModelProto) -> bool:
    """Whether some input or output has one row only."""
    weights = {tensor.name for tensor in graph.graph.initializer}
    given = [value for value in graph.graph.input if value.name not in weights]
    return any(sizes(value)[:1] == [1] for value in (*given, *graph.graph.output))


def unfit(word: str, value: onnx.ValueInfoProto) -> tuple[str, str]:
    """Why this input or output cannot be served, and what helps; empty when it can."""
    name = f"its {word} {value.name!r}"
    if value.type.WhichOneof("value") != "tensor_type":
        kind = value.type.WhichOneof("value") or "of no type"
        return f"{name} is no tensor ({kind})", "outputs = ('...',) in your use case keeps the others"
    tensor = value.type.tensor_type
    if tensor.elem_type not in DATATYPES:
        return f"{name} has a data type that requests cannot carry ({tensor.elem_type})", "take float32"
    if not tensor.HasField("shape"):
        return f"{name} does not say its shape", "export with shapes"
    if not tensor.shape.dim:
        return f"{name} has no axis for the rows", "one answer per row is needed"
    first = sizes(value)[0]
    if first > 1:
        return (
            f"{name} is fixed to {first} rows",
            "export with a free first axis (torch: dynamic_shapes; others: dynamic_axes)",
        )
    return "", ""


def as_tensor(value: onnx.ValueInfoProto) -> Tensor:
    """One input or output, rows first."""
    datatype = DATATYPES[value.type.tensor_type.elem_type]
    return Tensor(value.name, datatype, (-1, *sizes(value)[1:]))


def sizes(value: Any) -> list[int]:
    """Its axes, an open one as -1."""
    tensor = value.type.tensor_type
    return [size.dim_value if size.HasField("dim_value") else -1 for size in tensor.shape.dim]
