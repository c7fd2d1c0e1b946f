"""Figures of what a model works out on the way to its answers, which a pass may not harm either.

Asked by `gate/inner_metrics.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from modelpack.formats.signature import Run
from modelpack.usecases.base import Evaluation


@runtime_checkable
class Guarded(Protocol):
    """The task metric does not see all that matters."""

    @property
    def inner_metric(self) -> str:
        """A value inside the model: a method of the torch module, a value's name in its graph."""

    @property
    def guards(self) -> Mapping[str, float]:
        """How much a pass may cost of each figure that `evaluate_inside` gives."""

    def evaluate_inside(self, run: Run, data: Any) -> Mapping[str, Evaluation]:
        """Metrics by name of a model that answers that value alone, on held-out data."""
