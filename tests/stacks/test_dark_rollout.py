"""A target that runs a release before it has traffic: it is asked then, and one that answers wrong gets none."""

from __future__ import annotations

import json

import pytest

from infra.targets.base import Answer
from infra.targets.fakes import FakeTraffic
from infra.targets.moves import ShiftPolicy
from modelpack.errors import Unhealthy
from modelpack.progress import Silent
from stacks.records.release import Packed, Release, ServingConfiguration, State
from stacks.rollout.move import Rollout
from stacks.settings import find_running

GOLDEN = {"request": {"instances": [{"a": 1}]}, "answer": {"predictions": [{"b": 2}]}}


def make_release(number: int, letter: str, *states: State) -> Release:
    pack = Packed(
        digest=f"sha256:{letter * 64}", content_digest=letter, input_digest="", usecase="x", golden=(GOLDEN,)
    )
    serving = ServingConfiguration(target="fake", instance="g6.xlarge")
    made = Release(
        number=number,
        service="shop",
        environment="local",
        pack=pack,
        image=f"r@{pack.digest}",
        serving=serving,
    )
    for state in states:
        made = made.enter(state, "")
    return made


OLD, NEW = make_release(1, "a"), make_release(2, "b")


def answer(release: Release, document: object) -> Answer:
    body = json.dumps(document).encode()
    return Answer(status=200, body=body, content_digest=release.pack.content_digest, latency_ms=1.0)


@pytest.fixture
def traffic() -> FakeTraffic:
    made = FakeTraffic(images={"old": OLD.image, "new": NEW.image}, dark=True)
    made.endpoints["shop"] = made.settle("old")
    made.answers = {"old": answer(OLD, GOLDEN["answer"]), "new": answer(NEW, GOLDEN["answer"])}
    return made


def roll(traffic: FakeTraffic) -> None:
    revisions = {OLD.key: "old", NEW.key: "new"}
    Rollout(
        traffic=traffic,
        endpoint="shop",
        revisions=revisions,
        policy=ShiftPolicy(),
        progress=Silent(),
    ).roll(OLD, NEW)


def test_a_release_is_asked_by_itself_before_traffic_moves(traffic: FakeTraffic) -> None:
    roll(traffic)
    assert traffic.calls == ["prepare new", "invoke shop at new", "shift shop to new", "invoke shop"]


def test_one_that_answers_wrong_gets_no_traffic(traffic: FakeTraffic) -> None:
    traffic.answers["new"] = answer(NEW, {"predictions": [{"b": 3}]})
    with pytest.raises(Unhealthy, match=r"golden request 1.*Release 1 serves"):
        roll(traffic)
    assert not [call for call in traffic.calls if call.startswith("shift")]


def test_what_runs_is_what_serves_what_comes_and_what_a_rollback_goes_to() -> None:
    past = make_release(1, "a", State.LIVE, State.SUPERSEDED)
    bad = make_release(2, "b", State.LIVE, State.ROLLED_BACK)
    before = make_release(3, "c", State.LIVE, State.SUPERSEDED)
    live, coming = make_release(4, "d", State.LIVE), make_release(5, "e", State.PROVISIONED)
    running = find_running([past, bad, before, live, coming])
    assert running == {before.key, live.key, coming.key}
    back = make_release(6, "a", State.BEGUN)
    assert find_running([past, bad, before, live, back]) == {before.key, live.key, past.key}
