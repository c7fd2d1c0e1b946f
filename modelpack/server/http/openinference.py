"""Open Inference Protocol v2: request and answer bodies as JSON, or JSON with binary tensors behind it.

Source: https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from numpy.typing import NDArray

from modelpack.server.engines.base import Arrays
from modelpack.server.http import binary_tensors, extra_fields
from modelpack.server.http.limits import Limits
from modelpack.server.http.plain.inference import Envelope, PlainInference, Shape
from modelpack.server.http.plain.integers import NotPlain
from modelpack.server.http.refusal import Refusal
from modelpack.server.http.tensors import (
    LIMITS,
    check_rows,
    check_values,
    element,
    fill_left_out,
    flat,
    from_lists,
    nest,
    pad,
    whole,
    width,
)
from modelpack.server.signature import DTYPES, ModelSignature, Tensor

VERSION = "1"
NESTED = re.compile(rb"\s*\[\s*\[")


class RequestInput(msgspec.Struct):
    name: str
    shape: Shape
    datatype: str
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    parameters: dict[str, Any] = {}


class InferRequest(Envelope):
    inputs: list[RequestInput]


_decoder = msgspec.json.Decoder(InferRequest)
_encoder = msgspec.json.Encoder()


class OpenInference:
    """Bodies of `/infer` for one signature."""

    def __init__(self, signature: ModelSignature, limits: Limits | None = None) -> None:
        self._signature, self._limits = signature, limits or Limits()
        self._inputs = {tensor.name: tensor for tensor in signature.inputs}
        self._outputs = {tensor.name: tensor for tensor in signature.outputs}
        self._extra = signature.extra_fields
        self._plain = PlainInference(signature, self._limits)
        self._values = {
            (tensor.name, levels, loose): msgspec.json.Decoder(nest(element(tensor, loose), levels))
            for tensor in signature.inputs
            for levels in {1, len(tensor.shape)}
            for loose in (False, True)
        }

    def decode(self, body: bytes, header: bytes = b"") -> tuple[Envelope, Arrays, int]:
        """The request, its arrays by input name, and their rows. `header`: Inference-Header-Content-Length. Raises
        `Refusal` (400) naming the input."""
        if not header:
            # what is refused there is refused here once more, with all that is wrong in its order
            with contextlib.suppress(NotPlain, Refusal):
                return self._decode_plain(body)
        return self.decode_carefully(body, header)

    def _decode_plain(self, body: bytes) -> tuple[Envelope, Arrays, int]:
        """As `decode`. Raises `NotPlain`, or `Refusal` for what `decode` refuses too."""
        request, feeds, rows = self._plain.decode(body)
        self._check_outputs(request, rows)
        if self._extra:
            feeds[self._extra] = self._fields({}, rows)
        return request, feeds, rows

    def decode_carefully(self, body: bytes, header: bytes = b"") -> tuple[Envelope, Arrays, int]:
        """As `decode`, which asks here what it takes for unusual: everything is looked at by itself."""
        text, raw = binary_tensors.split(body, header)
        try:
            request = _decoder.decode(text)
        except msgspec.ValidationError as problem:
            raise Refusal(400, str(problem)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
            raise Refusal(400, f"the body is not JSON: {problem}") from None
        rows = self._check(request)
        blobs = _blobs(request.inputs, raw)
        given = {item.name: self._array(item, blobs.get(item.name)) for item in request.inputs}
        more = {name: array for name, array in given.items() if name not in self._inputs}
        feeds = {
            name: pad(tensor, given[name]) if name in given else fill_left_out(tensor, rows)
            for name, tensor in self._inputs.items()
        }
        if self._extra:
            feeds[self._extra] = self._fields(more, rows)
        return request, feeds, rows

    def _fields(self, more: Arrays, rows: int) -> NDArray[Any]:
        """Each row's part of tensors that are no input. Raises `Refusal` (400)."""
        lists = {name: array.tolist() for name, array in more.items()}
        found = [{name: values[row] for name, values in lists.items()} for row in range(rows)]
        extra_fields.check_size(len(_encoder.encode(found)) if more else 0, self._limits)
        return extra_fields.as_rows(found)

    def _check(self, request: InferRequest) -> int:
        """The number of rows, once names and shapes are right and none is too large. Raises `Refusal` (400)."""
        shapes: dict[str, list[int]] = {}
        if self._extra:
            extra_fields.check_count(sum(item.name not in self._inputs for item in request.inputs))
        for item in request.inputs:
            if item.name not in self._inputs and not self._extra:
                raise Refusal(
                    400, f"unknown input {item.name[:200]!r}; the model takes {', '.join(self._inputs)}"
                )
            if item.name in shapes:
                raise Refusal(400, f"input {item.name!r} is given twice")
            _check_shape(self._tensor(item), item)
            shapes[item.name] = item.shape
        rows = _rows(shapes)
        sizes = {name: math.prod(shape) for name, shape in shapes.items()}
        # a value is a byte of JSON at least
        extra_fields.check_size(
            sum(size for name, size in sizes.items() if name not in self._inputs), self._limits
        )
        check_rows(rows, self._signature.inputs, self._limits, sizes)
        self._check_outputs(request, rows)
        return rows

    def _check_outputs(self, request: Envelope, rows: int) -> None:
        wanted: set[str] = set()
        for output in request.outputs or ():
            if output.name not in self._outputs:
                names = ", ".join(sorted(self._outputs))
                raise Refusal(400, f"unknown output {output.name[:200]!r}; the model gives {names}")
            if output.name in wanted:
                raise Refusal(400, f"output {output.name!r} is asked twice")
            wanted.add(output.name)
        widths = (width(self._outputs[name].shape) for name in wanted or self._outputs)
        check_values(rows * sum(widths), self._limits, "the answer would have")

    def _tensor(self, item: RequestInput) -> Tensor:
        """What the signature says of it; of what is no input, what the caller says. Raises `Refusal` (400)."""
        if item.name not in self._inputs and item.datatype not in DTYPES:
            known = ", ".join(DTYPES)
            raise Refusal(
                400, f"input {item.name[:200]!r}: datatype {item.datatype[:200]!r} is none of {known}"
            )
        own = Tensor(item.name, item.datatype, (-1, *item.shape[1:]))
        return self._inputs.get(item.name, own)

    def _array(self, item: RequestInput, blob: memoryview | None) -> NDArray[Any]:
        """One tensor as sent. Raises `Refusal`."""
        tensor, count = self._tensor(item), math.prod(item.shape)
        if blob is not None:
            return binary_tensors.read(tensor, count, blob).reshape(item.shape)
        if item.data is msgspec.UNSET:
            raise Refusal(400, f"input {item.name!r} has neither data nor binary_data_size")
        values = self._read(tensor, item.data)
        array = from_lists(tensor, values) if values and isinstance(values[0], list) else flat(tensor, values)
        if array.size != count or array.shape not in (tuple(item.shape), (count,)):
            have = f"{array.size} values" if array.ndim == 1 else f"shape {list(array.shape)}"
            raise Refusal(
                400, f"input {item.name!r}: shape {item.shape} needs {count} values, data has {have}"
            )
        return array.reshape(item.shape)

    def _read(self, tensor: Tensor, data: msgspec.Raw) -> list[Any]:
        """The values as the caller nested them: all in one list, or a list for each axis. Raises `Refusal` (400)."""
        levels = len(tensor.shape) if NESTED.match(data) else 1
        try:
            try:
                found: list[Any] = self._reader(tensor, levels, False).decode(data)
                return found
            except msgspec.ValidationError as problem:
                if tensor.datatype in LIMITS:
                    with contextlib.suppress(msgspec.ValidationError):
                        return whole(tensor, self._reader(tensor, levels, True).decode(data))
                raise problem
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
            raise Refusal(400, f"input {tensor.name!r}: {problem}".replace("`$", "`data")) from None

    def _reader(self, tensor: Tensor, levels: int, loose: bool) -> msgspec.json.Decoder[Any]:
        known = self._values.get((tensor.name, levels, loose))
        return known or msgspec.json.Decoder(nest(element(tensor, loose), levels))

    def encode(self, request: Envelope, outputs: Arrays) -> tuple[bytes, int]:
        """The answer with these outputs, data flattened row-major, and where its JSON ends, 0 where nothing is
        binary."""
        binary = {name: request.parameters.get("binary_data_output") is True for name in outputs}
        for asked in request.outputs or ():
            binary[asked.name] = asked.parameters.get("binary_data", binary[asked.name]) is True
        blobs: list[bytes] = []
        document: dict[str, Any] = {
            "model_name": self._signature.model,
            "model_version": VERSION,
            "outputs": [],
        }
        for name, array in outputs.items():
            described: dict[str, Any] = {
                "name": name,
                "datatype": self._outputs[name].datatype,
                "shape": array.shape,
            }
            if binary[name]:
                blobs.append(binary_tensors.write(array))
                described["parameters"] = {"binary_data_size": len(blobs[-1])}
            else:
                described["data"] = array.ravel().tolist()
            document["outputs"].append(described)
        if request.id is not None:
            document["id"] = request.id
        text = _encoder.encode(document)
        return b"".join((text, *blobs)), len(text) if any(binary.values()) else 0


