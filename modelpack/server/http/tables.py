"""Tables without names, as SageMaker's own algorithms take them: CSV without a header, and npy.

A row's columns are the inputs in the order of the signature, each with as many columns as it has values; one input may
take the rest: the one of varying length, or with a default. docs.aws.amazon.com/sagemaker/latest/dg/cdf-inference.html;
numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import csv
import io
import math
import re
import struct
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from modelpack.server.engines.base import Arrays
from modelpack.server.http.instances import Instances
from modelpack.server.http.limits import Limits
from modelpack.server.http.refusal import Refusal
from modelpack.server.http.tensors import EXACT, cast, check_rows, fill_left_out, pad
from modelpack.server.signature import Tensor

EMPTY = frozenset({"", "nan", "NaN", "NAN", "null"})
"""Cells without a value, as numpy and pandas write them too."""
LONGEST_HEADER = 4096
MOST_AXES = 16
NPY_LENGTHS = {b"\x93NUMPY\x01\x00": struct.Struct("<H"), b"\x93NUMPY\x02\x00": struct.Struct("<I")}
"""How the length of the header is written, by magic and version."""
NPY_HEADER = re.compile(
    rb"\{'descr': *'([<>|=]?[biufU]\d{1,9})', *'fortran_order': *(True|False), "
    rb"*'shape': *\(((?:\d{1,18}(?:, *|(?=\))))*)\),? *\} *\n?"
)
"""The one form that numpy writes: nothing is evaluated."""
Span = tuple[Tensor, int, int]
"""An input, its first column, and how many it has."""
LAST_CHARACTER, SURROGATES = 0x10FFFF, (0xD800, 0xDFFF)


def decode_csv(instances: Instances, body: bytes) -> tuple[Arrays, int]:
    """The arrays by input name, and their rows. Raises `Refusal` (400, 415)."""
    places = layout(instances.inputs)
    # one line more than may be: what refuses it then says so
    lines = islice(filter(None, _cells(body)), instances.limits.rows + 1)
    spans: dict[int, list[Span]] = {}
    rows = [
        _name_cells(spans.get(len(cells)) or spans.setdefault(len(cells), _spans(places, len(cells))), cells)
        for cells in lines
    ]
    if not rows:
        raise Refusal(400, "there are no lines")
    return instances.from_cells(rows)


def decode_npy(inputs: Sequence[Tensor], limits: Limits, body: bytes) -> tuple[Arrays, int]:
    """One array: the only input itself, or a table of all of them. Raises `Refusal` (400, 415)."""
    array = read_npy(body)
    if array.ndim == 0 or 0 in array.shape:
        raise Refusal(400, f"shape {list(array.shape)} has no rows, or an axis of length 0")
    rows = len(array)
    check_rows(rows, inputs, limits, {inputs[0].name: array.size})
    if len(inputs) == 1 and array.ndim == len(inputs[0].shape):
        return {inputs[0].name: pad(inputs[0], cast(inputs[0], array))}, rows
    if array.ndim != 2:
        shapes = ", ".join(f"{one.name} {list(one.shape)}" for one in inputs)
        raise Refusal(400, f"shape {list(array.shape)} is no table of the inputs ({shapes})")
    feeds = {}
    for tensor, begin, size in _spans(layout(inputs), array.shape[1]):
        part = array[:, begin : begin + size]
        shape = (
            rows,
            *(tensor.shape[1:] if -1 not in tensor.shape[1:] and tensor.default is None else (size,)),
        )
        if len(tensor.shape) == 1:
            shape = (rows,)
        feeds[tensor.name] = (
            pad(tensor, cast(tensor, part.reshape(shape))) if size else fill_left_out(tensor, rows)
        )
    return feeds, rows


def read_npy(body: bytes) -> NDArray[Any]:
    """The array of an npy file of exactly these bytes, in the one form that numpy writes; objects (pickles) are none.
    Raises `Refusal` (400)."""
    length = NPY_LENGTHS.get(body[:8])
    if length is None or len(body) < 8 + length.size:
        raise Refusal(400, "the body is not npy, version 1.0 or 2.0")
    begin = 8 + length.size + length.unpack_from(body, 8)[0]
    found = NPY_HEADER.fullmatch(body[8 + length.size : begin][:LONGEST_HEADER])
    if found is None:
        raise Refusal(
            400, "the header is not that of an npy array; numbers and text (U) are taken, objects are not"
        )
    descr, fortran, sizes = (part.decode() for part in found.groups())
    shape = tuple(int(size) for size in sizes.split(",") if size.strip())
    try:
        dtype = np.dtype(descr)
    except (TypeError, ValueError) as problem:
        raise Refusal(400, f"the header is not that of an npy array: {problem}") from None
    if (
        len(shape) > MOST_AXES
        or dtype.itemsize == 0
        or math.prod(shape) * dtype.itemsize != len(body) - begin
    ):
        raise Refusal(
            400, f"shape {list(shape)} of {dtype} is not the {max(0, len(body) - begin)} bytes that follow"
        )
    if dtype.kind == "U":
        check_texts(np.frombuffer(body, dtype.byteorder.replace("|", "=") + "u4", offset=begin))
    return np.frombuffer(body, dtype, offset=begin).reshape(shape, order="F" if fortran == "True" else "C")


def check_texts(codes: NDArray[np.uint32]) -> None:
    """Raises `Refusal` (400) for what is no character: numpy takes any 32 bits for one."""
    if ((codes > LAST_CHARACTER) | ((codes >= SURROGATES[0]) & (codes <= SURROGATES[1]))).any():
        raise Refusal(400, "an npy array of text holds what is no character")


def layout(inputs: Sequence[Tensor]) -> list[tuple[Tensor, int | None]]:
    """How many columns each input has; None: what the others leave. Raises `Refusal` (415) where they do not lie in
    columns."""
    places: list[tuple[Tensor, int | None]] = []
    for tensor in inputs:
        below = tensor.shape[1:]
        open_ended = -1 in below or tensor.default is not None
        if open_ended and len(below) > 1:
            raise _no_table(inputs)
        places.append((tensor, None if open_ended else math.prod(below)))
    if sum(size is None for _, size in places) > 1:
        raise _no_table(inputs)
    return places


def encode_csv(outputs: Arrays) -> bytes:
    """A line for each row: the outputs' values, one after another."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [array.reshape(len(array), -1).tolist() for array in outputs.values()]
    writer.writerows([value for part in parts for value in part] for parts in zip(*columns, strict=True))
    return text.getvalue().encode()


