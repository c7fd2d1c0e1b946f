"""Releases that take traffic step by step, watched: what passes, what is turned back, what is found afterwards."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from rollouts import (
    ALARM,
    BEGUN,
    CANARY,
    NEW,
    NOON,
    OLD,
    REASON,
    Sharing,
    answer,
    make_traffic,
    moving,
    rang,
    rollout,
)

from infra.targets.base import Answer, Observation, Phase
from modelpack.errors import EcomdeployError, Unhealthy
from modelpack.progress import Silent
from stacks.records.release import Release
from stacks.rollout.bakes import BY_HAND
from stacks.rollout.unfinished import describe_unfinished


@pytest.fixture
def traffic() -> Sharing:
    return make_traffic()


def test_a_good_release_passes_its_steps_and_each_is_told(traffic: Sharing) -> None:
    moved = rollout(traffic)
    moved.roll(OLD, NEW)
    assert isinstance(moved.progress, Silent)
    told = [line for line in moved.progress.lines if "% of the traffic" in line]
    assert told == [
        f"0 % of the traffic on release 2; {ALARM} quiet",
        f"10 % of the traffic on release 2, watched, 240 s of 300 left; {ALARM} quiet",
        f"100 % of the traffic on release 2, watched, 241 s of 300 left; {ALARM} quiet",
    ]
    assert traffic.observe("shop").revision == "new"


def test_an_alarm_that_turned_it_back_is_named_with_its_values(traffic: Sharing) -> None:
    traffic.scripts = [[moving(10), replace(traffic.settle("old"), failure="alarm")]]
    traffic.guard.past = (rang(),)
    with pytest.raises(Unhealthy) as caught:
        rollout(traffic).roll(OLD, NEW)
    assert f"alarm {ALARM} rang: {REASON}" in str(caught.value)
    assert str(caught.value).endswith("Release 1 serves")
    assert (
        traffic.calls == ["shift shop to new", "invoke shop", "invoke shop"]
        or traffic.calls[-1] == "invoke shop"
    )


def test_one_that_nobody_asked_has_not_passed(traffic: Sharing) -> None:
    """Its own few answers to us are no traffic."""
    traffic.guard.requests = {"new": 12}
    with pytest.raises(Unhealthy, match=r"nobody can say that it is good: 6 requests .*Release 1 serves"):
        rollout(traffic).roll(OLD, NEW)
    assert traffic.observe("shop").revision == "old"


@pytest.mark.parametrize("old", [None, OLD])
def test_what_serves_without_having_been_moved_to_has_no_bake(traffic: Sharing, old: Release | None) -> None:
    """The first release of all, and one that an endpoint was made anew on."""
    traffic.guard.requests = {}
    traffic.endpoints["shop"] = traffic.settle("new")
    rollout(traffic).roll(old, NEW)
    assert traffic.observe("shop").revision == "new"
    assert [call for call in traffic.calls if call.startswith("shift")] == []


def test_no_data_is_good_where_that_is_declared(traffic: Sharing) -> None:
    traffic.guard.requests = {}
    rollout(traffic, replace(CANARY, requests=0)).roll(OLD, NEW)
    assert traffic.observe("shop").revision == "new"


def test_wrong_answers_of_its_own_turn_it_back_by_an_alarm_rung_by_hand(traffic: Sharing) -> None:
    """Healthy, fast and wrong: no alarm of the place sees that."""
    traffic.answers["new"] = answer(NEW, value=3)
    traffic.scripts = [[moving(10), moving(10), traffic.settle("old")]]
    with pytest.raises(Unhealthy, match=r"with 10 % of the traffic it answered wrong.*Release 1 serves"):
        rollout(traffic).roll(OLD, NEW)
    assert traffic.guard.calls == [f"ring {ALARM}"]


def test_errors_that_do_not_tell_whose_they_are_are_left_to_the_alarms(traffic: Sharing) -> None:
    traffic.answers["old"] = answer(OLD, status=500)
    traffic.scripts = [[moving(10), traffic.settle("new")]]
    rollout(traffic).roll(OLD, NEW)
    assert traffic.guard.calls == []


def test_nothing_moves_while_an_alarm_rings(traffic: Sharing) -> None:
    traffic.guard.alarms = {ALARM: rang()}
    with pytest.raises(EcomdeployError, match=f"nothing was moved, for {ALARM} rings: Threshold") as caught:
        rollout(traffic).roll(OLD, NEW)
    assert "all-at-once" in caught.value.hint
    assert traffic.calls == []
    traffic.scripts = []
    rollout(traffic, CANARY.at_once()).roll(OLD, NEW)
    assert traffic.observe("shop").revision == "new"


def test_one_that_rings_at_the_end_has_not_passed(traffic: Sharing) -> None:
    class Late(Sharing):
        def settle(self, revision: str) -> Observation:
            self.guard.alarms = {ALARM: rang()} if revision == "new" else {}
            return super().settle(revision)

    late = Late(images=traffic.images, answers=traffic.answers, guard=traffic.guard)
    late.endpoints["shop"] = late.settle("old")
    with pytest.raises(Unhealthy, match=f"alarm {ALARM} rang"):
        rollout(late).roll(OLD, NEW)
    assert late.observe("shop").revision == "old"


def test_what_went_on_while_nobody_looked_on_is_found_at_its_end(traffic: Sharing) -> None:
    traffic.endpoints["shop"] = traffic.settle("new")
    rollout(traffic).roll(OLD, BEGUN)
    assert [call for call in traffic.calls if call.startswith("shift")] == []


def test_what_still_bakes_is_waited_for_and_asked(traffic: Sharing) -> None:
    traffic.endpoints["shop"] = moving(10)
    traffic._coming["shop"] = [moving(10), moving(100), traffic.settle("new")]
    moved = rollout(traffic)
    moved.roll(OLD, BEGUN)
    assert isinstance(moved.progress, Silent)
    assert "the move to release 2 went on while nobody looked on" in moved.progress.lines
    assert [call for call in traffic.calls if call.startswith("shift")] == []


@pytest.mark.parametrize("still", [True, False])
def test_what_was_turned_back_while_nobody_looked_on_is_not_tried_again(
    traffic: Sharing, still: bool
) -> None:
    if still:
        traffic.endpoints["shop"] = moving(10)
        traffic._coming["shop"] = [moving(10), traffic.settle("old")]
    traffic.guard.past = (rang(),)
    with pytest.raises(Unhealthy, match=r"turned back while nobody looked on: alarm .*Release 1 serves"):
        rollout(traffic).roll(OLD, BEGUN)
    assert [call for call in traffic.calls if call.startswith("shift")] == []


def test_an_alarm_of_before_is_nothing_against_it(traffic: Sharing) -> None:
    traffic.guard.past = (rang(NOON - timedelta(minutes=1)),)
    rollout(traffic).roll(OLD, BEGUN)
    assert traffic.observe("shop").revision == "new"


def test_one_that_rang_and_is_quiet_again_has_rung(traffic: Sharing) -> None:
    traffic.guard.past = (rang(),)
    with pytest.raises(Unhealthy, match=f"alarm {ALARM} rang"):
        rollout(traffic).roll(OLD, NEW)
    assert traffic.observe("shop").revision == "old"


def test_what_was_rung_by_hand_is_nothing_against_a_release(traffic: Sharing) -> None:
    """It was rung to turn another one back, and then the run that did was killed."""
    traffic.guard.past = (replace(rang(), reason=BY_HAND),)
    rollout(traffic).roll(OLD, BEGUN)
    assert traffic.observe("shop").revision == "new"


def test_a_look_that_is_not_answered_ends_nothing(traffic: Sharing) -> None:
    class Busy(Sharing):
        def invoke(self, *asked: Any, **more: Any) -> Answer:
            if self.endpoints["shop"].share == 10:
                raise EcomdeployError("invoking endpoint shop: 503")
            return super().invoke(*asked, **more)

    busy = Busy(**vars(traffic))
    moved = rollout(busy)
    moved.roll(OLD, NEW)
    assert busy.observe("shop").revision == "new"
    assert isinstance(moved.progress, Silent)
    assert "not seen this time: invoking endpoint shop: 503" in moved.progress.lines


def test_a_way_back_turns_a_move_back_and_does_not_wait_for_its_bakes(traffic: Sharing) -> None:
    traffic.endpoints["shop"] = moving(10)
    traffic._coming["shop"] = [moving(10), traffic.settle("old")]
    rollout(traffic).without_alarms().roll(NEW, OLD)
    assert traffic.guard.calls == [f"ring {ALARM}"]
    assert [call for call in traffic.calls if call.startswith("shift")] == []


def test_a_mixture_that_could_not_go_back_is_moved(traffic: Sharing) -> None:
    """UpdateRollbackFailed: the endpoint names the old configuration, and both answer."""
    traffic.endpoints["shop"] = Observation(
        phase=Phase.DEGRADED, status="UpdateRollbackFailed", revision="old"
    )
    traffic.scripts = []
    assert rollout(traffic).without_alarms().arrive(OLD) == ()
    assert traffic.calls[0] == "shift shop to old"


def test_what_became_of_an_unfinished_release_is_told(traffic: Sharing) -> None:
    def told() -> str:
        return describe_unfinished(traffic, "shop", "new", BEGUN, (ALARM,))

    assert told().endswith("no traffic is on it; ecomdeploy up goes on with it")
    traffic.guard.past = (rang(),)
    assert f"it was turned back: alarm {ALARM} rang: {REASON}; ecomdeploy up writes that down" in told()
    traffic.endpoints["shop"] = moving(10)
    assert told().endswith("10 % of the traffic is on it, watched by alarms")
    traffic.endpoints["shop"] = traffic.settle("new")
    assert told().endswith("all traffic is on it; ecomdeploy up verifies it and ends it")


def test_a_rollout_is_watched_by_the_alarms_of_its_own_release_too(traffic: Sharing) -> None:
    """The way back is not: it is the release that is left that makes them ring."""
    own = f"{ALARM}-own"
    watched = replace(rollout(traffic), release_alarms={NEW.key: (own,), OLD.key: ("another's",)})
    traffic.guard.past = (replace(rang(), name=own), replace(rang(), name="another's"))
    traffic.scripts = [[moving(10), replace(traffic.settle("old"), failure="alarm")]]
    with pytest.raises(Unhealthy, match=f"alarm {own} rang") as caught:
        watched.roll(OLD, NEW)
    assert "another's" not in str(caught.value)
