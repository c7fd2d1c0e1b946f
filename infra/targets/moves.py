"""How traffic moves to a new release, in words that mean the same wherever it runs.

Source of the numbers that a strategy takes: SageMaker's deployment guardrails, which are the narrower of the targets
(https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_TrafficRoutingConfig.html, API_RollingUpdatePolicy.html).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Strategy(StrEnum):
    """Which part of the traffic the new release gets, and when the old one's servers go."""

    ALL_AT_ONCE = "all-at-once"
    """Everything, once its servers are ready; the old ones go then. No alarm is asked."""
    BLUE_GREEN = "blue-green"
    """The same, but the old servers stay through a bake."""
    CANARY = "canary"
    """A small share first, then everything; a bake after each."""
    LINEAR = "linear"
    """The same share more in every step, a bake after each; the old servers stay to the end."""
    ROLLING = "rolling"
    """In batches that take the place of old servers, a bake after each: the fewest servers at a time."""


@dataclass(frozen=True, kw_only=True)
class ShadowPhase:
    """Before any traffic moves: the new release gets copies of `share` percent of the requests, nobody its answers, and
    `alarms` (names) watch them for `bake` seconds. `place`: the name under which the endpoint has that made ready, ""
    where it needs nothing."""

    share: int = 100
    bake: int = 1800
    alarms: tuple[str, ...] = ()
    place: str = ""


@dataclass(frozen=True, kw_only=True)
class ShiftPolicy:
    """How traffic moves. Seconds throughout, shares in percent of the traffic.

    `share`: of the canary, of each linear step, of each rolling batch. `bake`: how long each share is watched by
    `alarms` (names), which turn the move back. `keep_capacity`: keep the replicas that run now instead of the new
    revision's count. `timeout`: how long a move may take, bakes aside. `requests`: how many the new release must have
    been asked by others in its bakes to have passed them. `steps`: of a canary that has more than one; `silence`: how
    long whoever leads a move may not be heard of before it goes back, where the place does not lead it itself;
    `shadow`: what comes before all that.
    """

    strategy: Strategy = Strategy.ALL_AT_ONCE
    share: int = 100
    bake: int = 0
    alarms: tuple[str, ...] = ()
    keep_capacity: bool = False
    timeout: float = 1800
    requests: int = 0
    steps: tuple[int, ...] = ()
    silence: float = 60
    shadow: ShadowPhase | None = None

    @property
    def shares(self) -> tuple[int, ...]:
        """What the new release has after each step, the last of them everything."""
        if self.strategy is Strategy.CANARY:
            return (*(self.steps or (self.share,)), 100)
        if self.strategy in (Strategy.LINEAR, Strategy.ROLLING):
            return (*range(self.share, 100, self.share), 100)
        return (100,)

    @property
    def baking(self) -> int:
        """All bakes together."""
        return self.bake * len(self.shares)

    @property
    def watched(self) -> tuple[str, ...]:
        """All alarms that watch it, the copies too."""
        return tuple(dict.fromkeys((*self.alarms, *(self.shadow.alarms if self.shadow else ()))))

    @property
    def deadline(self) -> float:
        """How long the whole move may take."""
        return self.timeout + self.baking

    def beside(self, alarms: tuple[str, ...]) -> ShiftPolicy:
        """Watched by these alarms too, where it is watched."""
        return replace(self, alarms=(*self.alarms, *alarms)) if self.bake else self

    def at_once(self) -> ShiftPolicy:
        """The way back: no step and no alarm, for it is the release that is left that makes them ring."""
        return replace(
            self,
            strategy=Strategy.ALL_AT_ONCE,
            share=100,
            steps=(),
            bake=0,
            alarms=(),
            requests=0,
            shadow=None,
        )

    def keep_copies(self) -> ShiftPolicy:
        """The copies alone, as a move of their own to where they are made; what serves stays as large as it is."""
        if self.shadow is None:
            return self
        return replace(
            self,
            strategy=Strategy.BLUE_GREEN,
            share=100,
            steps=(),
            bake=self.shadow.bake,
            alarms=self.shadow.alarms,
            keep_capacity=True,
        )

    def __str__(self) -> str:
        """In words for a plan."""
        if self.shadow:
            copies = f"copies of {self.shadow.share} % of the requests first, {self.shadow.bake} s of alarms"
            return f"{copies}; then {replace(self, shadow=None)}"
        if not self.bake:
            return "all at once, no alarm watches it"
        shares = ", ".join(f"{share} %" for share in self.shares)
        return f"{self.strategy}: {shares}, {self.bake} s of alarms after each (at least {self.baking / 60:g} minutes)"
