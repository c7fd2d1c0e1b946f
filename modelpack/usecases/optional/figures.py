"""What else the record tells of a trained model.

Asked by `gate/verdict.py`, where the model was trained here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class FurtherFigures(Protocol):
    """Figures that nothing is decided by (AUC and the like)."""

    def further_figures(self, model: Any, data: Any) -> Mapping[str, float]:
        """The figures by name."""


@runtime_checkable
class CandidateTable(Protocol):
    """The trained model was chosen from several."""

    def candidate_table(self, model: Any) -> Sequence[Mapping[str, Any]]:
        """A line for each, the chosen one among them; empty: there was one only."""


def figures_of(usecase: object, model: Any, data: Any) -> Mapping[str, float]:
    """Further figures; none by itself."""
    return usecase.further_figures(model, data) if isinstance(usecase, FurtherFigures) else {}


def candidates_of(usecase: object, model: Any) -> Sequence[Mapping[str, Any]]:
    """The candidates' table; empty: there was one only."""
    return usecase.candidate_table(model) if isinstance(usecase, CandidateTable) else ()
