"""How near an optimized model must stay to the trained one's rankings.

Asked by `gate/trial.py`.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Agreement(Protocol):
    """Two models of one metric may still answer otherwise."""

    @property
    def agreement(self) -> float:
        """The least share of the trained model's ranked items (`Evaluation.ranked`) that an optimized one must keep, as
        a mean over held-out requests."""


def agreement_of(usecase: object) -> float:
    """The least share to be kept; 0: the metric says all."""
    return usecase.agreement if isinstance(usecase, Agreement) else 0.0
