"""A release that gets copies of live requests before any traffic: what is told, what turns it back, what goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

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
    make_traffic,
    rollout,
)

from infra.targets.base import Observation, Phase
from infra.targets.guard import AlarmState, FakeGuard, Figures
from infra.targets.moves import ShadowPhase, ShiftPolicy
from modelpack.errors import EcomdeployError, Unhealthy
from modelpack.progress import Silent
from stacks.records.release import Policy, State
from stacks.rollout.recorder import Recorder
from stacks.rollout.unfinished import describe_unfinished
from stacks.settings import find_shadows
from stacks.spec import RolloutSpec, ShadowSpec

OWN = "shop-b-shadow-error-rate"
PHASE = ShadowPhase(share=50, bake=600, alarms=(ALARM,))
AT_ONCE = ShiftPolicy(requests=10, shadow=PHASE)
THEN_CANARY = replace(CANARY, shadow=PHASE)


def copying(*, moving: bool = True, due: bool = False, copied: int = 50) -> Observation:
    return Observation(
        phase=Phase.CHANGING if moving else Phase.SERVING,
        revision="old",
        images=(OLD.image,),
        destination="new",
        copied=copied,
        baking=NOON if moving else None,
        due=NOON if due else None,
    )


@pytest.fixture
def traffic() -> Sharing:
    made = make_traffic()
    made.copying = [copying(), copying(), copying(moving=False, due=True)]
    made.guard.alarms[OWN] = AlarmState(name=OWN, ringing=False)
    return made


@dataclass
class RingsLater(FakeGuard):
    """The alarm on the copies rings from the fourth look on: when it is due."""

    looks: int = 0

    def states(self, names: Sequence[str]) -> tuple[AlarmState, ...]:
        self.looks += 1
        return tuple(
            AlarmState(name=one, ringing=self.looks > 3 and one == OWN, reason=REASON) for one in names
        )


def shadowing(traffic: Sharing, policy: ShiftPolicy = AT_ONCE) -> Silent:
    """Rolls out; what was said."""
    moved = replace(rollout(traffic, policy), shadows={NEW.key: "beside"}, shadow_alarms={NEW.key: (OWN,)})
    assert isinstance(moved.progress, Silent)
    moved.roll(OLD, NEW)
    return moved.progress


def test_copies_come_first_and_are_told_then_everything_moves(traffic: Sharing) -> None:
    said = shadowing(traffic)
    assert [one for one in traffic.calls if "invoke" not in one] == [
        "mirror 50 % of shop to new",
        "shift shop to new",
    ]
    told = [line for line in said.lines if "copied to" in line]
    assert told == [
        f"50 % of the requests copied to release 2, watched, 540 s of 600 left; {ALARM} quiet, {OWN} quiet",
        f"50 % of the requests copied to release 2; {ALARM} quiet, {OWN} quiet",
    ]
    assert traffic.observe("shop").revision == "new"


def test_after_the_copies_traffic_moves_as_it_is_said(traffic: Sharing) -> None:
    said = shadowing(traffic, THEN_CANARY)
    assert any(
        f"10 % of the traffic on release 2, watched, 240 s of 300 left; {ALARM}" in one for one in said.lines
    )


def test_what_answers_nobody_is_asked_only_at_its_own_door(traffic: Sharing) -> None:
    """A copy's answer never comes back: on a place without such a door nothing is asked while requests are copied."""
    shadowing(traffic)
    before = traffic.calls[: traffic.calls.index("shift shop to new")]
    assert [one for one in before if "invoke" in one] == []
    apart = make_traffic()
    apart.dark = True
    apart.copying = [copying(), copying(moving=False, due=True)]
    shadowing(apart)
    before = apart.calls[: apart.calls.index("shift shop to new")]
    assert "invoke shop at new" in before
    assert "invoke shop" not in before


def test_figures_of_both_releases_stand_beside_each_other(traffic: Sharing) -> None:
    measured = (
        (Figures(at=NOON + timedelta(minutes=1), requests=40, errors=0, p99_ms=12.0),),
        (Figures(at=NOON + timedelta(minutes=1), requests=20, errors=1, p99_ms=30.0),),
    )
    moved = replace(rollout(traffic, AT_ONCE), shadows={NEW.key: "beside"})
    assert isinstance(moved.progress, Silent)
    recorder = Recorder(
        moved.record_of(OLD, NEW), moved.progress, measure=lambda since: measured, now=moved.now
    )
    replace(moved, recorder=recorder).roll(OLD, NEW)
    told = "with copies of 50 %: release 1 40 requests, 0 failed, p99 12 ms; release 2 20 requests, 1 failed, p99 30 ms"
    assert told in moved.progress.lines
    assert {one.copied for one in recorder.record.events} == {0, 50}
    assert (recorder.record.copied, recorder.record.copied_bake) == (50, 600)


def test_an_alarm_on_the_copies_takes_it_off_and_no_traffic_moves(traffic: Sharing) -> None:
    traffic.copying = [copying(), replace(traffic.settle("old"), failure="alarm went into ALARM")]
    traffic.guard.past = (AlarmState(name=OWN, ringing=True, reason=REASON, at=NOON + timedelta(minutes=1)),)
    with pytest.raises(Unhealthy) as caught:
        shadowing(traffic)
    assert f"alarm {OWN} rang: {REASON}" in str(caught.value)
    assert str(caught.value).endswith("Release 1 serves")
    assert not [one for one in traffic.calls if one.startswith("shift")]


