"""What watches a release while it takes traffic: alarms, and how much there was to judge by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class AlarmState:
    """One alarm: whether it rings (of the past: rang), and why, with the values, in the place's own words.

    `at`: when it came into this state.
    """

    name: str
    ringing: bool
    reason: str = ""
    at: datetime | None = None

    def __str__(self) -> str:
        return f"alarm {self.name} {'rang' if self.ringing else 'is quiet'}" + (
            f": {self.reason}" if self.reason else ""
        )


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What came to one revision in one period: `at` is its beginning, and it lasts a minute, or longer where a long
    time is looked back on. `errors`: answers of 5xx; `p99_ms`: None where the place does not tell."""

    at: datetime
    requests: int = 0
    errors: int = 0
    p99_ms: float | None = None

    def beside(self, other: Figures) -> Figures:
        """Of both in the same period: p99 is that of the slower."""
        slower = max((one for one in (self.p99_ms, other.p99_ms) if one is not None), default=None)
        requests, errors = self.requests + other.requests, self.errors + other.errors
        return replace(self, requests=requests, errors=errors, p99_ms=slower)


class Guard(Protocol):
    """Reads alarms, and rings one by hand. Raises `CloudRefused` (credentials), else `EcomdeployError`."""

    def states(self, names: Sequence[str]) -> tuple[AlarmState, ...]:
        """How they are now; one that is not there is left out."""
        ...

    def find_rung(self, names: Sequence[str], since: datetime) -> tuple[AlarmState, ...]:
        """Those that have rung since then, whether or not they ring now, each with its last reason."""
        ...

    def count_requests(self, endpoint: str, revision: str, since: datetime) -> int:
        """How many requests that revision has been asked since then, as far as the place has counted yet."""
        ...

    def measure(
        self, endpoint: str, revisions: Sequence[str], since: datetime
    ) -> Mapping[str, tuple[Figures, ...]]:
        """What came to each revision since then, the oldest first; periods without a request are left out, and so are
        revisions of which the place has no figures."""
        ...

    def ring(self, names: Sequence[str], reason: str) -> bool:
        """Ring one of them by hand, so that the place turns back the move that it guards. False: there is none."""
        ...


@dataclass
class FakeGuard:
    """The fake: `alarms` as they are now, `past` as they rang, `requests` and `figures` by revision; `calls` by hand,
    in order."""

    alarms: dict[str, AlarmState] = field(default_factory=dict)
    past: tuple[AlarmState, ...] = ()
    requests: Mapping[str, int] = field(default_factory=dict)
    figures: Mapping[str, tuple[Figures, ...]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def states(self, names: Sequence[str]) -> tuple[AlarmState, ...]:
        return tuple(self.alarms[name] for name in names if name in self.alarms)

    def find_rung(self, names: Sequence[str], since: datetime) -> tuple[AlarmState, ...]:
        return tuple(one for one in self.past if one.name in names and (one.at is None or one.at >= since))

    def count_requests(self, endpoint: str, revision: str, since: datetime) -> int:
        return self.requests.get(revision, 0)

    def measure(
        self, endpoint: str, revisions: Sequence[str], since: datetime
    ) -> Mapping[str, tuple[Figures, ...]]:
        there = {name: self.figures[name] for name in revisions if name in self.figures}
        return {name: tuple(one for one in told if one.at >= since) for name, told in there.items()}

    def ring(self, names: Sequence[str], reason: str) -> bool:
        self.calls += [f"ring {name}" for name in names[:1]]
        return bool(names)
