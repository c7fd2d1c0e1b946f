"""Many requests of the training period, to count what is asked for.

Asked by `gate/trial.py`, which hands them to passes.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from modelpack.formats.signature import Arrays


@runtime_checkable
class TrafficSample(Protocol):
    """Rows of training are requests that could have come."""

    def traffic(self, data: Any) -> Arrays | None:
        """Inputs of the model, as often as they were asked; None: there are none after all."""


def traffic_of(usecase: object, data: Any) -> Arrays | None:
    """Requests to count; None: the use case offers none."""
    return usecase.traffic(data) if isinstance(usecase, TrafficSample) else None
