"""Packages that a trained model depends on beside numpy, pandas, pyarrow and torch.

Asked by `inputs/resolve.py`: their versions are part of a trained model's digest.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class TrainingTools(Protocol):
    """Training imports more."""

    @property
    def training_tools(self) -> tuple[str, ...]:
        """Distributions by name."""


def training_tools_of(usecase: object) -> tuple[str, ...]:
    """Distributions by name; none by itself."""
    return usecase.training_tools if isinstance(usecase, TrainingTools) else ()
