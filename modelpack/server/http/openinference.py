"""Open Inference Protocol v2: request and answer bodies as JSON.

Source: https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from modelpack.server.engines.base import Arrays
from modelpack.server.http.instances import LIMITS, column, finite, fit
from modelpack.server.http.refusal import Refusal
from modelpack.server.signature import ModelSignature, Tensor

VERSION = "1"


class RequestInput(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any]
    parameters: dict[str, Any] = {}


class RequestOutput(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct):
    inputs: list[RequestInput]
    id: str | None = None
    parameters: dict[str, Any] = {}
    outputs: list[RequestOutput] | None = None


_decoder = msgspec.json.Decoder(InferRequest)
_encoder = msgspec.json.Encoder()


def decode(signature: ModelSignature, body: bytes) -> tuple[InferRequest, Arrays, int]:
    """The request, its arrays by input name, and their rows. Raises `Refusal` (400) naming the input."""
    try:
        request = _decoder.decode(body)
    except msgspec.ValidationError as problem:
        raise Refusal(400, str(problem)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise Refusal(400, f"the body is not JSON: {problem}") from None
    known = {tensor.name: tensor for tensor in signature.inputs}
    given: Arrays = {}
    for item in request.inputs:
        if item.name not in known:
            raise Refusal(400, f"unknown input {item.name!r}; the model takes {', '.join(known)}")
        if item.name in given:
            raise Refusal(400, f"input {item.name!r} is given twice")
        given[item.name] = _array(known[item.name], item)
    _check_outputs(signature, request)
    rows = _rows(given)
    return request, {name: _complete(tensor, given.get(name), rows) for name, tensor in known.items()}, rows


def _check_outputs(signature: ModelSignature, request: InferRequest) -> None:
    promised = {tensor.name for tensor in signature.outputs}
    for output in request.outputs or ():
        if output.name not in promised:
            raise Refusal(
                400, f"unknown output {output.name!r}; the model gives {', '.join(sorted(promised))}"
            )


def _rows(given: Arrays) -> int:
    counts = {name: len(array) for name, array in given.items()}
    if not counts:
        raise Refusal(400, "no inputs are given")
    if len(set(counts.values())) > 1:
        raise Refusal(400, f"inputs have different numbers of rows: {counts}")
    rows = next(iter(counts.values()))
    if rows == 0:
        raise Refusal(400, "the inputs have no rows")
    return rows


def _array(tensor: Tensor, item: RequestInput) -> NDArray[Any]:
    """One tensor as sent, checked against its own shape and the signature's."""
    where = f"input {tensor.name!r}"
    if item.datatype != tensor.datatype:
        raise Refusal(400, f"{where}: datatype must be {tensor.datatype}, not {item.datatype}")
    _check_shape(tensor, item.shape)
    values = list(_flat(item.data, len(item.shape)))
    if len(values) != math.prod(item.shape):
        raise Refusal(
            400, f"{where}: shape {item.shape} needs {math.prod(item.shape)} values, data has {len(values)}"
        )
    allowed = _allowed_types(tensor.datatype)
    for value in values:
        if type(value) not in allowed:
            names = " or ".join(kind.__name__ for kind in allowed)
            raise Refusal(400, f"{where}: data must be {names}, not {type(value).__name__}")
    try:
        with np.errstate(over="ignore"):
            return finite(tensor, np.array(values, dtype=tensor.dtype).reshape(item.shape))
    except (OverflowError, ValueError) as problem:
        raise Refusal(400, f"{where}: {problem}") from None


def _check_shape(tensor: Tensor, shape: Sequence[int]) -> None:
    wanted = tensor.shape
    padded = tensor.default is not None
    good = len(shape) == len(wanted) and all(size >= 0 for size in shape)
    if good:
        good = all(
            want < 0 or have == want or padded for want, have in zip(wanted[1:], shape[1:], strict=True)
        )
    if not good:
        raise Refusal(400, f"input {tensor.name!r}: shape {list(shape)} does not fit {list(wanted)}")


def _flat(data: Sequence[Any], depth: int) -> Iterator[Any]:
    """Row-major values, whether the caller nested them (up to `depth` lists) or not."""
    for value in data:
        if isinstance(value, list) and depth > 1:
            yield from _flat(value, depth - 1)
        else:
            yield value


def _allowed_types(datatype: str) -> tuple[type, ...]:
    if datatype in LIMITS:
        return (int,)
    return {"BOOL": (bool,), "BYTES": (str,)}.get(datatype, (float, int))


def _complete(tensor: Tensor, array: NDArray[Any] | None, rows: int) -> NDArray[Any]:
    """The array in the shape of the signature: padded, cut to its last entries, or made of defaults."""
    if array is None and tensor.default is None:
        raise Refusal(400, f"input {tensor.name!r} is missing")
    if array is None:
        return column(tensor, [msgspec.UNSET] * rows)
    if all(want in (-1, have) for want, have in zip(tensor.shape, array.shape, strict=True)):
        return array
    return column(tensor, [fit(row, tensor.shape[1:], tensor.default) for row in array.tolist()])


def encode(signature: ModelSignature, request: InferRequest, outputs: Arrays) -> bytes:
    """The answer with the outputs asked for (all, when none are named), data flattened row-major."""
    wanted = [output.name for output in request.outputs] if request.outputs else list(outputs)
    types = {tensor.name: tensor.datatype for tensor in signature.outputs}
    document: dict[str, Any] = {
        "model_name": signature.model,
        "model_version": VERSION,
        "outputs": [
            {
                "name": name,
                "datatype": types[name],
                "shape": outputs[name].shape,
                "data": outputs[name].ravel().tolist(),
            }
            for name in wanted
        ],
    }
    if request.id is not None:
        document["id"] = request.id
    return _encoder.encode(document)


def metadata(signature: ModelSignature, content_digest: str, hardware: str) -> bytes:
    """Body of `GET /v2/models/<model>`."""

    def described(tensors: Sequence[Tensor]) -> list[dict[str, Any]]:
        return [{"name": item.name, "datatype": item.datatype, "shape": item.shape} for item in tensors]

    return _encoder.encode(
        {
            "name": signature.model,
            "versions": [VERSION],
            "platform": signature.runtime,
            "inputs": described(signature.inputs),
            "outputs": described(signature.outputs),
            "parameters": {"content_digest": content_digest, "hardware": hardware},
        }
    )