def encode_npy(outputs: Arrays) -> bytes:
    """The only output as it is, or a table of all of them. Raises `Refusal` (406) where one is text."""
    if any(array.dtype.kind not in "biuf" for array in outputs.values()):
        raise Refusal(406, "this model answers text, which npy does not hold; accept application/json")
    arrays = list(outputs.values())
    if len(arrays) > 1:
        joined = np.concatenate([array.reshape(len(array), -1) for array in arrays], axis=1)
        if any(array.dtype.kind in "iu" and joined.dtype.kind == "f" and _inexact(array) for array in arrays):
            raise Refusal(406, "one table would change whole numbers this large; accept application/json")
        arrays = [joined]
    stream = io.BytesIO()
    npy.write_array(stream, np.ascontiguousarray(arrays[0]), version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def _inexact(array: NDArray[Any]) -> bool:
    """Whether some whole number has no float64 of its own."""
    return bool(array.size) and (int(array.max()) > EXACT or int(array.min()) < -EXACT)


def _cells(body: bytes) -> Iterator[list[str]]:
    try:
        yield from csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
    except (UnicodeDecodeError, csv.Error) as problem:
        raise Refusal(400, f"the body is not CSV: {problem}") from None


def _name_cells(spans: Sequence[Span], cells: Sequence[str]) -> dict[str, Any]:
    """One row by input name; an empty cell is a missing value, or one left out. Raises `Refusal` (400)."""
    row: dict[str, Any] = {}
    for tensor, begin, size in spans:
        values = [_cell(tensor, cell) for cell in cells[begin : begin + size]]
        if tensor.default is not None:
            values = [value for value in values if value != ""]
        if len(tensor.shape) > 1:
            row[tensor.name] = _nest(values, tensor.shape[2:])
        elif values:
            row[tensor.name] = values[0]
    return row


def _cell(tensor: Tensor, cell: str) -> str | None:
    if tensor.datatype == "BYTES":
        return cell
    bare = cell.strip()
    return None if tensor.missing and bare in EMPTY else bare


def _nest(values: list[Any], below: Sequence[int]) -> list[Any]:
    """Values in a row as lists of these lengths."""
    for size in reversed(below):
        values = [values[place : place + size] for place in range(0, len(values), size)]
    return values


def _spans(places: Sequence[tuple[Tensor, int | None]], columns: int) -> list[Span]:
    """Where each input begins, and how many columns it has. Raises `Refusal` (400) when there are too many or few."""
    fixed = sum(size or 0 for _, size in places)
    rest = columns - fixed
    takes_rest = [tensor for tensor, size in places if size is None]
    most = math.inf if takes_rest and len(takes_rest[0].shape) > 1 else len(takes_rest)
    if rest < 0 or rest > most:
        names = ", ".join(
            f"{tensor.name} ({'the rest' if size is None else size})" for tensor, size in places
        )
        raise Refusal(400, f"a row has {columns} columns; the inputs are {names}")
    sizes = [rest if size is None else size for _, size in places]
    begins = accumulate(sizes, initial=0)
    return [(tensor, begin, size) for (tensor, _), begin, size in zip(places, begins, sizes, strict=False)]


def _no_table(inputs: Sequence[Tensor]) -> Refusal:
    shapes = ", ".join(f"{one.name} {list(one.shape)}" for one in inputs)
    return Refusal(415, f"the inputs do not lie in columns ({shapes}); send application/json")
