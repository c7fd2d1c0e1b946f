"""The ledger: a state machine against a plain model, and what two writers and a kill can do to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from modelpack.errors import BadInput, EcomdeployError, Locked
from stacks.records.ledger import RETAINED, Ledger
from stacks.records.release import OPEN, Packed, Release, ServingConfiguration, State, key_of, release_of
from stacks.records.store import FolderStore, InMemoryStore


def clock() -> datetime:
    return datetime(2026, 11, 24, 12, tzinfo=UTC)


SERVING = ServingConfiguration(target="sagemaker", instance="ml.c7i.xlarge")


def release(word: str, **more: Any) -> Release:
    pack = Packed(
        digest=f"sha256:{word}",
        content_digest=f"sha256:c{word}",
        input_digest=word,
        usecase="recommendation",
        golden=({"request": {"instances": [1]}, "answer": {"predictions": [2]}},),
        tolerance={"a": {"kind": "equal"}},
    )
    image = f"registry/shop@sha256:{word}"
    return Release(
        number=0, service="shop", environment="local", pack=pack, image=image, serving=SERVING, **more
    )


def fresh() -> Ledger:
    return Ledger(InMemoryStore(), clock)


def shipped(ledger: Ledger, word: str, **more: Any) -> Release:
    return ledger.finish(ledger.begin(release(word, **more)).number)


def test_a_release_survives_the_round_trip_through_json() -> None:
    one = release("a", restores=3, who="me", why="because").enter(State.BEGUN, "2026-11-24", "x")
    assert release_of(json.loads(json.dumps(one.document()))) == one
    with pytest.raises(msgspec.ValidationError):
        release_of({**one.document(), "number": "seven"})


def test_the_key_follows_from_image_and_contract_alone() -> None:
    one = release("a")
    assert len(one.key) == 12
    assert replace(one, number=9, who="other", restores=1).key == one.key
    other = ServingConfiguration(target="sagemaker", instance="ml.c7i.2xlarge")
    assert key_of(one.image, other) != one.key
    assert release("b").key != one.key


def test_a_second_reader_sees_the_same(tmp_path: Path) -> None:
    ledger = Ledger(FolderStore(tmp_path), clock)
    shipped(ledger, "a")
    begun = ledger.begin(release("b", why="try"))
    ledger.fail(begun.number, "golden request 1 differs")
    assert Ledger(FolderStore(tmp_path), clock).releases() == ledger.releases()
    assert [each.cause for each in ledger.releases()] == ["", "golden request 1 differs"]


def test_marks_follow_the_last_release_of_a_pack() -> None:
    ledger = fresh()
    shipped(ledger, "a"), shipped(ledger, "b")
    assert ledger.find_mark("sha256:a", SERVING) is None
    shipped(ledger, "a", restores=1)
    assert ledger.find_mark("sha256:b", SERVING).number == 2
    assert ledger.find_mark("sha256:b", replace(SERVING, instance="ml.c6i.xlarge")) is None, (
        "served otherwise"
    )
    ledger.remove_all("taken down")
    assert ledger.find_mark("sha256:b", SERVING).number == 2, "taking down does not make a bad pack good"
    shipped(ledger, "b")
    assert ledger.find_mark("sha256:b", SERVING) is None


def test_same_key_same_replicas() -> None:
    ledger = fresh()
    shipped(ledger, "a", replicas=1), shipped(ledger, "b", replicas=1)
    assert ledger.begin(release("a", replicas=4)).replicas == 1
    assert ledger.begin(release("c", replicas=4)).replicas == 4


def test_nothing_to_go_back_to_is_said() -> None:
    ledger = fresh()
    shipped(ledger, "a")
    with pytest.raises(BadInput, match="no earlier release"):
        ledger.previous()
    assert ledger.find_previous() is None
    with pytest.raises(BadInput, match="no release 7"):
        ledger.find(7)


def test_two_writers_cannot_both_append() -> None:
    store = InMemoryStore()
    one, two = Ledger(store, clock), Ledger(store, clock)
    one.token, two.token = 1, 2
    one.begin(release("a"))
    two.begin(release("b"))
    with pytest.raises(Locked, match="took over"):
        one.fail(1, "too late: a newer lease has written")


class Slow(InMemoryStore):
    """Between one writer's look and its write, another writes."""

    other: Any = None

    def write(self, name: str, data: bytes, *, was: bytes | None) -> bool:
        if self.other:
            act, self.other = self.other, None
            act()
        return super().write(name, data, was=was)


