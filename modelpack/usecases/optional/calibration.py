"""Inputs that passes may find ranges on.

Asked by `gate/trial.py`, which hands them to passes.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from modelpack.formats.signature import Arrays


@runtime_checkable
class Calibrated(Protocol):
    """Rows of training are there to calibrate on."""

    def calibration(self, data: Any) -> Arrays | None:
        """Inputs of the model, from training data only; None: there are none after all."""


def calibration_of(usecase: object, data: Any) -> Arrays | None:
    """Inputs to find ranges on; None: the use case offers none."""
    return usecase.calibration(data) if isinstance(usecase, Calibrated) else None
