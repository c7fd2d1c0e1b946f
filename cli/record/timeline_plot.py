"""A rollout as inline SVG, drawn by matplotlib: shares, requests, failures and p99 of both releases over one time axis.

Its colours are the page's (CSS variables). Two that are told apart by the colour-blind (Okabe and Ito's blue and
vermilion), and each release has a line and a marker of its own besides.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from cli.record.scatter import STYLE
from infra.targets.guard import Figures
from stacks.rollout.events import EventKind, RolloutRecord

SIZE = (12.0, 8.4)
"""Inches, of 72 units in the drawing."""
PAGE = ("ink", "soft", "line", "paper", "accent", "front", "plain", "bad", "trained", "old", "new")
COLOURS = {name: f"#0000{place:02x}" for place, name in enumerate(PAGE, 1)}
NEAR = 0.035
"""Share of the axis below which two labels would lie over one another."""
MOST_LABELS = 24
LONG = timedelta(minutes=10)
MINUTE = 60


@dataclass(frozen=True)
class Drawn:
    """One release as it is drawn."""

    number: int
    colour: str
    line: str
    marker: str
    figures: Sequence[Figures]

    @property
    def name(self) -> str:
        return f"release {self.number}"


@dataclass(frozen=True)
class TimeAxis:
    """Times as numbers: since `began`, in seconds or (`unit` 60) minutes; `period`: of the figures, in seconds."""

    began: datetime
    ended: datetime
    unit: int
    period: float

    def place(self, at: datetime) -> float:
        return (at - self.began).total_seconds() / self.unit

    @property
    def words(self) -> str:
        unit = "minutes" if self.unit == MINUTE else "seconds"
        return f"{unit} since traffic began to move ({self.began:%Y-%m-%d %H:%M:%S} UTC)"

    @property
    def ends(self) -> tuple[float, float]:
        """A part of the time before is shown, and a little of the time after."""
        whole = max(self.place(self.ended), 1.0)
        lead = max(0.25 * whole, 3 * self.period / self.unit)
        return -lead, whole * 1.03 + self.period / self.unit


def timeline(record: RolloutRecord, limits: dict[str, float]) -> str:
    """The plot. `limits`: of the alarms, `error_rate` as a share and `p99_ms`; one that is not there is not watched."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    axis, releases, written = find_axis(record), list_releases(record), io.StringIO()
    with rc_context({**STYLE, "svg.hashsalt": "ecomdeploy timeline"}):
        figure = Figure(SIZE, layout="constrained")
        panels = figure.subplots(4, 1, sharex=True, height_ratios=(1, 1.3, 1.1, 1.3))
        draw_shares(panels[0], record, axis)
        period = f"{axis.period:.3g} s"
        draw_figures(panels[1], releases, axis, f"requests in {period}", lambda one: float(one.requests))
        draw_figures(panels[2], releases, axis, "failed requests, %", share_of_failed)
        draw_figures(panels[3], releases, axis, "p99 of the model, ms", lambda one: one.p99_ms)
        draw_limit(panels[2], axis, limits.get("error_rate"), 100)
        draw_limit(panels[3], axis, limits.get("p99_ms"), 1)
        for panel in panels:
            mark(panel, record, axis)
            panel.set_xlim(*axis.ends)
        label(panels[0], record, axis)
        panels[3].set_xlabel(axis.words)
        panels[1].legend(loc="upper left", frameon=False, labelcolor=COLOURS["ink"], ncols=2)
        figure.savefig(written, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return in_page(written.getvalue(), f"Rollout of release {record.release}")


def find_axis(record: RolloutRecord) -> TimeAxis:
    times = [datetime.fromisoformat(one.at) for one in record.events]
    began, ended = times[0], times[-1]
    steps = [b.at - a.at for told in (record.old, record.new) for a, b in pairwise(told)]
    period = min(steps).total_seconds() if steps else float(MINUTE)
    return TimeAxis(began, ended, MINUTE if ended - began > LONG else 1, period)


def list_releases(record: RolloutRecord) -> list[Drawn]:
    new = Drawn(record.release, COLOURS["new"], "-", "s", record.new)
    if record.replaced is None:
        return [new]
    return [Drawn(record.replaced, COLOURS["old"], "--", "o", record.old), new]


def draw_shares(axes: Any, record: RolloutRecord, axis: TimeAxis) -> None:
    """The new release's share of the traffic, as it was seen."""
    places = [axis.place(datetime.fromisoformat(one.at)) for one in record.events]
    shares = [one.share for one in record.events]
    places, shares = [axis.ends[0], *places, axis.ends[1]], [0, *shares, shares[-1]]
    axes.fill_between(places, shares, step="post", color=COLOURS["new"], alpha=0.18, linewidth=0)
    axes.step(places, shares, where="post", color=COLOURS["new"], linewidth=1.6)
    axes.set_ylim(0, 105)
    axes.set_yticks((0, 50, 100))
    axes.set_ylabel(f"traffic on\nrelease {record.release}, %")


def draw_figures(
    axes: Any, releases: Sequence[Drawn], axis: TimeAxis, words: str, value: Callable[[Figures], float | None]
) -> None:
    """One line a release; where nothing was counted there is none."""
    axes.set_ylabel(words)
    low, high, top = *axis.ends, 0.0
    for each in releases:
        places, values = [], []
        last: Figures | None = None
        for one in each.figures:
            if last and (one.at - last.at).total_seconds() > 1.5 * axis.period:
                places.append(axis.place(last.at + (one.at - last.at) / 2))
                values.append(float("nan"))
            found = value(one)
            places.append(axis.place(one.at + timedelta(seconds=axis.period / 2)))
            values.append(float("nan") if found is None else found)
            last = one
        shown = [v for p, v in zip(places, values, strict=True) if low <= p <= high and v == v]
        top = max((top, *shown))
        axes.plot(
            places,
            values,
            each.line,
            marker=each.marker,
            ms=3.5,
            linewidth=1.6,
            color=each.colour,
            label=each.name,
        )
    axes.set_ylim(0, 1.35 * top or 1)  # room for the legend
    if not any(each.figures for each in releases):
        axes.text(0.5, 0.5, "not counted", transform=axes.transAxes, ha="center", color=COLOURS["soft"])


def share_of_failed(one: Figures) -> float:
    return 100 * one.errors / one.requests if one.requests else 0.0


def draw_limit(axes: Any, axis: TimeAxis, limit: float | None, factor: float) -> None:
    """Where the alarm rings."""
    if limit is None:
        return
    level = limit * factor
    axes.set_ylim(0, max(axes.get_ylim()[1], 1.25 * level))
    axes.axhline(level, color=COLOURS["bad"], linewidth=1, linestyle=(0, (1, 2)))
    axes.annotate(
        "alarm above this", (axis.ends[1], level), (-4, 3), textcoords="offset points", ha="right", va="bottom",
        color=COLOURS["bad"], fontsize=8,
    )  # fmt: skip


def list_marks(record: RolloutRecord) -> list[tuple[datetime, str, str]]:
    """What is marked on the time axis, in its order: when, in words, in which colour."""
    words = {EventKind.BEGUN: "begins", EventKind.BACK: "back"}
    words |= {EventKind.LEFT: "nobody looks", EventKind.ENDED: "ended"}
    found: list[tuple[datetime, str, str]] = []
    for one in record.events:
        at, ringing = datetime.fromisoformat(one.at), [alarm for alarm in one.alarms if alarm.ringing]
        if one.kind is EventKind.STEP and one.share:
            found.append((at, f"{one.share} %{' watched' if one.bake_ends else ''}", "ink"))
        elif one.kind is EventKind.ALARM:
            told = f"▲ {', '.join(alarm.name for alarm in ringing)} rings" if ringing else "▽ alarms quiet"
            found.append((at, told, "bad"))
        elif one.kind in words:
            found.append((at, words[one.kind], "bad" if one.kind is EventKind.BACK else "ink"))
        if one.kind is EventKind.BACK:  # what rang may have turned it back between two looks
            found += [(alarm.at, f"▲ {alarm.name} rang", "bad") for alarm in ringing if alarm.at]
    return sorted(found, key=lambda each: each[0])


def mark(axes: Any, record: RolloutRecord, axis: TimeAxis) -> None:
    """A line at each step, and a solid one where an alarm rang or traffic went back."""
    for when, _, colour in list_marks(record):
        line = "-" if colour == "bad" else (0, (4, 3))
        at = axis.place(when)
        axes.axvline(at, color=COLOURS[colour], linewidth=1.1 if colour == "bad" else 0.8, linestyle=line)


def label(axes: Any, record: RolloutRecord, axis: TimeAxis) -> None:
    """What the marks are, above the first panel, in rows so that none lies over another."""
    low, high = axis.ends
    rows: list[float] = []
    for when, words, colour in list_marks(record)[:MOST_LABELS]:
        at = (axis.place(when) - low) / (high - low)
        row = next((index for index, end in enumerate(rows) if at > end), len(rows))
        rows[row : row + 1] = [at + 0.0075 * len(words) + NEAR / 4]
        axes.annotate(
            words, (at, 1), (2, 4 + 12 * row), xycoords="axes fraction", textcoords="offset points", fontsize=9,
            color=COLOURS[colour], ha="left",
        )  # fmt: skip


def in_page(drawn: str, words: str) -> str:
    """The drawing without what only a file needs, in the page's colours."""
    inner = drawn[drawn.index("<defs>") :]
    for name, colour in COLOURS.items():
        inner = inner.replace(colour, f"var(--{name})")
    width, height = (72 * size for size in SIZE)
    return f'<svg class="plot" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{words}">\n{inner}'
