"""Models so slow that what is usual elsewhere would take too long, or promise too much.

`turns` bounds the gate's timing, `target_rps` is asked for by `ecomdeploy init`.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

TURNS = 80
TARGET_RPS = 120.0


@runtime_checkable
class TimedInTurns(Protocol):
    """Timing must do with fewer turns."""

    @property
    def turns(self) -> int:
        """How often two variants take turns, at most, when they are timed."""


@runtime_checkable
class ScaledBy(Protocol):
    """A replica answers fewer requests."""

    @property
    def target_rps(self) -> float:
        """Requests per second and replica that a new project scales by."""


def turns_of(usecase: object) -> int:
    """How often two variants take turns, at most, when they are timed."""
    return usecase.turns if isinstance(usecase, TimedInTurns) else TURNS


def target_rps_of(usecase: object) -> float:
    """Requests per second and replica that a new project scales by."""
    return usecase.target_rps if isinstance(usecase, ScaledBy) else TARGET_RPS
