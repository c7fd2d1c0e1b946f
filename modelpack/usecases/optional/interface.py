"""Callers who send or get something else than the model file takes and gives.

Asked by the gate, which asks golden requests in callers' words, and by `serving.json`.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from modelpack.formats.signature import Run, Signature
from modelpack.usecases.base import UseCase


@runtime_checkable
class OwnInterface(Protocol):
    """What the server stands around the model: a tokenizer, labels, a handler."""

    def interface(self) -> Signature:
        """What callers send and get."""

    def outer(self, run: Run, data: Any) -> Run:
        """A running model as callers see it: `interface` in, `interface` out."""


def interface_of(usecase: UseCase[Any]) -> Signature:
    """What callers send and get: by itself, what the model takes and gives."""
    return usecase.interface() if isinstance(usecase, OwnInterface) else usecase.signature()


def as_called(usecase: UseCase[Any], run: Run, data: Any) -> Run:
    """A running model as callers see it."""
    return usecase.outer(run, data) if isinstance(usecase, OwnInterface) else run
