"""From values that callers send to arrays of the signature: types, whole numbers, missing values, padding, bounds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from types import GenericAlias
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from modelpack.server.engines.base import Arrays
from modelpack.server.http import extra_fields
from modelpack.server.http.limits import Limits
from modelpack.server.http.refusal import Refusal
from modelpack.server.signature import Tensor

LIMITS = {
    "UINT8": (0, 2**8 - 1),
    "UINT16": (0, 2**16 - 1),
    "UINT32": (0, 2**32 - 1),
    "UINT64": (0, None),
    "INT8": (-(2**7), 2**7 - 1),
    "INT16": (-(2**15), 2**15 - 1),
    "INT32": (-(2**31), 2**31 - 1),
    "INT64": (-(2**63), 2**63 - 1),
}
EXACT = 2**53
"""Whole numbers up to here are exact as a float64."""


def element(tensor: Tensor, whole_floats: bool = False) -> Any:
    """The msgspec type of one value of a tensor; with `whole_floats` an integer may be written as 5.0."""
    if tensor.datatype in LIMITS:
        low, high = LIMITS[tensor.datatype]
        kind: Any = Annotated[int, msgspec.Meta(ge=low, le=high)]
        return kind | float if whole_floats else kind
    kind = {"BOOL": bool, "BYTES": str}.get(tensor.datatype, float)
    return kind | None if tensor.missing else kind


def nest(kind: Any, depth: int) -> Any:
    """Lists of lists of a type."""
    for _ in range(depth):
        kind = GenericAlias(list, (kind,))
    return kind


def column(tensor: Tensor, values: Sequence[Any]) -> NDArray[Any]:
    """One input of all rows as an array, short values padded. Raises `Refusal` for ragged rows, for numbers that are
    too large, and for missing values that the input does not take."""
    shape = tensor.shape[1:]
    if tensor.default is not None and len(shape) == 1 and shape[0] >= 0:
        return finite(tensor, _padded_lists(tensor, values, shape[0]))
    if tensor.default is not None:
        values = [_fit(value, shape, tensor.default) for value in values]
    return from_lists(tensor, values)


def whole(tensor: Tensor, values: Sequence[Any]) -> list[Any]:
    """The values of an integer tensor, 5.0 written as 5. Raises `Refusal` (400) with the row of what is not whole."""

    def make(row: int, value: Any) -> Any:
        if isinstance(value, list):
            return [make(row, entry) for entry in value]
        if isinstance(value, float):
            if not value.is_integer() or abs(value) > EXACT:
                far = (
                    value.is_integer()
                    and f"beyond {EXACT:,}, where a float is not exact: write it without a point"
                )
                what = f"{value!r} is {far or 'no whole number'}"
                raise Refusal(400, f"input {tensor.name!r} is {tensor.datatype}, and in row {row} {what}")
            return int(value)
        return value

    return [make(row, value) for row, value in enumerate(values)]


def from_lists(tensor: Tensor, values: Sequence[Any]) -> NDArray[Any]:
    """Nested lists, with the rows outside, as an array of as many axes as the tensor has. Raises `Refusal`."""
    array = _array(tensor, values)
    if array.ndim != len(tensor.shape):
        raise Refusal(400, f"input {tensor.name!r}: all instances must have the same length")
    return finite(tensor, array)


def flat(tensor: Tensor, values: Sequence[Any]) -> NDArray[Any]:
    """Values in a row as an array of one axis. Raises `Refusal`."""
    return finite(tensor, _array(tensor, values))


def cast(tensor: Tensor, array: NDArray[Any]) -> NDArray[Any]:
    """Numbers of any type in the tensor's own, where none is changed by it. Raises `Refusal`."""
    have, want = array.dtype.kind, np.dtype(tensor.dtype).kind
    if have not in "biufU" or (have == "U") != (want == "O") or (want == "b" and have != "b"):
        raise Refusal(400, f"input {tensor.name!r} is {tensor.datatype}; {array.dtype} does not fit")
    if want in "iu" and have == "f":
        whole = np.isfinite(array) & (np.trunc(array) == array) & (np.abs(array) <= EXACT)
        if not whole.all():
            raise Refusal(
                400, f"input {tensor.name!r} is {tensor.datatype}; {array[~whole][0]} is no whole number"
            )
    if want in "iu":
        _check_range(tensor, array)
    try:
        with np.errstate(over="ignore"):
            return finite(tensor, np.ascontiguousarray(array.astype(tensor.dtype)))
    except ValueError as problem:
        raise Refusal(400, f"input {tensor.name!r}: {problem}") from None


