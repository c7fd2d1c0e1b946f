"""Wheels that the server needs for this use case beside the runtime's.

Asked by `modelpack/inputs/environment.py`, which names and locks what goes into the image.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Requirements(Protocol):
    """The server's part for this use case imports packages of others."""

    @property
    def requirements(self) -> tuple[str, ...]:
        """Requirement lines; what they need in turn is resolved."""


@runtime_checkable
class Unneeded(Protocol):
    """Some of what those packages declare is never imported."""

    @property
    def unneeded(self) -> frozenset[str]:
        """Distributions that stay out of the image."""


def requirements_of(usecase: object) -> tuple[str, ...]:
    """Requirement lines; none by itself."""
    return usecase.requirements if isinstance(usecase, Requirements) else ()


def unneeded_of(usecase: object) -> frozenset[str]:
    """Distributions that stay out; none by itself."""
    return usecase.unneeded if isinstance(usecase, Unneeded) else frozenset()