def test_a_lost_race_for_a_number_is_noticed() -> None:
    store = Slow()
    one, two = Ledger(store, clock), Ledger(store, clock)
    store.other = lambda: two.begin(release("b"))
    with pytest.raises(Locked):
        one.begin(release("a"))
    assert [each.pack.digest for each in Ledger(store, clock).releases()] == ["sha256:b"]


def test_a_damaged_event_is_named() -> None:
    store = InMemoryStore({"events/00000001.json": b"{half"})
    with pytest.raises(EcomdeployError, match=r"event 1 of the ledger \(events/00000001.json\) is damaged"):
        Ledger(store, clock).releases()


def test_an_empty_event_is_named_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "events").mkdir()
    file = tmp_path / "events" / "00000001.json"
    file.touch()
    with pytest.raises(EcomdeployError) as refused:
        Ledger(FolderStore(tmp_path), clock).releases()
    assert f"({file}) is empty" in str(refused.value)
    assert "ecomdeploy recover" in refused.value.hint


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_hole_in_the_numbers_is_noticed(lost: int) -> None:
    store = InMemoryStore()
    for word in ("a", "b"):
        shipped(Ledger(store, clock), word)
    last = len(store.records)
    del store.records[f"events/{lost:08d}.json"]
    with pytest.raises(EcomdeployError, match=f"event {lost} .* is missing, .* event {last}"):
        Ledger(store, clock).releases()


def test_an_event_of_a_newer_version_is_refused_by_its_kind() -> None:
    store = InMemoryStore()
    Ledger(store, clock).begin(release("a"))
    event = {"kind": "annotated", "sequence": 2, "token": 0, "at": "2026-11-28T11:00:00+00:00"}
    store.records["events/00000002.json"] = json.dumps(event).encode()
    with pytest.raises(EcomdeployError, match="does not know: 'annotated'"):
        Ledger(store, clock).releases()


def test_an_event_that_does_not_read_is_named() -> None:
    store = InMemoryStore(
        {"events/00000001.json": b'{"kind": "states", "sequence": 1, "states": {"7": "live"}}'}
    )
    with pytest.raises(EcomdeployError, match=r"event 1 .* does not read"):
        Ledger(store, clock).releases()


def test_a_renamed_service_has_its_own_releases_and_numbers_that_go_on() -> None:
    store = InMemoryStore()
    shipped(Ledger(store, clock, service="shop"), "a")
    store_ledger = Ledger(store, clock, service="store")
    assert (store_ledger.releases(), store_ledger.live()) == ((), None)
    assert store_ledger.next_number() == 2
    assert [each.service for each in store_ledger.former()] == ["shop"]
    assert Ledger(store, clock, service="shop").former() == ()
    store_ledger.finish(store_ledger.begin(replace(release("b"), service="store")).number)
    assert [each.service for each in store_ledger.former()] == ["shop"]
    assert Ledger(store, clock, service="shop").former() == ()


def test_leftovers_are_what_a_kill_left_since_the_live_release() -> None:
    ledger = fresh()
    ledger.begin(release("x"))
    ledger.interrupt("killed")
    shipped(ledger, "a")
    assert ledger.leftovers() == ()
    ledger.begin(release("y"))
    assert [each.number for each in ledger.leftovers()] == [3]
    ledger.interrupt("killed")
    assert [each.number for each in ledger.leftovers()] == [3]
    ledger.remove_all("down")
    assert ledger.leftovers() == ()
    assert ledger.live() is None


WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from stacks.records.ledger import Ledger
from stacks.records.release import *
from stacks.records.store import FolderStore

ledger = Ledger(FolderStore(Path(sys.argv[1])), lambda: datetime.now(UTC))
pack = Packed(digest="d", content_digest="c", input_digest="i", usecase="u")
contract = ServingConfiguration(target="t", instance="i")
one = Release(number=0, service="s", environment="e", pack=pack, image="i@d", serving=contract)
while True:
    begun = ledger.begin(one)
    print(begun.number, flush=True)
"""


def test_a_killed_writer_leaves_whole_events_and_loses_none_it_told_of(
    tmp_path: Path, repository: Path
) -> None:
    for count in (1, 4, 9):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=repository
        )
        assert writer.stdout is not None
        acknowledged = [int(writer.stdout.readline()) for _ in range(count)]
        os.kill(writer.pid, 9)
        acknowledged += [int(line) for line in writer.stdout if line.endswith("\n")]
        writer.wait()
        writer.stdout.close()
        numbers = [each.number for each in Ledger(FolderStore(tmp_path), clock).releases()]
        assert numbers == list(range(1, len(numbers) + 1))
        assert set(acknowledged) <= set(numbers)


class LedgerMachine(RuleBasedStateMachine):
    """The ledger against the plainest model: a list of [word, state, restores]."""

    @initialize()
    def start(self) -> None:
        self.ledger = fresh()
        self.model: list[list[Any]] = []

    def open(self) -> int | None:
        return next((n for n, one in reversed(list(enumerate(self.model, 1))) if one[1] in OPEN), None)

    @rule(word=st.sampled_from("abcdefghij"), restores=st.booleans())
    def begin(self, word: str, restores: bool) -> None:
        self.ledger.interrupt("next")
        for one in self.model:
            one[1] = State.INTERRUPTED if one[1] in OPEN else one[1]
        begun = self.ledger.begin(release(word, restores=1 if restores and self.model else None))
        self.model.append([word, State.BEGUN, begun.restores])
        assert begun.number == len(self.model)

    @precondition(lambda self: self.open() is not None)
    @rule()
    def finish(self) -> None:
        number = self.open()
        assert number is not None
        self.ledger.finish(number)
        for one in self.model:
            if one[1] is State.LIVE:
                one[1] = State.ROLLED_BACK if self.model[number - 1][2] else State.SUPERSEDED
        self.model[number - 1][1] = State.LIVE

    @precondition(lambda self: self.open() is not None)
    @rule()
    def fail(self) -> None:
        number = self.open()
        assert number is not None
        self.ledger.fail(number, "it differs")
        self.model[number - 1][1] = State.FAILED

    @rule()
    def down(self) -> None:
        self.ledger.interrupt("down")
        self.ledger.remove_all("down")
        for one in self.model:
            one[1] = one[1] if one[1] is State.FAILED else State.REMOVED

    @rule()
    def another_process(self) -> None:
        self.ledger = Ledger(self.ledger.store, clock)

    @invariant()
    def it_agrees(self) -> None:
        releases = self.ledger.releases()
        assert [each.state for each in releases] == [one[1] for one in self.model]
        live = [number for number, one in enumerate(self.model, 1) if one[1] is State.LIVE]
        assert len(live) <= 1
        found = self.ledger.live()
        assert (found.number if found else None) == (live[0] if live else None)
        unfinished = self.ledger.find_unfinished()
        assert (unfinished.number if unfinished else None) == self.open()

    @invariant()
    def the_window_is_right(self) -> None:
        live, words = self.ledger.live(), []
        for word, state, _ in reversed(self.model):
            is_live = live is not None and word == self.model[live.number - 1][0]
            if state in (State.SUPERSEDED, State.ROLLED_BACK) and word not in words and not is_live:
                words.append(word)
        kept = self.ledger.list_retained()
        assert [each.input_digest for each in (one.pack for one in kept)] == words[:RETAINED]
        assert len({each.key for each in kept}) == len(kept)


LedgerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestLedgerMachine = LedgerMachine.TestCase
