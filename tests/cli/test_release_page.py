"""The page of one release: self-contained, legible, the same record as the terminal's."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from rollouts import NEW, NOON, REASON

from cli.record.facts import list_facts
from cli.record.timeline import release_page
from infra.targets.guard import AlarmState, Figures
from stacks.history.read import ReleaseStory
from stacks.records.release import Policy, Proof, Release, State
from stacks.rollout.events import EventKind, RolloutEvent, RolloutRecord

ALARMS = {"alarms": {"error_rate": 0.01, "p99_ms": 50}}


def told(
    minute: float, kind: str, share: int, words: str = "", ringing: bool = False, watched: bool = True
) -> Any:
    """An event of that minute."""
    at = NOON + timedelta(minutes=minute)
    return RolloutEvent(
        at=at.isoformat(),
        kind=EventKind(kind),
        words=words or f"{share} % of the traffic on release 2",
        share=share,
        step=min(share, 1),
        bake_ends=(at + timedelta(minutes=5)).isoformat() if watched and share else "",
        alarms=(AlarmState(name="shop-error-rate", ringing=ringing, reason=REASON),) if watched else (),
    )


def figures(first: int, last: int, requests: int, errors: int, p99: float) -> tuple[Figures, ...]:
    return tuple(
        Figures(
            at=NOON + timedelta(minutes=minute),
            requests=requests + minute,
            errors=errors,
            p99_ms=p99 + minute,
        )
        for minute in range(first, last)
    )


def turned_back() -> RolloutRecord:
    events = (
        told(0, "begun", 0, watched=False),
        told(2, "step", 10),
        told(4, "alarm", 10, f"<b>alarm</b> rang: {REASON}", ringing=True),
        told(4.2, "back", 10, "traffic goes back to release 1", ringing=True),
        told(5, "ended", 0, "release 2 did not verify. Release 1 serves"),
    )
    old, new = figures(-5, 6, 900, 0, 12), figures(2, 5, 90, 8, 30)
    return RolloutRecord(
        service="shop", environment="prod", release=2, replaced=1, strategy="canary", shares=(10, 100), bake=300,
        events=events, old=old, new=new,
    )  # fmt: skip


def at_once() -> RolloutRecord:
    """The first release of all: no bake, nothing before it, and nobody counted."""
    events = (told(0, "begun", 0, watched=False), told(0.1, "ended", 100, watched=False))
    return RolloutRecord(
        service="shop", environment="prod", release=2, strategy="all-at-once", shares=(100,), events=events
    )


def story(record: RolloutRecord | None, **more: Any) -> ReleaseStory:
    proven = Proof(environment="staging", account="1", region="r", release=4, image="i", live_since="then")
    release: Release = replace(
        NEW, who="ann@desk", why="spring <range>", created=NOON.isoformat(), policy=Policy(rollout=ALARMS),
        pack=replace(NEW.pack, proven=proven), spec_digest="sha256:5bec",
    )  # fmt: skip
    failed = release.enter(State.FAILED, NOON.isoformat(), "alarm rang")
    return ReleaseStory(release=failed, rollout=record, pack=more.get("pack"))


class Page(HTMLParser):
    """What a page loads from elsewhere, and the text that it shows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.open: list[str] = []
        self.shown = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        self.open.append(tag)

    def handle_data(self, data: str) -> None:
        self.shown += data


@pytest.mark.parametrize("record", [turned_back(), at_once(), None], ids=["turned back", "at once", "unseen"])
def test_the_page_needs_nothing_else(record: RolloutRecord | None) -> None:
    text = release_page(story(record))
    page = Page(text)
    assert "script" not in page.open
    assert all(one.startswith("#") for one in page.loads)
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org)", text)
    for words in ("ann@desk", "spring <range>", "sha256:5bec", "staging", "failed: alarm rang"):
        assert words in page.shown


def test_both_releases_steps_alarms_and_limits_are_drawn() -> None:
    page = Page(release_page(story(turned_back())))
    for words in ("release 1", "release 2", "10 % watched", "shop-error-rate rings", "back", "ended"):
        assert words in page.shown
    for axis in (
        "traffic on",
        "requests in 60 s",
        "failed requests, %",
        "p99 of the model, ms",
        "alarm above this",
    ):
        assert axis in page.shown
    assert "seconds since traffic began to move (2026-11-10 12:00:00 UTC)" in page.shown
    assert "<b>alarm</b> rang" in page.shown
    assert "figure" in page.open


def test_what_nobody_counted_is_said() -> None:
    page = Page(release_page(story(at_once())))
    assert page.shown.count("not counted") == 3
    assert "alarm above this" not in page.shown
    assert "How its traffic moved was not recorded" in Page(release_page(story(None))).shown


def test_the_gates_verdicts_are_told_where_the_record_is_at_hand() -> None:
    record = {
        "metric": {"name": "recall@10", "value": 0.41, "baseline": 0.3},
        "passes": [{"name": "int8", "kept": True, "reason": "1.9x"}],
    }
    facts = dict(list_facts(story(turned_back(), pack=record)))
    assert facts["measured"] == "recall@10 0.4100; to beat: 0.3000"
    assert facts["passes"] == "int8 kept (1.9x)"
    assert facts["moved"] == "canary: 10 %, 100 %, 300 s of alarms after each"
    assert datetime.fromisoformat(facts["made by"].rpartition(", ")[2]) == NOON
