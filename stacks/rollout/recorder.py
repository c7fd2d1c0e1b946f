"""Turns what is seen of a rollout into events: shown at once, and kept where they outlive whoever looks on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from infra.targets.base import Observation
from infra.targets.guard import AlarmState, Figures
from modelpack.errors import EcomdeployError
from modelpack.progress import Progress, Silent
from stacks.rollout.events import EventKind, RolloutEvent, RolloutRecord

Measured = tuple[Sequence[Figures], Sequence[Figures]]
"""Of the release before, and of the new one."""
SHOW_EVERY, MEASURE_EVERY, KEEP_EVERY = timedelta(seconds=2), timedelta(seconds=5), timedelta(seconds=60)
"""How often a look is shown, the place is asked for figures, and looks are written down while nothing else happens."""
LEAD, LATE = timedelta(minutes=5), timedelta(minutes=3)
"""How much of the time before is kept, and how late the place may count."""


class View(Protocol):
    """Whoever looks at a rollout while it goes on."""

    def show(self, record: RolloutRecord, event: RolloutEvent) -> None:
        """One event more; `record` has it already."""

    def close(self) -> None:
        """Nothing comes any more. Twice is fine."""
        ...


@dataclass(frozen=True)
class StepLines:
    """A line when a step begins, and one of figures when it ends; and what happens beside the steps."""

    progress: Progress

    def show(self, record: RolloutRecord, event: RolloutEvent) -> None:
        ends = event.kind in (EventKind.STEP, EventKind.BACK, EventKind.ENDED)
        if ends and (told := describe_figures(record, event)):
            self.progress.note(told)
        if event.kind in (EventKind.STEP, EventKind.ALARM, EventKind.LEFT):
            self.progress.note(event.words)

    def close(self) -> None:
        pass


def describe_figures(record: RolloutRecord, event: RolloutEvent) -> str:
    """What came to both releases in the step before this event; "" where nothing was counted, or nothing baked."""
    steps = (EventKind.STEP, EventKind.BACK)
    begun = next((one for one in reversed(record.events[:-1]) if one.kind in steps), None)
    if begun is None or not begun.bake_ends:
        return ""
    since, told = datetime.fromisoformat(begun.at), []
    for number, figures in ((record.replaced, record.old), (record.release, record.new)):
        if counted := [one for one in figures if one.at >= since]:
            told.append(f"release {number} {sum_up(counted)}")
    part = f"with copies of {begun.copied} %" if begun.copied else f"in the step of {begun.share} %"
    return f"{part}: {'; '.join(told)}" if told else ""


def sum_up(figures: Sequence[Figures]) -> str:
    """Figures of several periods in words; p99 is that of the worst."""
    requests, errors = sum(one.requests for one in figures), sum(one.errors for one in figures)
    slowest = max((one.p99_ms for one in figures if one.p99_ms is not None), default=None)
    p99 = "" if slowest is None else f", p99 {slowest:.3g} ms"
    return f"{requests} requests, {errors} failed{p99}"


def measure_nothing(since: datetime) -> Measured:
    """Of a place without figures."""
    return (), ()


def keep_nowhere(record: RolloutRecord, ended: bool) -> None:
    """Nobody wants to read it later."""


@dataclass
class Recorder:
    """`measure`: figures since then; `keep`: writes the record down, and once it has `ended`, for all; `stage`: share
    and watching of the last step; `ringing`: the alarms that rang at the last look."""

    record: RolloutRecord
    progress: Progress = field(default_factory=Silent)
    view: View | None = None
    measure: Callable[[datetime], Measured] = measure_nothing
    keep: Callable[[RolloutRecord, bool], None] = keep_nowhere
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    stage: tuple[int, int, bool] | None = None
    ringing: frozenset[str] = frozenset()
    shown: datetime | None = None
    measured: datetime | None = None
    kept: datetime | None = None
    complained: str = ""

    @property
    def began(self) -> datetime:
        """When the first event was; now, where there is none."""
        events = self.record.events
        return datetime.fromisoformat(events[0].at) if events else self.now()

    def look(
        self, seen: Observation, alarms: Sequence[AlarmState], words: str, ends: datetime | None
    ) -> None:
        """The endpoint on its way to the new release. `ends`: when the bake does."""
        now, stage = self.now(), (seen.share, seen.copied, seen.baking is not None)
        ringing = frozenset(one.name for one in alarms if one.ringing)
        if stage != self.stage:
            kind = EventKind.STEP
        elif ringing != self.ringing:
            kind = EventKind.ALARM
        elif is_due(self.shown, now, SHOW_EVERY):
            kind = EventKind.LOOK
        else:
            return
        self.stage, self.ringing = stage, ringing
        self.tell(kind, words, seen.share, alarms, ends, seen.copied)

    def tell(
        self,
        kind: EventKind,
        words: str,
        share: int | None = None,
        alarms: Sequence[AlarmState] = (),
        ends: datetime | None = None,
        copied: int = 0,
    ) -> None:
        """One event. Without a `share` it is the last one's."""
        now, last = self.now(), self.record.events[-1] if self.record.events else None
        if kind is not EventKind.LOOK or is_due(self.measured, now, MEASURE_EVERY):
            self.count(now)
        share = share if share is not None else last.share if last else 0
        event = RolloutEvent(
            at=now.isoformat(timespec="seconds"),
            kind=kind,
            words=words,
            share=share,
            step=sum(1 for each in self.record.shares if each <= share) or min(share, 1),
            bake_ends=ends.isoformat(timespec="seconds") if ends else "",
            alarms=tuple(alarms),
            old=self.record.old[-1] if self.record.old else None,
            new=self.record.new[-1] if self.record.new else None,
            copied=copied,
        )
        self.record, self.shown = self.record.take(event), now
        (self.view or StepLines(self.progress)).show(self.record, event)
        if kind is not EventKind.LOOK or is_due(self.kept, now, KEEP_EVERY):
            self.kept = now
            self.attempt(lambda: self.keep(self.record, kind is EventKind.ENDED))

    def count(self, now: datetime) -> None:
        """Newer figures of both releases. Where the place does not tell them, there are none."""
        known = [one.at for one in (*self.record.old[-1:], *self.record.new[-1:])]
        since = max(known) - LATE if known else now - LEAD
        self.measured = now
        self.attempt(lambda: self.add(self.measure(since)))

    def add(self, measured: Measured) -> None:
        self.record = self.record.measure(*measured)

    def attempt(self, do: Callable[[], None]) -> None:
        """Looking on must not end what is looked at; why it does not work is told once."""
        try:
            do()
        except EcomdeployError as error:
            if str(error) != self.complained:
                self.complained = str(error)
                self.progress.note(f"not recorded this time: {error}")

    def close(self) -> None:
        if self.view:
            self.view.close()


def is_due(last: datetime | None, now: datetime, every: timedelta) -> bool:
    return last is None or now - last >= every
