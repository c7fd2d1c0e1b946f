"""From columns of a table to a request of the server, and from its answer to columns again.

Requests are Open Inference Protocol v2 with binary tensors: no number is written as text on the way. Where rows have
lists of several lengths, and where a use case answers in its own way, they are `/invocations` bodies instead.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from modelpack.errors import BadInput
from modelpack.server.signature import ModelSignature, Tensor

LENGTH = struct.Struct("<I")
INVOCATIONS = "/invocations"
OF_DATATYPE = {
    "BOOL": pa.bool_(),
    **{f"UINT{bits}": getattr(pa, f"uint{bits}")() for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": getattr(pa, f"int{bits}")() for bits in (8, 16, 32, 64)},
    "FP16": pa.float16(),
    "FP32": pa.float32(),
    "FP64": pa.float64(),
    "BYTES": pa.string(),
}
"""What a datatype of the protocol is in a table."""


class BadRow(Exception):
    """A value that the model does not take. `row`: of the batch, from 0; None: of the column as a whole."""

    def __init__(self, what: str, row: int | None = None) -> None:
        super().__init__(what)
        self.row = row


@dataclass(frozen=True)
class Body:
    """`header`: bytes of JSON before binary tensors; 0: all of it is JSON."""

    path: str
    data: bytes
    header: int = 0


@dataclass(frozen=True)
class ScoringColumns:
    """Which columns the model reads (`read`), and which are copied beside its answers (`keep`)."""

    signature: ModelSignature
    schema: pa.Schema
    read: tuple[Tensor, ...]
    keep: tuple[str, ...]

    @property
    def output(self) -> pa.Schema:
        """What is written: kept columns, then the model's answers."""
        kept = [self.schema.field(name) for name in self.keep]
        return pa.schema([*kept, *((one.name, answer_type(one)) for one in self.signature.outputs)])


def plan(signature: ModelSignature, schema: pa.Schema, keep: Sequence[str], as_text: bool) -> ScoringColumns:
    """`keep` empty: whatever is no input. `as_text`: the table's columns are text, as a CSV's are, and are read in the
    model's types.

    Raises:
        BadInput: a column is missing, or is kept under the name of an answer.
    """
    inputs = {one.name: one for one in signature.inputs}
    lacking = [name for name, one in inputs.items() if name not in schema.names and one.default is None]
    unknown = [name for name in keep if name not in schema.names]
    kept = tuple(keep) or tuple(name for name in schema.names if name not in inputs)
    answers = [one.name for one in signature.outputs if one.name in kept]
    problems = [
        *(f"the table has no column {name}, which the model takes" for name in lacking),
        *(f"--keep {name}: the table has no such column" for name in unknown),
        *(
            f"the table has a column {name}, which is what the model answers: choose by --keep"
            for name in answers
        ),
    ]
    if problems:
        raise BadInput("; ".join(problems), hint=f"its columns are {', '.join(schema.names)}")
    read = tuple(one for name, one in inputs.items() if name in schema.names)
    if as_text:
        if deep := [one.name for one in read if len(one.shape) > 1]:
            raise BadInput(f"{', '.join(deep)}: lists do not stand in a CSV", hint="Parquet holds them")
        types = {one.name: OF_DATATYPE[one.datatype] for one in read if one.name not in kept}
        schema = pa.schema([(name, types.get(name, pa.string())) for name in schema.names])
    wanted = {*kept, *(one.name for one in read)}
    return ScoringColumns(signature, pa.schema([one for one in schema if one.name in wanted]), read, kept)


def answer_type(tensor: Tensor) -> pa.DataType:
    """Of one output in a table: a list for each axis behind the rows."""
    kind = OF_DATATYPE[tensor.datatype]
    for _ in tensor.shape[1:]:
        kind = pa.list_(kind)
    return kind


def encode(plan: ScoringColumns, batch: pa.RecordBatch) -> Body:
    """A request for these rows. Raises BadRow."""
    found = {one.name: values_of(one, batch.column(one.name)) for one in plan.read}
    arrays = {name: array for name, array in found.items() if array is not None}
    if len(arrays) < len(found) or plan.signature.handler is not None:
        return Body(INVOCATIONS, _json({"instances": instances(plan, batch)}))
    blobs = {one.name: _blob(one, arrays[one.name]) for one in plan.read}
    described = [
        {
            "name": one.name,
            "datatype": one.datatype,
            "shape": list(np.shape(arrays[one.name])),
            "parameters": {"binary_data_size": len(blobs[one.name])},
        }
        for one in plan.read
    ]
    head = _json({"inputs": described, "parameters": {"binary_data_output": True}})
    return Body(f"/v2/models/{plan.signature.model}/infer", b"".join((head, *blobs.values())), len(head))


