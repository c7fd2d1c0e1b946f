"""Arrays from values whose types the decoder has checked: one pass for all inputs of a datatype."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelpack.server.engines.base import Arrays
from modelpack.server.http.plain.integers import NotPlain
from modelpack.server.signature import DTYPES, Tensor

Part = tuple[Tensor, Sequence[Any], Sequence[int]]
"""An input, its values in a row, and the shape that they have: exactly as many."""
FLOATS = frozenset({"FP16", "FP32", "FP64"})


def flatten(values: Sequence[Any], axes: Sequence[int]) -> Sequence[Any]:
    """Nested lists as one. Raises `NotPlain` unless each is as long as its axis."""
    for axis in axes:
        if any(type(one) is not list or len(one) != axis for one in values):
            raise NotPlain
        values = list(chain.from_iterable(values))
    return values


def fill(parts: Sequence[Part]) -> Arrays:
    """The arrays by input name; those of one datatype lie side by side in one piece of memory. Raises `NotPlain` for
    what does not fit."""
    kinds: dict[str, list[Part]] = {}
    for part in parts:
        kinds.setdefault(part[0].datatype, []).append(part)
    found: Arrays = {}
    for datatype, some in kinds.items():
        joined = some[0][1] if len(some) == 1 else list(chain.from_iterable(values for _, values, _ in some))
        array, begin = _read(datatype, joined), 0
        for tensor, values, shape in some:
            end = begin + len(values)
            found[tensor.name] = array[begin:end] if len(shape) == 1 else array[begin:end].reshape(shape)
            begin = end
    return found


def _read(datatype: str, values: Sequence[Any]) -> NDArray[Any]:
    dtype = DTYPES[datatype]
    try:
        if datatype not in FLOATS:
            return np.fromiter(values, dtype, len(values))
        # null becomes NaN
        numbers = np.fromiter(values, np.float64, len(values))
    except (TypeError, ValueError, OverflowError):
        raise NotPlain from None
    with np.errstate(over="ignore", invalid="ignore"):
        numbers = numbers.astype(dtype, copy=False)
        # a sum is the cheaper question; it may also be too large, or NaN
        if not math.isfinite(np.add.reduce(numbers)) and np.isinf(numbers).any():
            raise NotPlain
    return numbers
