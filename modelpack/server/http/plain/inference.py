"""Requests of the Open Inference Protocol in JSON: each input decoded once, as the type that the signature says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from operator import or_
from types import GenericAlias
from typing import Annotated, Any, Literal

import msgspec
from numpy.typing import NDArray

from modelpack.server.engines.base import Arrays
from modelpack.server.http.limits import Limits
from modelpack.server.http.plain.arrays import Part, fill, flatten
from modelpack.server.http.plain.integers import NotPlain, is_nested, read_lists, split_rows
from modelpack.server.http.tensors import LIMITS, element, fill_left_out, pad, width
from modelpack.server.signature import ModelSignature, Tensor

MOST_AXES = 16
LONGEST_ID = 1024
Shape = Annotated[list[int], msgspec.Meta(max_length=MOST_AXES)]


class RequestOutput(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}


class Envelope(msgspec.Struct, kw_only=True):
    """What a request says beside its inputs."""

    id: Annotated[str, msgspec.Meta(max_length=LONGEST_ID)] | None = None
    parameters: dict[str, Any] = {}
    outputs: list[RequestOutput] | None = None


class PlainInference:
    """Bodies of `/infer` for one signature, without binary tensors and with no tensor that is no input."""

    def __init__(self, signature: ModelSignature, limits: Limits) -> None:
        self._inputs, self._limits = {tensor.name: tensor for tensor in signature.inputs}, limits
        self._width = sum(width(tensor.shape) for tensor in signature.inputs)
        self._tensors = {_item(tensor): tensor for tensor in signature.inputs}
        # of one type alone an item would need no name
        nameless = msgspec.defstruct(
            "Nameless", [("shape", Shape)], tag_field="name", tag="".join(self._inputs) + "?"
        )
        one = reduce(or_, self._tensors, nameless)
        request = msgspec.defstruct(
            "PlainRequest", [("inputs", GenericAlias(list, (one,)))], bases=(Envelope,), kw_only=True
        )
        self._decode = msgspec.json.Decoder(request).decode

    def decode(self, text: bytes) -> tuple[Envelope, Arrays, int]:
        """The request, its arrays by input name, and their rows. Raises `NotPlain`, and `Refusal` for an input that is
        left out."""
        try:
            request: Any = self._decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise NotPlain from None
        rows = request.inputs[0].shape[0] if request.inputs and request.inputs[0].shape else 0
        if not 0 < rows <= self._limits.rows:
            raise NotPlain
        sizes = {self._check(item, rows): math.prod(item.shape) for item in request.inputs}
        if len(sizes) < len(request.inputs):
            raise NotPlain
        # where more is sent than is kept, that counts too
        beyond = (size - rows * width(self._inputs[name].shape) for name, size in sizes.items())
        if rows * self._width + sum(more for more in beyond if more > 0) > self._limits.elements:
            raise NotPlain
        parts: list[Part] = []
        given: Arrays = {}
        for item in request.inputs:
            tensor = self._tensors[type(item)]
            if tensor.datatype in LIMITS:
                given[tensor.name] = _read_text(tensor, bytes(item.data), item.shape)
            else:
                parts.append((tensor, _flatten(tensor, item.data, item.shape), item.shape))
        given |= fill(parts)
        feeds = {
            name: pad(tensor, given[name]) if name in given else fill_left_out(tensor, rows)
            for name, tensor in self._inputs.items()
        }
        return request, feeds, rows

    def _check(self, item: Any, rows: int) -> str:
        """The input's name, where its shape is one that it may have. Raises `NotPlain`."""
        tensor = self._tensors.get(type(item))
        if tensor is None or item.parameters.get("binary_data_size") is not None:
            raise NotPlain
        shape = item.shape
        if len(shape) != len(tensor.shape) or shape[0] != rows:
            raise NotPlain
        for have, want in zip(shape[1:], tensor.shape[1:], strict=True):
            if have < 1 or not (want < 0 or have == want or tensor.default is not None):
                raise NotPlain
        return tensor.name


def _read_text(tensor: Tensor, text: bytes, shape: Sequence[int]) -> NDArray[Any]:
    """Whole numbers in one list, or in a list for each row. Raises `NotPlain`."""
    rows, nested = shape[0], len(shape) == 2 and is_nested(text)
    numbers, counts = read_lists(tensor.datatype, split_rows(text, rows) if nested else [text])
    wanted = [shape[1]] * rows if nested else [math.prod(shape)]
    if counts != wanted:
        raise NotPlain
    return numbers if len(shape) == 1 else numbers.reshape(shape)


def _flatten(tensor: Tensor, data: Sequence[Any], shape: Sequence[int]) -> Sequence[Any]:
    """The values in a row, as many as the shape says. Raises `NotPlain`."""
    if len(shape) > 1 and data and type(data[0]) is list:
        if len(data) != shape[0]:
            raise NotPlain
        return flatten(data, shape[1:])
    # numpy would take a list for a truth, or for an object
    mixed = tensor.datatype in ("BOOL", "BYTES") and any(type(one) is list for one in data)
    if mixed or len(data) != math.prod(shape):
        raise NotPlain
    return data


def _item(tensor: Tensor) -> Any:
    """The type of one input: values in one list, or a list for each axis."""
    kind = element(tensor)
    nested = kind
    for axis in reversed(tensor.shape[1:]):
        exact = axis > 0 and tensor.default is None
        sizes = msgspec.Meta(min_length=axis, max_length=axis) if exact else msgspec.Meta(min_length=1)
        many: Any = GenericAlias(list, (nested,))
        nested = Annotated[many, sizes]
    values: Any = GenericAlias(list, (nested | kind if len(tensor.shape) > 1 else kind,))
    return msgspec.defstruct(
        "PlainInput",
        [
            ("shape", Shape),
            ("datatype", Literal[tensor.datatype]),
            ("data", msgspec.Raw if tensor.datatype in LIMITS else values),
            ("parameters", dict[str, Any], {}),
        ],
        tag_field="name",
        tag=tensor.name,
    )
