"""Whole numbers out of JSON's own text, without an object for each: about half the time of reading them one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelpack.server.http.tensors import LIMITS
from modelpack.server.signature import DTYPES

LARGEST, SMALLEST = np.iinfo(np.int64).max, np.iinfo(np.int64).min
SPACE = b" \t\n\r"
WHOLE_NUMBERS = b"0123456789-," + SPACE


class NotPlain(Exception):
    """To be read with care: perhaps it is refused, perhaps only unusual."""


def read_lists(datatype: str, texts: Sequence[bytes]) -> tuple[NDArray[Any], list[int]]:
    """The numbers of lists of whole numbers, one list after another, and how many each has. A text is one value of
    valid JSON: what is made of these characters only is then a list of whole numbers. Raises `NotPlain` for anything
    else, and for numbers that do not fit."""
    if not all(text.startswith(b"[") for text in texts):
        raise NotPlain
    inner = [text[1:-1].strip(SPACE) for text in texts]
    counts = [one.count(b",") + 1 if one else 0 for one in inner]
    text = b",".join(filter(None, inner))
    if text.translate(None, WHOLE_NUMBERS):
        raise NotPlain
    count, dtype = sum(counts), DTYPES[datatype]
    if not count:
        return np.empty(0, dtype), counts
    numbers = np.fromstring(text, np.int64, count, sep=",")
    low, high = LIMITS[datatype]
    least, most = int(np.minimum.reduce(numbers)), int(np.maximum.reduce(numbers))
    # beyond 64 bits a number becomes the last one that fits
    if numbers.size != count or least == SMALLEST or most == LARGEST:
        raise NotPlain
    if least < low or (high is not None and most > high):
        raise NotPlain
    return numbers.astype(dtype, copy=False), counts


def split_rows(text: bytes, rows: int) -> list[bytes]:
    """So many lists in a list, each by itself; `read_lists` tells what is none. Raises `NotPlain` where there are more
    or fewer."""
    if text.count(b"]") != rows + 1:
        raise NotPlain
    *found, rest = text[1:-1].split(b"]")
    if rest.strip(SPACE):
        # a number behind the last list
        raise NotPlain
    return [row.lstrip(b"," + SPACE) + b"]" for row in found]


def is_nested(text: bytes) -> bool:
    """Whether the first thing in a list is another one."""
    return text[1:].lstrip(SPACE).startswith(b"[")
