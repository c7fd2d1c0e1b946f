"""Architectures to choose from.

Asked by `inputs/resolve.py`, which checks `model.train.architecture`.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Architectures(Protocol):
    """Training compares several and chooses, unless one is named."""

    @property
    def architectures(self) -> tuple[str, ...]:
        """Their names."""


def architectures_of(usecase: object) -> tuple[str, ...]:
    """Names for `model.train.architecture`; empty: there is nothing to choose."""
    return usecase.architectures if isinstance(usecase, Architectures) else ()
