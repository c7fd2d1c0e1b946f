"""`{"instances": [{input: value}]}` and JSON Lines: whole numbers in a list stay text until they are an array."""

from __future__ import annotations

from collections.abc import Sequence
from types import GenericAlias
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from modelpack.server.engines.base import Arrays
from modelpack.server.http.limits import Limits
from modelpack.server.http.plain.arrays import Part, fill, flatten
from modelpack.server.http.plain.integers import NotPlain, read_lists
from modelpack.server.http.tensors import LIMITS, element, width
from modelpack.server.signature import Tensor


class PlainRows:
    """Instances of one signature. `more`: they may hold fields that are no input."""

    def __init__(self, inputs: Sequence[Tensor], limits: Limits, more: bool) -> None:
        self._inputs, self._limits = tuple(inputs), limits
        self._width = sum(width(tensor.shape) for tensor in inputs)
        self._known = all(_is_known(tensor) for tensor in inputs)
        instance = msgspec.defstruct(
            "PlainInstance",
            [_field(f"input{number}", tensor) for number, tensor in enumerate(inputs)],
            rename={f"input{number}": tensor.name for number, tensor in enumerate(inputs)},
            forbid_unknown_fields=not more,
            kw_only=True,
            frozen=True,
            gc=False,
        )
        rows = GenericAlias(list, (instance,))
        body = msgspec.defstruct("PlainBody", [("instances", rows)], forbid_unknown_fields=True)
        self._decode = msgspec.json.Decoder(body).decode
        self._decode_lines = msgspec.json.Decoder(instance).decode_lines
        self._typed = [place for place, tensor in enumerate(inputs) if not _is_text(tensor)]
        self._texts = {
            place: msgspec.json.encode(tensor.name) for place, tensor in enumerate(inputs) if _is_text(tensor)
        }

    def decode(self, body: bytes, lines: bool = False) -> tuple[Arrays, int]:
        """The arrays by input name, and their rows. Raises `NotPlain`."""
        if not self._known:
            raise NotPlain
        try:
            found: Any = self._decode_lines(body) if lines else self._decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise NotPlain from None
        instances = found if lines else found.instances
        rows = len(instances)
        if not 0 < rows <= self._limits.rows or rows * self._width > self._limits.elements:
            raise NotPlain
        columns = list(zip(*map(msgspec.structs.astuple, instances), strict=True))
        feeds = fill([self._part(self._inputs[place], columns[place]) for place in self._typed])
        for place, quoted in self._texts.items():
            tensor = self._inputs[place]
            feeds[tensor.name] = _read_texts(tensor, columns[place], body, quoted)
        return {tensor.name: feeds[tensor.name] for tensor in self._inputs}, rows

    def _part(self, tensor: Tensor, values: Sequence[Any]) -> Part:
        if tensor.default is not None:
            values = [tensor.default if one is msgspec.UNSET else one for one in values]
        axes = tensor.shape[1:]
        return tensor, flatten(values, axes), (len(values), *axes)


def _read_texts(tensor: Tensor, values: Sequence[Any], body: bytes, quoted: bytes) -> NDArray[Any]:
    """Whole numbers, a list for each row. `quoted`: the input's name in JSON. Raises `NotPlain`."""
    # of a field that is given twice only the last is seen here; its name may also be written with escapes
    given = sum(one is not msgspec.UNSET for one in values)
    if b"\\" in body or body.count(quoted) != given:
        raise NotPlain
    texts = [b"[]" if one is msgspec.UNSET else bytes(one) for one in values]
    numbers, counts = read_lists(tensor.datatype, texts)
    length = tensor.shape[1]
    if tensor.default is None:
        if any(count != length for count in counts):
            raise NotPlain
        return numbers.reshape(len(counts), length)
    padded = np.full((len(counts), length), tensor.default, dtype=tensor.dtype)
    end = 0
    for row, count in enumerate(counts):
        end += count
        kept = min(count, length)
        padded[row, :kept] = numbers[end - kept : end]
    return padded


def _is_known(tensor: Tensor) -> bool:
    """Whether rows of it are read here: none of its axes varies, and it is padded only where it is text."""
    axes = tensor.shape[1:]
    return min(axes, default=1) > 0 and (tensor.default is None or not axes or _is_text(tensor))


def _is_text(tensor: Tensor) -> bool:
    """Whether it stays text until it is an array: lists of whole numbers."""
    return tensor.datatype in LIMITS and len(tensor.shape) == 2


def _field(attribute: str, tensor: Tensor) -> Any:
    kind: Any = msgspec.Raw if _is_text(tensor) else element(tensor)
    if not _is_text(tensor):
        for axis in reversed(tensor.shape[1:]):
            many: Any = GenericAlias(list, (kind,))
            kind = Annotated[many, msgspec.Meta(min_length=axis, max_length=axis)] if axis > 0 else many
    if tensor.default is None:
        return (attribute, kind)
    return (attribute, kind | msgspec.UnsetType, msgspec.UNSET)
