"""A clock that is set: an hour back, a day on, between two commands and within one. What happened keeps its order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.spec import Period
from modelpack.errors import BadInput, Unhealthy
from stacks import ship
from stacks.records.ledger import Ledger
from stacks.records.release import State
from stacks.records.store import InMemoryStore
from stacks.recover import recover
from tests.stacks.test_ledger import release

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
JUMPS = {
    "an hour back, once": [*[SECOND] * 6, -HOUR, *[SECOND] * 1000],
    "a day on, once": [*[SECOND] * 6, 24 * HOUR, *[SECOND] * 1000],
    "back at every look": [-HOUR],
    "to and fro": [24 * HOUR, -HOUR, timedelta(0), -23 * HOUR],
}


def set_clock(world: Any, steps: list[timedelta]) -> None:
    """At every look at the clock it has been set by the next of these."""
    moves: Iterator[timedelta] = cycle(steps)

    def clock() -> datetime:
        world.now += next(moves)
        now: datetime = world.now
        return now

    world.clock = clock


def tell(world: Any) -> list[tuple[int, str, int | None]]:
    return [(each.number, str(each.state), each.restores) for each in world.process("any").ledger.releases()]


@pytest.mark.parametrize("jump", JUMPS)
def test_releases_go_live_and_back_in_their_order(jump: str, world: Any, spec_of: Any) -> None:
    set_clock(world, JUMPS[jump])
    world.broken.add("sha256:bad")
    for word in ("one", "two"):
        assert ship.up(world.process(word), spec_of()).verified
    with pytest.raises(Unhealthy):
        ship.up(world.process("bad"), spec_of())
    assert ship.rollback(world.process("two"), spec_of()).release.restores == 1
    assert ship.up(world.process("three"), spec_of()).release.number == 5
    assert tell(world) == [
        (1, "superseded", None),
        (2, "rolled-back", None),
        (3, "failed", None),
        (4, "superseded", 1),
        (5, "live", None),
    ]
    assert ship.status(world.process("three"), spec_of()).verified
    assert ship.rollback(world.process("three"), spec_of()).release.restores == 4


@pytest.mark.parametrize("jump", JUMPS)
@pytest.mark.parametrize("fuse", [5, 20, 40, 60])
def test_a_kill_is_made_good(jump: str, fuse: int, world: Any, spec_of: Any) -> None:
    """The lease of whoever was killed is no question of time on one machine."""
    set_clock(world, JUMPS[jump])
    assert ship.up(world.process("one"), spec_of()).verified
    world.kill_at(fuse, lambda: ship.up(world.process("two"), spec_of()))
    assert ship.up(world.process("two"), spec_of()).verified
    assert [state for _, state, _ in tell(world)].count("live") == 1


@pytest.mark.parametrize("jump", JUMPS)
def test_a_lost_history_is_rebuilt_from_records_of_any_time(jump: str, world: Any, spec_of: Any) -> None:
    set_clock(world, JUMPS[jump])
    for word in ("one", "two"):
        ship.up(world.process(word), spec_of())
    before = tell(world)
    for name in [name for name in world.store.records if name.startswith("events/")]:
        del world.store.records[name]
    assert recover(world.process("two"), spec_of()).live == 2
    assert tell(world) == before


@given(st.lists(st.integers(-(10**6), 10**6).map(lambda seconds: timedelta(seconds=seconds)), min_size=1))
@settings(max_examples=20)
def test_the_ledger_goes_by_numbers(steps: list[timedelta]) -> None:
    class Host:
        now = datetime(2026, 11, 24, tzinfo=UTC)

    host, store = Host(), InMemoryStore()
    set_clock(host, steps)
    for word in ("a", "b", "c"):
        ledger = Ledger(store, lambda: host.clock())  # type: ignore[attr-defined]
        ledger.finish(ledger.begin(release(word)).number)
    told = Ledger(store, lambda: host.now)
    assert [each.state for each in told.releases()] == [State.SUPERSEDED, State.SUPERSEDED, State.LIVE]
    assert told.previous().number == 2
    assert [each.number for each in told.list_retained()] == [2, 1]


def test_a_freeze_holds_by_the_clock_as_it_is_when_a_rollout_begins(world: Any, spec_of: Any) -> None:
    """Wrong or right, there is no other; a clock that is set within a command does not stop a rollout half-way."""
    begin = world.now + 5 * HOUR
    window = Period(name="sale", start=begin, end=begin + HOUR)
    frozen = replace(spec_of(), rollout=replace(spec_of().rollout, freeze=(window,)))
    ship.up(world.process("one"), frozen)
    world.now = begin
    with pytest.raises(BadInput, match="frozen by sale"):
        ship.up(world.process("two"), frozen)
    world.now = begin - 4 * HOUR
    still = timedelta(0)
    set_clock(world, [still, still, 4 * HOUR, *[still] * 1000])
    assert ship.up(world.process("two"), frozen).release.number == 2
    assert world.now == begin
    assert ship.rollback(world.process("two"), frozen).release.restores == 1, "back is always possible"
