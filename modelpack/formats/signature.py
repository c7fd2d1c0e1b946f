"""Running models as their users see them: named arrays in, named arrays out, and what these must be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from modelpack.server.signature import Tensor

Arrays = Mapping[str, NDArray[Any]]
Run = Callable[[Arrays], Arrays]
"""A running model: named input arrays (first axis: batch) -> named output arrays."""


def describe_tensor(tensor: Tensor) -> str:
    """`history INT64[-1, 5]`; -1 is the rows."""
    return f"{tensor.name} {tensor.datatype}{list(tensor.shape)}"


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs in order: of the model file (`UseCase.signature`), or of what callers send and get where that
    differs (`modelpack/usecases/optional/serving.py`).

    `ModelSignature`, which is `serving.json`, holds the callers' inputs and outputs and what leads from them to the
    model file's: a tokenizer, labels, a handler.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