def instances(plan: ScoringColumns, batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """The rows as `/invocations` takes them, in the model's types. Raises BadRow."""
    columns = {one.name: _list_values(one, batch.column(one.name)) for one in plan.read}
    return [{name: values[row] for name, values in columns.items()} for row in range(batch.num_rows)]


def decode(plan: ScoringColumns, rows: int, data: bytes, header: int) -> list[pa.Array]:
    """The answers in the order of the signature. Raises ValueError for what is no answer to that many rows."""
    document = json.loads(data[:header] if header else data)
    if "predictions" in document:
        found = document["predictions"]
        columns = [
            pa.array([row[one.name] for row in found], answer_type(one)) for one in plan.signature.outputs
        ]
    else:
        read = _read_binary(plan, document["outputs"], data[header:])
        columns = [read[one.name] for one in plan.signature.outputs]
    if any(len(column) != rows for column in columns):
        raise ValueError(f"{rows} rows were asked, and {[len(column) for column in columns]} answered")
    return columns


def values_of(tensor: Tensor, column: pa.Array) -> NDArray[Any] | pa.Array | None:
    """One input as an array in the tensor's own type; texts stay in their column; None: rows of several lengths.
    Raises BadRow."""
    shape = [len(column)]
    for _ in tensor.shape[1:]:
        if not _is_list(column.type):
            raise BadRow(f"{tensor.name} is {column.type}; the model takes lists")
        _refuse_nulls(tensor, column)
        lengths = pc.unique(pc.list_value_length(column))
        if len(lengths) > 1 or not lengths or not lengths[0].as_py():
            return None
        shape.append(lengths[0].as_py())
        column = column.flatten()
    return _convert(tensor, column, tuple(shape))


def _convert(tensor: Tensor, column: pa.Array, shape: tuple[int, ...]) -> NDArray[Any] | pa.Array:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.dictionary_decode(), kind.value_type
    if _is_list(kind):
        raise BadRow(f"{tensor.name} has lists in it; the model takes {tensor.datatype}")
    fits = {"BYTES": _is_text, "BOOL": pa.types.is_boolean}.get(tensor.datatype, _is_number)
    if not fits(kind) and not pa.types.is_null(kind):
        raise BadRow(f"{tensor.name} is {kind}; the model takes {tensor.datatype}")
    if tensor.missing and column.null_count:
        column = pc.fill_null(pc.cast(column, pa.float64()), float("nan"))
    _refuse_nulls(tensor, column)
    if tensor.datatype == "BYTES":
        return column if len(shape) == 1 else np.array(column.to_pylist(), object).reshape(shape)
    try:
        # a float64 on the way: what a table's decimal or int64 is as FP32 is rounded once, as JSON's numbers are
        through = pa.float64() if tensor.datatype.startswith("FP") else OF_DATATYPE[tensor.datatype]
        made = pc.cast(column, through, safe=not tensor.datatype.startswith("FP"))
    except pa.ArrowInvalid as problem:
        raise BadRow(f"{tensor.name}: {problem}") from None
    with np.errstate(over="ignore"):
        return made.to_numpy(zero_copy_only=False).astype(tensor.dtype, copy=False).reshape(shape)


def _list_values(tensor: Tensor, column: pa.Array) -> list[Any]:
    """The values as JSON has them; a missing one is null."""
    if len(tensor.shape) > 1:
        _refuse_nulls(tensor, column)
        found: list[Any] = column.to_pylist()
        return found
    array = _convert(tensor, column, (len(column),))
    if isinstance(array, pa.Array):
        texts: list[Any] = array.to_pylist()
        return texts
    return [None if value != value else value for value in array.tolist()]


def _refuse_nulls(tensor: Tensor, column: pa.Array) -> None:
    if column.null_count:
        row = pc.index(pc.is_null(column), value=True).as_py()
        raise BadRow(f"{tensor.name} has no value, and the model takes no missing ones there", row)


def _blob(tensor: Tensor, array: NDArray[Any] | pa.Array) -> bytes:
    if tensor.datatype == "BYTES":
        texts = array.to_pylist() if isinstance(array, pa.Array) else array.ravel().tolist()
        encoded = [text.encode() for text in texts]
        return b"".join(part for text in encoded for part in (LENGTH.pack(len(text)), text))
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()


def _read_binary(
    plan: ScoringColumns, described: Sequence[Mapping[str, Any]], raw: bytes
) -> dict[str, pa.Array]:
    tensors = {one.name: one for one in plan.signature.outputs}
    found, place = {}, 0
    for item in described:
        tensor, size = tensors[item["name"]], item["parameters"]["binary_data_size"]
        found[tensor.name] = _read_tensor(tensor, item["shape"], raw[place : place + size])
        place += size
    return found


def _read_tensor(tensor: Tensor, shape: Sequence[int], raw: bytes) -> pa.Array:
    if tensor.datatype == "BYTES":
        flat = pa.array(_read_texts(raw), pa.string())
    else:
        flat = pa.array(
            np.frombuffer(raw, np.dtype(tensor.dtype).newbyteorder("<")), OF_DATATYPE[tensor.datatype]
        )
    for axis in reversed(range(1, len(shape))):
        offsets = np.arange(0, len(flat) + 1, max(shape[axis], 1), dtype=np.int32)
        flat = pa.ListArray.from_arrays(offsets, flat)
    return flat


def _read_texts(raw: bytes) -> list[str]:
    texts, place = [], 0
    while place < len(raw):
        (length,) = LENGTH.unpack_from(raw, place)
        place += LENGTH.size + length
        texts.append(raw[place - length : place].decode())
    return texts


def _json(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