def _blobs(inputs: Sequence[RequestInput], raw: memoryview) -> Mapping[str, memoryview]:
    """The bytes of each binary input. Raises `Refusal` (400) unless together they are all that follows the JSON."""
    found: dict[str, memoryview] = {}
    place = 0
    for item in inputs:
        size = item.parameters.get("binary_data_size")
        if size is None:
            continue
        if type(size) is not int or size < 0 or item.data is not msgspec.UNSET:
            raise Refusal(
                400, f"input {item.name!r}: binary_data_size is a number of bytes, in place of data"
            )
        found[item.name] = raw[place : place + size]
        place += size
    if place != len(raw):
        raise Refusal(400, f"the inputs have {place} bytes of binary data, {len(raw)} follow the JSON")
    return found


def _rows(shapes: Mapping[str, Sequence[int]]) -> int:
    counts = {name: shape[0] for name, shape in shapes.items()}
    if not counts:
        raise Refusal(400, "no inputs are given")
    if len(set(counts.values())) > 1:
        raise Refusal(400, f"inputs have different numbers of rows: {counts}")
    return next(iter(counts.values()))


def _check_shape(tensor: Tensor, item: RequestInput) -> None:
    """Raises `Refusal` (400) for another datatype, and for a shape that is not the signature's."""
    where, wanted = f"input {tensor.name!r}", tensor.shape
    if item.datatype != tensor.datatype:
        raise Refusal(400, f"{where}: datatype must be {tensor.datatype}, not {item.datatype[:200]}")
    if item.shape[:1] == [0]:
        raise Refusal(400, f"{where}: shape {item.shape} has no rows")
    if 0 in item.shape:
        raise Refusal(400, f"{where}: shape {item.shape} has an axis of length 0; leave the input out")
    padded = tensor.default is not None
    if (
        len(item.shape) != len(wanted)
        or min(item.shape) < 0
        or not all(
            want < 0 or have == want or padded for want, have in zip(wanted[1:], item.shape[1:], strict=True)
        )
    ):
        raise Refusal(400, f"{where}: shape {item.shape} does not fit {list(wanted)}")


def metadata(signature: ModelSignature, content_digest: str, hardware: str) -> bytes:
    """Body of `GET /v2/models/<model>`. `extra_fields`: whether fields and tensors that are no input are passed to the
    user's code; else they are refused."""

    def describe(tensors: Sequence[Tensor]) -> list[dict[str, Any]]:
        return [{"name": item.name, "datatype": item.datatype, "shape": item.shape} for item in tensors]

    return _encoder.encode(
        {
            "name": signature.model,
            "versions": [VERSION],
            "platform": signature.runtime,
            "inputs": describe(signature.inputs),
            "outputs": describe(signature.outputs),
            "parameters": {
                "content_digest": content_digest,
                "hardware": hardware,
                "extra_fields": bool(signature.extra_fields),
            },
        }
    )
