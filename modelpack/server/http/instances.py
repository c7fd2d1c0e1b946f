"""`{"instances": [{input: value}]}` -> arrays.

The signature becomes a msgspec type, so that a wrong value is named by its path in the body.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import GenericAlias
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from modelpack.server.engines.base import Arrays
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


class Instances:
    """Decoder of `/invocations` bodies for the inputs that callers send."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        self._inputs = tuple((f"input{number}", tensor) for number, tensor in enumerate(inputs))
        instance = msgspec.defstruct(
            "Instance",
            [_field(attribute, tensor) for attribute, tensor in self._inputs],
            rename={attribute: tensor.name for attribute, tensor in self._inputs},
            forbid_unknown_fields=True,
            kw_only=True,
            frozen=True,
            gc=False,
        )
        rows = Annotated[list[instance], msgspec.Meta(min_length=1)]  # type: ignore[valid-type]
        body = msgspec.defstruct("Body", [("instances", rows)], forbid_unknown_fields=True)
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(body).decode

    def decode(self, body: bytes) -> tuple[Arrays, int]:
        """The arrays by input name, and how many rows they have.

        Raises:
            Refusal: 400, what and where ("Expected `int`, got `str` - at `$.instances[0].household`").
        """
        try:
            instances = self._decode(body).instances
        except msgspec.ValidationError as problem:
            raise Refusal(400, str(problem)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
            raise Refusal(400, f"the body is not JSON: {problem}") from None
        feeds = {
            tensor.name: column(tensor, [getattr(instance, attribute) for instance in instances])
            for attribute, tensor in self._inputs
        }
        return feeds, len(instances)


def _field(attribute: str, tensor: Tensor) -> Any:
    kind = element(tensor)
    for axis in reversed(tensor.shape[1:]):
        exact = axis >= 0 and tensor.default is None
        many: Any = GenericAlias(list, (kind,))
        kind = Annotated[many, msgspec.Meta(min_length=axis, max_length=axis)] if exact else many
    if tensor.default is None:
        return (attribute, kind)
    return (attribute, kind | msgspec.UnsetType, msgspec.UNSET)


def element(tensor: Tensor) -> Any:
    """The msgspec type of one value of a tensor."""
    if tensor.datatype in LIMITS:
        low, high = LIMITS[tensor.datatype]
        return Annotated[int, msgspec.Meta(ge=low, le=high)]
    return {"BOOL": bool, "BYTES": str}.get(tensor.datatype, float)


def column(tensor: Tensor, values: Sequence[Any]) -> NDArray[Any]:
    """One input of all rows as an array, short values padded. Raises `Refusal` for ragged rows."""
    shape = tensor.shape[1:]
    if tensor.default is not None:
        values = [fit(value, shape, tensor.default) for value in values]
    try:
        with np.errstate(over="ignore"):
            array = np.array(values, dtype=tensor.dtype)
    except (ValueError, OverflowError, TypeError) as problem:
        raise Refusal(400, f"input {tensor.name!r}: {problem}") from None
    if array.ndim != len(tensor.shape):
        raise Refusal(400, f"input {tensor.name!r}: all instances must have the same length")
    return finite(tensor, array)


def fit(value: Any, shape: Sequence[int], default: Any) -> Any:
    """`value` brought to `shape`: the last entries count, missing ones at the end are `default`."""
    if not shape:
        return default if value is msgspec.UNSET else value
    length, below = shape[0], shape[1:]
    entries = [] if value is msgspec.UNSET else value
    if length >= 0:
        entries = entries[-length:] if length else []
    fitted = [fit(entry, below, default) for entry in entries] if below else list(entries)
    fitted += [fit(msgspec.UNSET, below, default) for _ in range(length - len(fitted))]
    return fitted


def finite(tensor: Tensor, array: NDArray[Any]) -> NDArray[Any]:
    """The array itself. Raises `Refusal` when a value was too large for the data type."""
    if tensor.datatype in ("FP16", "FP32") and not np.isfinite(array).all():
        raise Refusal(400, f"input {tensor.name!r}: a value does not fit in {tensor.datatype}")
    return array
