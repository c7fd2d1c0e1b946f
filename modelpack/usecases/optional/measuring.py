"""What a use case may offer to those who measure its models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from modelpack.formats.signature import Arrays, Run
from modelpack.usecases.base import Evaluation

TURNS = 80


@runtime_checkable
class Agreement(Protocol):
    """Two models of one metric may still answer otherwise. Asked by `gate/trial.py`."""

    @property
    def agreement(self) -> float:
        """The least share of the trained model's ranked items (`Evaluation.ranked`) that an optimized one must keep, as
        a mean over held-out requests."""


def agreement_of(usecase: object) -> float:
    """The least share to be kept; 0: the metric says all."""
    return usecase.agreement if isinstance(usecase, Agreement) else 0.0


@runtime_checkable
class Guarded(Protocol):
    """The task metric does not see all that matters: figures of what a model works out on the way to its answers, which
    a pass may not harm either. Asked by `gate/inner_metrics.py`."""

    @property
    def inner_metric(self) -> str:
        """A value inside the model: a method of the torch module, a value's name in its graph."""

    @property
    def guards(self) -> Mapping[str, float]:
        """How much a pass may cost of each figure that `evaluate_inside` gives."""

    def evaluate_inside(self, run: Run, data: Any) -> Mapping[str, Evaluation]:
        """Metrics by name of a model that answers that value alone, on held-out data."""


@runtime_checkable
class TimedInTurns(Protocol):
    """Models so slow that timing must do with fewer turns. Asked by the gate's timing."""

    @property
    def turns(self) -> int:
        """How often two variants take turns, at most, when they are timed."""


def turns_of(usecase: object) -> int:
    """How often two variants take turns, at most, when they are timed."""
    return usecase.turns if isinstance(usecase, TimedInTurns) else TURNS


@runtime_checkable
class Calibrated(Protocol):
    """Rows of training are there to find ranges on. Asked by `gate/trial.py`, which hands them to passes."""

    def calibration(self, data: Any) -> Arrays | None:
        """Inputs of the model, from training data only; None: there are none after all."""


def calibration_of(usecase: object, data: Any) -> Arrays | None:
    """Inputs to find ranges on; None: the use case offers none."""
    return usecase.calibration(data) if isinstance(usecase, Calibrated) else None


@runtime_checkable
class TrafficSample(Protocol):
    """Rows of training are requests that could have come, to count what is asked for. Asked by `gate/trial.py`, which
    hands them to passes."""

    def traffic(self, data: Any) -> Arrays | None:
        """Inputs of the model, as often as they were asked; None: there are none after all."""


def traffic_of(usecase: object, data: Any) -> Arrays | None:
    """Requests to count; None: the use case offers none."""
    return usecase.traffic(data) if isinstance(usecase, TrafficSample) else None


@runtime_checkable
class FurtherFigures(Protocol):
    """Figures that nothing is decided by (AUC and the like). Asked by `gate/measure.py`, where the model was trained
    here."""

    def further_figures(self, model: Any, data: Any) -> Mapping[str, float]:
        """The figures by name."""


def figures_of(usecase: object, model: Any, data: Any) -> Mapping[str, float]:
    """Further figures; none by itself."""
    return usecase.further_figures(model, data) if isinstance(usecase, FurtherFigures) else {}


@runtime_checkable
class CandidateTable(Protocol):
    """The trained model was chosen from several. Asked by `gate/measure.py`."""

    def candidate_table(self, model: Any) -> Sequence[Mapping[str, Any]]:
        """A line for each, the chosen one among them; empty: there was one only."""


def candidates_of(usecase: object, model: Any) -> Sequence[Mapping[str, Any]]:
    """The candidates' table; empty: there was one only."""
    return usecase.candidate_table(model) if isinstance(usecase, CandidateTable) else ()
