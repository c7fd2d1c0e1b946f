"""What is seen of a rollout: shown, kept and read from one record."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from rollouts import ALARM, NEW, NOON, OLD, REASON, Sharing, make_traffic, moving, rang, rollout

from infra.targets.base import Observation
from infra.targets.guard import Figures
from modelpack.errors import EcomdeployError, Unhealthy
from modelpack.progress import Silent
from stacks.rollout.events import (
    MOST_EVENTS,
    MOST_FIGURES,
    EventKind,
    RolloutEvent,
    RolloutRecord,
    rollout_of,
)
from stacks.rollout.kept import measure_of
from stacks.rollout.move import Rollout
from stacks.rollout.recorder import Recorder


@pytest.fixture
def traffic() -> Sharing:
    return make_traffic()


class Watching:
    """A view that keeps what it is shown."""

    def __init__(self) -> None:
        self.events: list[RolloutEvent] = []
        self.closed = False

    def show(self, record: RolloutRecord, event: RolloutEvent) -> None:
        assert record.events[-1] == event
        self.events.append(event)

    def close(self) -> None:
        self.closed = True


def recorded(traffic: Sharing, view: Watching) -> tuple[Rollout, list[tuple[RolloutRecord, bool]]]:
    """A rollout whose recorder asks for figures, and what it writes down."""
    kept: list[tuple[RolloutRecord, bool]] = []
    moved = rollout(traffic)
    traffic.guard.figures = {
        "old": (Figures(at=NOON, requests=90, errors=1, p99_ms=8.0),),
        "new": (Figures(at=NOON + timedelta(minutes=1), requests=10, p99_ms=9.0),),
    }
    recorder = Recorder(
        moved.record_of(OLD, NEW),
        moved.progress,
        view=view,
        measure=measure_of(moved, OLD, NEW),
        keep=lambda record, ended: kept.append((record, ended)),
        now=moved.now,
    )
    return replace(moved, recorder=recorder), kept


def test_terminal_record_and_file_have_one_source(traffic: Sharing) -> None:
    view = Watching()
    moved, kept = recorded(traffic, view)
    moved.roll(OLD, NEW)
    record, ended = kept[-1]
    assert ended
    assert view.closed
    assert [one.kind for one in view.events] == ["begun", "step", "step", "step", "ended"]
    assert record.events == tuple(view.events)
    assert [one.share for one in record.events] == [0, 0, 10, 100, 100]
    assert [one.step for one in record.events] == [0, 0, 1, 2, 2]
    assert record.events[2].bake_ends == (NOON + timedelta(seconds=300)).isoformat()
    assert [one.name for one in record.events[2].alarms] == [ALARM]
    assert (record.old[0].requests, record.new[0].requests) == (90, 10)
    assert rollout_of(record.as_record()) == record
    assert json.loads(record.as_record())["release"] == 2


def test_going_back_is_a_part_of_the_record_and_says_why(traffic: Sharing) -> None:
    traffic.scripts = [[moving(10), replace(traffic.settle("old"), failure="alarm")]]
    traffic.guard.past = (rang(),)
    view = Watching()
    moved, kept = recorded(traffic, view)
    with pytest.raises(Unhealthy):
        moved.roll(OLD, NEW)
    assert [one.kind for one in view.events] == ["begun", "step", "back", "ended"]
    assert REASON in view.events[2].words
    assert [(one.name, one.ringing) for one in view.events[2].alarms] == [(ALARM, True)]
    assert (view.events[-1].share, kept[-1][1]) == (0, True)


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (moving(10), "release 1 serves 90 % of the traffic, release 2 10 %"),
        (moving(0, to="", at="new"), "release 2 serves, not verified yet"),
        (moving(0, to=""), "release 1 serves: ecomdeploy up goes on"),
    ],
)
def test_whoever_leaves_is_told_which_release_serves(traffic: Sharing, seen: Observation, said: str) -> None:
    class Interrupted(Watching):
        def show(self, record: RolloutRecord, event: RolloutEvent) -> None:
            super().show(record, event)
            if event.share == 10 and event.kind == "step":
                traffic.endpoints["shop"], traffic._coming = seen, {}
                raise KeyboardInterrupt

    view = Interrupted()
    moved, kept = recorded(traffic, view)
    with pytest.raises(KeyboardInterrupt):
        moved.roll(OLD, NEW)
    assert (view.events[-1].kind, view.closed, kept[-1][1]) == ("left", True, False)
    assert view.events[-1].words.startswith(said)


def test_in_a_pipeline_a_step_has_two_lines(traffic: Sharing) -> None:
    moved, _ = recorded(traffic, Watching())
    assert moved.recorder
    moved.recorder.view = None
    moved.roll(OLD, NEW)
    assert isinstance(moved.progress, Silent)
    steps = [line for line in moved.progress.lines if "% of the traffic" in line or "in the step" in line]
    assert steps[1].startswith("10 % of the traffic on release 2, watched")
    assert steps[2] == "in the step of 10 %: release 2 10 requests, 0 failed, p99 9 ms"
    assert len(steps) == 5


def test_a_place_that_tells_no_figures_ends_no_rollout(traffic: Sharing) -> None:
    def refuse(since: datetime) -> Any:
        raise EcomdeployError("not allowed")

    moved, kept = recorded(traffic, Watching())
    assert moved.recorder
    moved.recorder.measure = refuse
    moved.roll(OLD, NEW)
    assert kept[-1][0].events[-1].kind == "ended"
    assert isinstance(moved.progress, Silent)
    assert moved.progress.lines.count("not recorded this time: not allowed") == 1


def test_a_record_is_bounded(traffic: Sharing) -> None:
    """Hours of looks leave the steps, the alarms and the end."""
    record = rollout(traffic).record_of(OLD, NEW)
    kinds = [
        EventKind.BEGUN,
        *[EventKind.STEP, EventKind.LOOK, EventKind.ALARM, EventKind.LOOK] * 200,
        EventKind.ENDED,
    ]
    for minute, kind in enumerate(kinds):
        at = NOON + timedelta(minutes=minute)
        record = record.take(RolloutEvent(at=at.isoformat(), kind=kind, words="w" * 200))
        record = record.measure((Figures(at=at),), (Figures(at=at),))
    assert len(record.events) == MOST_EVENTS
    assert (record.events[0].kind, record.events[-1].kind) == ("begun", "ended")
    assert len(record.old) == len(record.new) == MOST_FIGURES
    assert len(record.as_record()) < 256 * 1024