def pad(tensor: Tensor, array: NDArray[Any]) -> NDArray[Any]:
    """The array in the shape of the signature: filled up with the default at the end, or cut to its last entries.
    Raises `Refusal` (400) where it has neither that shape nor a default."""
    if all(want in (-1, have) for want, have in zip(tensor.shape, array.shape, strict=True)):
        return array
    if tensor.default is None:
        raise Refusal(
            400, f"input {tensor.name!r}: shape {list(array.shape)} does not fit {list(tensor.shape)}"
        )
    shape = tuple(have if want < 0 else want for want, have in zip(tensor.shape, array.shape, strict=True))
    padded = np.full(shape, tensor.default, dtype=tensor.dtype)
    kept = array[tuple(slice(-size, None) for size in shape)]
    padded[tuple(slice(size) for size in kept.shape)] = kept
    return padded


def fill_left_out(tensor: Tensor, rows: int) -> NDArray[Any]:
    """The array of an input that nobody gave. Raises `Refusal` when it has no default."""
    if tensor.default is None:
        raise Refusal(400, f"input {tensor.name!r} is missing")
    return column(tensor, [msgspec.UNSET] * rows)


def finite(tensor: Tensor, array: NDArray[Any]) -> NDArray[Any]:
    """The array itself. Raises `Refusal` for an axis of length 0, a number that is not finite, or NaN where the input
    takes no missing values."""
    if 0 in array.shape:
        raise Refusal(400, f"input {tensor.name!r}: shape {list(array.shape)} has an axis of length 0")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        missing = np.isnan(array)
        if np.isinf(array).any():
            raise Refusal(400, f"input {tensor.name!r}: a value does not fit in {tensor.datatype}")
        if missing.any() and not tensor.missing:
            raise Refusal(400, f"input {tensor.name!r} takes no missing values (NaN, null)")
    return array


def check_rows(
    rows: int, inputs: Sequence[Tensor], limits: Limits, given: Mapping[str, int] | None = None
) -> None:
    """Raises `Refusal` (400) for more rows or values than a request may have. `given`: values sent, by input; where
    they are padded the padded ones count."""
    if rows > limits.rows:
        raise Refusal(400, f"{rows} rows are asked; at most {limits.rows} in one request")
    counts = (max(rows * width(tensor.shape), (given or {}).get(tensor.name, 0)) for tensor in inputs)
    check_values(sum(counts), limits, "the inputs have")


def check_values(count: int, limits: Limits, who: str) -> None:
    """Raises `Refusal` (400) for more values than a request or its answer may have."""
    if count > limits.elements:
        raise Refusal(400, f"{who} {count} values; at most {limits.elements} in one request: send fewer rows")


def width(shape: Iterable[int]) -> int:
    """Values of one row; an axis that varies counts as 1."""
    return math.prod(max(size, 1) for size in tuple(shape)[1:])


def count_bytes(feeds: Arrays) -> int:
    """Bytes of the arrays, and of the fields that are no input."""
    dicts = [one for one in feeds.values() if one.dtype.kind == "O" and isinstance(one.flat[0], dict)]
    more = sum(extra_fields.count_bytes(fields) for array in dicts for fields in array)
    return sum(array.nbytes for array in feeds.values()) + more


def _array(tensor: Tensor, values: Sequence[Any]) -> NDArray[Any]:
    try:
        with np.errstate(over="ignore"):
            return np.array(values, dtype=tensor.dtype)
    except (ValueError, OverflowError, TypeError) as problem:
        raise Refusal(400, f"input {tensor.name!r}: {problem}") from None


def _padded_lists(tensor: Tensor, values: Sequence[Any], length: int) -> NDArray[Any]:
    """Rows of one axis brought to `length`: the last entries count, missing ones at the end are the default."""
    padded = np.full((len(values), length), tensor.default, dtype=tensor.dtype)
    for row, value in enumerate(values):
        if value is not msgspec.UNSET and value and length:
            entries = _array(tensor, value[-length:])
            padded[row, : len(entries)] = entries
    return padded


def _fit(value: Any, shape: Sequence[int], default: Any) -> Any:
    """`value` brought to `shape`: the last entries count, missing ones at the end are `default`."""
    if not shape:
        return default if value is msgspec.UNSET else value
    length, below = shape[0], shape[1:]
    entries = [] if value is msgspec.UNSET else value
    if length >= 0:
        entries = entries[-length:] if length else []
    fitted = [_fit(entry, below, default) for entry in entries] if below else list(entries)
    fitted += [_fit(msgspec.UNSET, below, default) for _ in range(length - len(fitted))]
    return fitted


def _check_range(tensor: Tensor, array: NDArray[Any]) -> None:
    low, high = LIMITS[tensor.datatype]
    least, most = int(array.min()), int(array.max())
    if least < low or most > (2**64 - 1 if high is None else high):
        raise Refusal(400, f"input {tensor.name!r}: a value does not fit in {tensor.datatype}")
