"""What was seen while traffic moved to a release: the one source for the terminal, the record and the timeline.

A `RolloutRecord` is plain data, bounded in size: a rollout of hours keeps its steps, alarms and end, and of what was
seen in between only the newest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import msgspec

from infra.targets.guard import AlarmState, Figures

MOST_EVENTS, MOST_FIGURES = 200, 480
"""Of a record; figures of each release: eight hours of minutes."""


class EventKind(StrEnum):
    """What an event tells."""

    BEGUN = "begun"
    """Traffic begins to move."""
    STEP = "step"
    """The new release has another share of the traffic, or that share begins to be watched."""
    LOOK = "look"
    """Nothing but time has passed, and there are newer figures."""
    ALARM = "alarm"
    """An alarm rings that did not, or the other way round."""
    BACK = "back"
    """Traffic goes back to the release before."""
    LEFT = "left"
    """Whoever looked on was interrupted."""
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True)
class RolloutEvent:
    """One thing that was seen. `at`: ISO 8601, UTC; `share`: percent of the traffic that the new release has; `step`:
    from 1, 0 before the first; `bake_ends`: when the share has been watched long enough, "" while none is; `old` and
    `new`: what came to either release in the newest period that the place has counted; `copied`: percent of the
    requests that the new one gets copies of, while it answers nobody."""

    at: str
    kind: EventKind
    words: str
    share: int = 0
    step: int = 0
    bake_ends: str = ""
    alarms: tuple[AlarmState, ...] = ()
    old: Figures | None = None
    new: Figures | None = None
    copied: int = 0


@dataclass(frozen=True, kw_only=True)
class RolloutRecord:
    """All that was seen of one rollout. `replaced`: the number of the release that served before, None for the first;
    `shares`: what the new release was to have after each step; `bake`: seconds that each is watched; `copied`: percent
    of the requests that it was to get copies of before, watched for `copied_bake` seconds; `old`, `new`: the
    figures of either release by period, the oldest first."""

    service: str
    environment: str
    release: int
    replaced: int | None = None
    strategy: str = ""
    shares: tuple[int, ...] = ()
    bake: int = 0
    copied: int = 0
    copied_bake: int = 0
    events: tuple[RolloutEvent, ...] = ()
    old: tuple[Figures, ...] = ()
    new: tuple[Figures, ...] = ()

    def take(self, event: RolloutEvent) -> RolloutRecord:
        """With one event more. Of two looks in a row the later is kept."""
        last = self.events[-1] if self.events else None
        again = last is not None and last.kind is event.kind is EventKind.LOOK
        before = self.events[:-1] if again else self.events
        return replace(self, events=thin((*before, event)))

    def measure(self, old: Iterable[Figures], new: Iterable[Figures]) -> RolloutRecord:
        """With newer figures; those of a period that is known are the later ones."""
        return replace(self, old=merge(self.old, old), new=merge(self.new, new))

    def document(self) -> dict[str, Any]:
        """As JSON data; `rollout_of` is the inverse."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data

    def as_record(self) -> bytes:
        return msgspec.json.encode(self, order="sorted")


def rollout_of(record: bytes) -> RolloutRecord:
    """Raises msgspec.MsgspecError: it is not one."""
    return msgspec.json.decode(record, type=RolloutRecord)


def thin(events: tuple[RolloutEvent, ...]) -> tuple[RolloutEvent, ...]:
    """At most as many as a record keeps: first the oldest looks go, then what lies between first and last."""
    extra = len(events) - MOST_EVENTS
    if extra <= 0:
        return events
    looks = [index for index, one in enumerate(events) if one.kind is EventKind.LOOK][:extra]
    kept = [one for index, one in enumerate(events) if index not in set(looks)]
    return (kept[0], *kept[1 - MOST_EVENTS :]) if len(kept) > MOST_EVENTS else tuple(kept)


def merge(known: Iterable[Figures], newer: Iterable[Figures]) -> tuple[Figures, ...]:
    by_period = {one.at: one for one in (*known, *newer)}
    return tuple(by_period[at] for at in sorted(by_period))[-MOST_FIGURES:]
