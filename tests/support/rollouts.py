"""Two releases and an endpoint that moves from one to the other in steps, for tests of rollouts."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from infra.targets.base import Answer, Observation, Phase
from infra.targets.fakes import FakeTraffic
from infra.targets.guard import AlarmState
from infra.targets.moves import ShiftPolicy, Strategy
from modelpack.progress import Silent
from stacks.records.release import Packed, Release, ServingConfiguration, State
from stacks.rollout.move import Rollout

NOON = datetime(2026, 11, 10, 12, 0, tzinfo=UTC)
GOLDEN = {"request": {"instances": [1]}, "answer": {"predictions": [{"b": 2}]}}
ALARM = "shop-error-rate"
REASON = "Threshold Crossed: 2 datapoints [0.11, 0.12] were greater than the threshold (0.01)."
CANARY = ShiftPolicy(strategy=Strategy.CANARY, share=10, bake=300, alarms=(ALARM,), requests=10)


def make_release(number: int, letter: str, *states: tuple[State, str]) -> Release:
    pack = Packed(
        digest=f"sha256:{letter * 64}",
        content_digest=letter,
        input_digest="",
        usecase="recommendation",
        golden=(GOLDEN,),
    )
    made = Release(
        number=number,
        service="shop",
        environment="local",
        pack=pack,
        image=f"r@{pack.digest}",
        serving=ServingConfiguration(target="fake", instance="g6.xlarge"),
    )
    for state, at in states:
        made = made.enter(state, at)
    return made


OLD, NEW = make_release(1, "a"), make_release(2, "b")
BEGUN = make_release(2, "b", (State.BEGUN, ""), (State.SHIFTING, NOON.isoformat()))


def moving(share: int, *, baking: bool = True, to: str = "new", at: str = "old") -> Observation:
    since = NOON + timedelta(seconds=share // 100) if baking else None
    return Observation(
        phase=Phase.CHANGING, status="Updating", revision=at, destination=to, share=share, baking=since
    )


def answer(release: Release, value: int = 2, status: int = 200) -> Answer:
    body = json.dumps({"predictions": [{"b": value}]}).encode()
    digest = release.pack.content_digest if status == 200 else ""
    return Answer(status=status, body=body, content_digest=digest, latency_ms=1.0)


class Sharing(FakeTraffic):
    """While it moves, every second answer is the destination's."""

    turns = 0

    def invoke(
        self, endpoint: str, body: bytes, content_type: str = "", release: str | None = None
    ) -> Answer:
        seen = self.endpoints[endpoint]
        self.turns += 1
        if seen.moving and self.turns % 2:
            return self.answers[seen.destination]
        return super().invoke(endpoint, body, content_type, release)


def make_traffic() -> Sharing:
    """On the old release; the next shift goes to the new one in two steps."""
    made = Sharing(images={"old": OLD.image, "new": NEW.image})
    made.endpoints["shop"] = made.settle("old")
    made.answers = {"old": answer(OLD), "new": answer(NEW)}
    made.guard.requests = {"new": 1000}
    made.guard.alarms = {ALARM: AlarmState(name=ALARM, ringing=False)}
    made.scripts = [[moving(0, baking=False), moving(10), moving(10), moving(100), made.settle("new")]]
    return made


def rollout(traffic: FakeTraffic, policy: ShiftPolicy = CANARY) -> Rollout:
    return Rollout(
        traffic=traffic,
        endpoint="shop",
        revisions={OLD.key: "old", NEW.key: "new"},
        policy=policy,
        progress=Silent(),
        alarms=(ALARM,),
        now=lambda: NOON + timedelta(minutes=1),
    )


def rang(at: datetime = NOON + timedelta(minutes=1)) -> AlarmState:
    return AlarmState(name=ALARM, ringing=True, reason=REASON, at=at)