@pytest.mark.parametrize("ringing", [False, True])
def test_one_that_got_no_copies_or_rings_at_the_end_has_not_passed(traffic: Sharing, ringing: bool) -> None:
    """Its copies go on until traffic is put back on what serves without them."""
    if ringing:
        traffic.guard = RingsLater(requests={"new": 1000})
    else:
        traffic.guard.requests = {"new": 3}
    with pytest.raises(Unhealthy) as caught:
        shadowing(traffic)
    words = f"alarm {OWN} rang" if ringing else "nobody can say that it is good: 3 requests came to it"
    assert f"with copies of 50 % of the requests {words}" in str(caught.value)
    assert [one for one in traffic.calls if one.startswith("shift")] == ["shift shop to old"]


def test_what_was_killed_while_requests_were_copied_goes_on_with_them(traffic: Sharing) -> None:
    traffic.endpoints["shop"] = copying()
    moved = replace(rollout(traffic, AT_ONCE), shadows={NEW.key: "beside"})
    moved.roll(OLD, BEGUN)
    assert [one for one in traffic.calls if "invoke" not in one] == [
        "mirror 50 % of shop to new",
        "shift shop to new",
    ]


def test_nothing_moves_while_an_alarm_of_the_copies_rings(traffic: Sharing) -> None:
    traffic.guard.alarms[OWN] = AlarmState(name=OWN, ringing=True, reason=REASON)
    with pytest.raises(EcomdeployError, match=f"nothing was moved, for {OWN} rings"):
        shadowing(traffic)
    assert not [one for one in traffic.calls if "invoke" not in one]


def test_the_way_back_takes_the_copies_off(traffic: Sharing) -> None:
    traffic.endpoints["shop"] = copying(moving=False)
    traffic.scripts = []
    assert rollout(traffic, AT_ONCE).without_alarms().arrive(OLD) == ()
    assert "shift shop to old" in traffic.calls


def test_what_became_of_one_that_nobody_ended_is_told(traffic: Sharing) -> None:
    traffic.endpoints["shop"] = copying()
    told = describe_unfinished(traffic, "shop", "new", BEGUN, (ALARM,))
    assert told.endswith("it gets copies of 50 % of the requests, and answers nobody, watched by alarms")
    traffic.endpoints["shop"] = copying(moving=False)
    assert "ecomdeploy up ends it" in describe_unfinished(traffic, "shop", "new", BEGUN, (ALARM,))
    left = rollout(traffic, AT_ONCE).describe_left(OLD, NEW)
    assert left.startswith("release 1 serves, and release 2 gets copies of 50 % of the requests")


def test_a_spec_says_what_comes_after_the_copies() -> None:
    asked = RolloutSpec(strategy="shadow", shadow=ShadowSpec(share=20, bake=900, then="canary"))
    policy = asked.policy((ALARM,), keep_capacity=True)
    assert policy.shadow == ShadowPhase(share=20, bake=900, alarms=(ALARM,))
    assert (policy.shares, policy.bake, policy.requests) == ((10, 100), 300, 10)
    told = "copies of 20 % of the requests first, 900 s of alarms; then canary: 10 %, 100 %"
    assert str(policy).startswith(told)
    alone = RolloutSpec(strategy="shadow").policy((ALARM,), keep_capacity=True)
    assert (alone.bake, alone.alarms, alone.watched) == (0, (), (ALARM,))
    assert alone.at_once().shadow is None
    copies = policy.keep_copies()
    assert (copies.bake, copies.alarms, copies.shares) == (900, (ALARM,), (100,))


def test_what_is_on_its_way_keeps_its_shadow_as_it_was_made() -> None:
    """Also where a killed run left it, and the spec says something else today: an endpoint may be on it."""
    shadow = {"strategy": "shadow", "shadow": {"share": 100}}
    begun = replace(BEGUN, policy=Policy(rollout={"strategy": "shadow", "shadow": {"share": 20}}))
    own = {NEW.key: {"shadow_of": OLD.key, "copied": 20}}
    assert find_shadows(shadow, (OLD, begun), OLD.key) == own
    assert find_shadows({"strategy": "canary"}, (OLD, begun), OLD.key) == own
    cut = begun.enter(State.INTERRUPTED, "")
    assert find_shadows({"strategy": "canary"}, (OLD, cut), OLD.key) == own
    assert find_shadows(shadow, (OLD, BEGUN), OLD.key) == {NEW.key: {"shadow_of": OLD.key, "copied": 100}}
    assert find_shadows({"strategy": "canary"}, (OLD, BEGUN), OLD.key) == {}
    assert find_shadows(shadow, (begun,), NEW.key) == {}, "the first release of all"
    for ended in (State.LIVE, State.FAILED, State.REMOVED):
        assert find_shadows(shadow, (OLD, begun.enter(ended, "")), OLD.key) == {}
    assert find_shadows(shadow, (OLD, replace(begun, restores=1)), OLD.key) == {}
