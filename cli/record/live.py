"""A rollout as it happens: a small table on a terminal, a line of JSON per event for machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cli.progress import Rich, escape
from cli.who import now
from modelpack.errors import BadInput
from modelpack.progress import Progress
from stacks.rollout.events import EventKind, RolloutEvent, RolloutRecord
from stacks.rollout.recorder import StepLines, View

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

    from stacks.collaborators import Collaborators

TOLD = (EventKind.STEP, EventKind.ALARM, EventKind.BACK, EventKind.LEFT)
BAR = 16
WIDE = 80
"""Columns of a terminal that has room for bars."""


@dataclass
class LiveTable:
    """Redrawn every second in place, so that the time that is left runs; what happened stays above it as lines."""

    console: Console
    clock: Callable[[], datetime] = now
    live: Live | None = None
    last: tuple[RolloutRecord, RolloutEvent] | None = field(default=None, repr=False)

    def show(self, record: RolloutRecord, event: RolloutEvent) -> None:
        from rich.live import Live

        self.last = (record, event)
        if event.kind in TOLD:
            self.console.print(f"  [dim]{escape(event.at[11:19])}  {escape(event.words)}[/]")
        if event.kind is EventKind.ENDED:
            self.close()
        elif self.live is None:
            self.live = Live(
                console=self.console, get_renderable=self.draw, refresh_per_second=1, transient=True
            )
            self.live.start()

    def close(self) -> None:
        """The last state stays on the screen."""
        live, self.live = self.live, None
        if live is not None:
            live.stop()
            self.console.print(self.draw())

    def draw(self) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        if self.last is None:
            return ""
        record, event = self.last
        wide = self.console.width >= WIDE
        title = escape(self.describe(record, event))
        table = Table(box=None, padding=(0, 2 if wide else 1), title=title, title_justify="left")
        for heading in ("", "traffic", *([""] if wide else []), "requests/min", "failed", "p99 ms"):
            table.add_column(heading, justify="left" if heading in ("", "traffic") else "right")
        shares = ((record.replaced, 100 - event.share, event.old), (record.release, event.share, event.new))
        for number, share, figures in shares:
            if number is not None:
                bar = Text(("█" * round(share / 100 * BAR)).ljust(BAR, "░"))
                table.add_row(
                    f"release {number}", *([bar] if wide else []), f"{share} %", *figures_of(figures)
                )
        return table

    def describe(self, record: RolloutRecord, event: RolloutEvent) -> str:
        """The step, what is left of its bake, and the alarms."""
        said = [f"{record.strategy} {', '.join(f'{each} %' for each in record.shares)}"]
        if record.copied:
            said = [f"copies of {record.copied} %, then {said[0]}"]
        if event.copied:
            said.append(f"{event.copied} % copied to release {record.release}, which answers nobody")
        elif event.step:
            said.append(f"step {event.step} of {len(record.shares)}")
        if event.bake_ends:
            left = (datetime.fromisoformat(event.bake_ends) - self.clock()).total_seconds()
            bake = record.copied_bake if event.copied else record.bake
            said.append(f"{max(0, round(left))} s of {bake} left")
        said += [f"{one.name} {'RINGS' if one.ringing else 'quiet'}" for one in event.alarms]
        return "  ".join(said)


def figures_of(figures: Any) -> tuple[str, str, str]:
    """Requests, share of failed ones and p99 of the newest period."""
    if figures is None:
        return ("-", "-", "-")
    share = 100 * figures.errors / figures.requests if figures.requests else 0
    p99 = "-" if figures.p99_ms is None else f"{figures.p99_ms:.3g}"
    return (str(figures.requests), f"{share:.3g} %", p99)


@dataclass(frozen=True)
class WithEvents:
    """Each event as a line of JSON in a file as well, as soon as it is seen; beside it what `inner` shows."""

    file: Path
    inner: View

    def show(self, record: RolloutRecord, event: RolloutEvent) -> None:
        told = {"service": record.service, "environment": record.environment, "release": record.release}
        line = json.dumps({**told, "replaced": record.replaced, **msgspec.to_builtins(event)})
        try:
            with self.file.open("a", encoding="utf-8") as stream:
                stream.write(f"{line}\n")
        except OSError:
            pass  # a disk that is full must not end a rollout; the record has it all
        self.inner.show(record, event)

    def close(self) -> None:
        self.inner.close()


def choose_view(progress: Progress, events: Path | None = None) -> View:
    """A table where a person looks, lines where a machine reads; the events in a file where that is wanted.

    Raises:
        BadInput: the file cannot be written.
    """
    view: View = LiveTable(progress.console) if isinstance(progress, Rich) else StepLines(progress)
    if events is None:
        return view
    try:
        events.write_bytes(b"")
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror}", where=str(events)) from error
    return WithEvents(events, view)


def let_watch(deps: Collaborators, events: Path | None) -> Collaborators:
    """The same, with a view of rollouts: a table on a terminal, and two lines a step elsewhere; `events`: a file that
    has each event as a line of JSON.

    Raises:
        BadInput: the file cannot be written.
    """
    return replace(deps, view=choose_view(deps.progress, events))
