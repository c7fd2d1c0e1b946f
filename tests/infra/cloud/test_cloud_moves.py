"""How an update goes, step by step, in a time that only passes when somebody asks for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.rehearsal.cloud.addresses import Ports
from infra.rehearsal.cloud.aws.faults import Fault, Faults
from infra.rehearsal.cloud.aws.hosting import Endpoint, Fleet, Hosting, PendingDeployment, ProductionVariant
from infra.rehearsal.cloud.aws.pace import CloudClock
from infra.rehearsal.cloud.aws.sagemaker_runtime.invocations import Invocations, Servers, WeightedServer
from infra.rehearsal.cloud.aws.updates.moves import Moves, mix
from infra.rehearsal.cloud.aws.updates.shifts import plan
from infra.rehearsal.cloud.servers.host import FakeHost, ModelServer

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
TICK = 60.0


@dataclass
class TickingClock(CloudClock):
    """A minute passes whenever somebody asks for the time."""

    asked: int = 0

    def now(self) -> float:
        self.asked += 1
        return self.asked * TICK

    def shorten(self, seconds: float) -> float:
        return 0.0


@dataclass
class Around:
    """What moves need of an account; work in the background is done at once."""

    ports: Ports = field(default_factory=lambda: Ports(aws=1, registry=2))
    invocations: Invocations = field(default_factory=Invocations)
    host: FakeHost = field(default_factory=FakeHost)
    clock: CloudClock = field(default_factory=TickingClock)
    lock: Any = field(default_factory=threading.RLock)
    faults: Faults = field(default_factory=Faults)
    state: dict[str, Any] = field(default_factory=lambda: {"sagemaker": Hosting()})
    changed: threading.Event = field(default_factory=threading.Event)
    ending: threading.Event = field(default_factory=threading.Event)

    def background(self, name: str, work: Callable[[], None]) -> None:
        work()

    def overlay(self, service: str) -> None:
        return None


class Played(Moves):
    """Remembers how the requests were shared at every look at the alarms; one rings at a look of the test's choice."""

    def __init__(self, around: Around, rings_at: int | None = None) -> None:
        self.around = around
        super().__init__(around, Fleet(around, around.state["sagemaker"]))  # type: ignore[arg-type]
        self.rings_at = rings_at
        self.looks: list[tuple[float, str, float]] = []

    def _find_ringing(self, region: str, names: tuple[str, ...], since: datetime) -> str | None:
        (endpoint,) = self.fleet.hosting.endpoints.values()
        route = self.invocations.route(endpoint.key)
        share = sum(way.weight for way in route if way.new) / (sum(way.weight for way in route) or 1)
        pending = endpoint.pending
        assert pending is not None
        self.looks.append((round(share, 6), pending.stage, pending.share))
        return names[0] if names and len(self.looks) - 1 == self.rings_at else None

    @property
    def shares(self) -> list[float]:
        """The shares of the new fleet, each once, in order."""
        found = [share for share, _, _ in self.looks]
        return [share for place, share in enumerate(found) if place == 0 or found[place - 1] != share]

    def minutes(self, share: float) -> int:
        """Looks with this share, which are a minute apart."""
        return sum(one == share for one, _, _ in self.looks)


def variant(model: str, weight: float = 1.0, count: int = 4, name: str = "AllTraffic") -> ProductionVariant:
    return ProductionVariant(
        name=name,
        model=model,
        specified=f"here/shop@sha256:{model}",
        repository="shop",
        digest=f"sha256:{model}",
        environment=(),
        weight=weight,
        count=count,
        resolved_at=NOON,
    )


def serving(around: Around, moves: Moves, deployment: dict[str, Any] | None) -> Endpoint:
    """An endpoint that serves `one` and is to move to `two`."""
    endpoint = Endpoint(
        name="shop",
        region="us-east-1",
        configuration="one",
        status="Updating",
        created=NOON,
        modified=NOON,
        variants=(variant("one"),),
        pending=PendingDeployment(
            configuration="two", variants=(variant("two"),), started=NOON, deployment=deployment
        ),
    )
    around.state["sagemaker"].endpoints[endpoint.key] = endpoint
    moves.fleet.restore(endpoint)
    return endpoint


def images(around: Around) -> set[str]:
    return {server.digest for server in around.host.running()}


def blue_green(
    kind: str, size: dict[str, Any] | None = None, wait: int = 300, termination: int = 0, limit: int = 28800
) -> dict[str, Any]:
    names = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}
    routing = {"Type": kind, "WaitIntervalInSeconds": wait, **({names[kind]: size} if size else {})}
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": routing,
            "TerminationWaitInSeconds": termination,
            "MaximumExecutionTimeoutInSeconds": limit,
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]},
    }


def percent(value: int) -> dict[str, Any]:
    return {"Type": "CAPACITY_PERCENT", "Value": value}


def rolling(value: int, wait: int = 300) -> dict[str, Any]:
    return {
        "RollingUpdatePolicy": {"MaximumBatchSize": percent(value), "WaitIntervalInSeconds": wait},
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]},
    }


WAYS = [
    (None, [0, 1]),
    (blue_green("ALL_AT_ONCE"), [0, 1]),
    (blue_green("CANARY", percent(10)), [0, 0.1, 1]),
    (blue_green("CANARY", {"Type": "INSTANCE_COUNT", "Value": 1}), [0, 0.25, 1]),
    (blue_green("LINEAR", percent(30)), [0, 0.3, 0.6, 0.9, 1]),
    (blue_green("LINEAR", {"Type": "INSTANCE_COUNT", "Value": 2}), [0, 0.5, 1]),
    (blue_green("LINEAR", percent(10)), [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]),
    (rolling(50), [0, 0.5, 1]),
    (rolling(33), [0, 0.33, 0.66, 0.99, 1]),
]
NAMES = [str(deployment)[:90] for deployment, _ in WAYS]


@pytest.mark.parametrize(("deployment", "shares"), WAYS, ids=NAMES)
def test_the_share_moves_as_the_deployment_says(
    deployment: dict[str, Any] | None, shares: list[float]
) -> None:
    around = Around()
    moves = Played(around)
    endpoint = serving(around, moves, deployment)
    moves.begin(endpoint)
    assert moves.shares == shares
    assert (endpoint.status, endpoint.configuration, endpoint.pending) == ("InService", "two", None)
    assert images(around) == {"sha256:two"}
    (way,) = around.invocations.route(endpoint.key)
    assert (way.weight, way.new, way.configuration, way.instances) == (1.0, False, "two", 4)
    if deployment:
        assert all(moves.minutes(share) >= 5 for share in shares[1:]), "each step bakes its five minutes"


@pytest.mark.parametrize(("deployment", "shares"), WAYS[1:], ids=NAMES[1:])
def test_an_alarm_at_any_look_sends_everything_back(deployment: dict[str, Any], shares: list[float]) -> None:
    around = Around()
    quiet = Played(around)
    quiet.begin(serving(around, quiet, deployment))
    for look in range(len(quiet.looks)):
        around = Around()
        moves = Played(around, rings_at=look)
        endpoint = serving(around, moves, deployment)
        moves.begin(endpoint)
        assert (endpoint.status, endpoint.configuration, endpoint.pending) == ("InService", "one", None)
        assert "alarm errors" in endpoint.failure
        assert images(around) == {"sha256:one"}
        (way,) = around.invocations.route(endpoint.key)
        assert (way.weight, way.new, way.configuration) == (1.0, False, "one")
        assert set(moves.shares) <= {0.0, *shares}


def test_the_old_fleet_is_watched_until_its_end() -> None:
    around = Around()
    moves = Played(around)
    endpoint = serving(around, moves, blue_green("ALL_AT_ONCE", wait=0, termination=600))
    moves.begin(endpoint)
    assert moves.minutes(1.0) >= 10
    assert {stage for share, stage, _ in moves.looks if share == 1.0} == {"Baking"}


def test_a_move_that_was_interrupted_goes_on_where_it_was() -> None:
    around = Around()
    moves = Played(around)
    endpoint = serving(around, moves, blue_green("LINEAR", percent(25)))
    assert endpoint.pending
    endpoint.pending = replace(endpoint.pending, step=2, share=0.75, stage="Baking")
    around.invocations.flip(endpoint.key, ())
    around.host.stop_all()
    moves.restore()
    assert moves.shares == [0, 0.75, 1]
    assert (endpoint.status, endpoint.configuration) == ("InService", "two")


def test_a_rollback_that_was_interrupted_has_ended() -> None:
    around = Around()
    moves = Played(around)
    endpoint = serving(around, moves, blue_green("LINEAR", percent(25)))
    endpoint.status, endpoint.failure = "RollingBack", "alarm errors went into ALARM"
    around.invocations.flip(endpoint.key, ())
    around.host.stop_all()
    moves.restore()
    assert (endpoint.status, endpoint.configuration, endpoint.pending) == ("InService", "one", None)
    assert endpoint.failure == "alarm errors went into ALARM"
    assert images(around) == {"sha256:one"}


def test_a_mix_comes_back_as_it_was() -> None:
    around = Around()
    moves = Played(around, rings_at=4)
    around.faults.plant(Fault(kind="no-way-back"))
    endpoint = serving(around, moves, blue_green("CANARY", percent(20)))
    moves.begin(endpoint)
    for _ in range(2):
        assert endpoint.status == "UpdateRollbackFailed"
        assert {way.configuration: way.weight for way in around.invocations.route(endpoint.key)} == {
            "one": 0.8,
            "two": 0.2,
        }
        around.invocations.flip(endpoint.key, ())
        around.host.stop_all()
        moves.restore()


def test_a_rollback_brings_a_lost_old_server_back_or_fails() -> None:
    for broken, ends in ((set(), "InService"), ({"one"}, "UpdateRollbackFailed")):
        around = Around()

        class Losing(Played):
            """Its old fleet is lost, and not to be started again, once the new one serves."""

            def _find_ringing(self, region: str, names: tuple[str, ...], since: datetime) -> str | None:
                ringing = super()._find_ringing(region, names, since)
                if ringing:
                    around.host.broken |= broken  # noqa: B023 - of this round
                    for server in around.host.running():  # noqa: B023
                        if server.digest == "sha256:one":
                            around.host.crash(server)  # noqa: B023
                return ringing

        moves = Losing(around, rings_at=3)
        endpoint = serving(around, moves, blue_green("CANARY", percent(20)))
        moves.begin(endpoint)
        assert (endpoint.status, endpoint.configuration) == (ends, "one")
        assert images(around) == ({"sha256:one"} if ends == "InService" else {"sha256:two"})


def test_a_timeout_counts_the_waits() -> None:
    around = Around()
    moves = Played(around)
    endpoint = serving(around, moves, blue_green("LINEAR", percent(10), limit=900))
    moves.begin(endpoint)
    assert (endpoint.configuration, "longer than its 900 s" in endpoint.failure) == ("one", True)
    assert len(moves.shares) < 6


def test_an_account_that_was_emptied_keeps_no_server() -> None:
    around = Around()

    class Emptied(Played):
        def _find_ringing(self, region: str, names: tuple[str, ...], since: datetime) -> str | None:
            found = super()._find_ringing(region, names, since)
            if len(self.looks) == 4:
                around.state.clear()
            return found

    moves = Emptied(around)
    endpoint = serving(around, moves, blue_green("CANARY", percent(20)))
    moves.begin(endpoint)
    assert endpoint.status == "Updating"
    assert images(around) == {"sha256:one"}, "those of the move are stopped, the others by the reset"


def test_what_an_update_waits_for() -> None:
    waits = {
        "canary": blue_green("CANARY", percent(10), termination=60),
        "linear": blue_green("LINEAR", percent(20)),
        "all": blue_green("ALL_AT_ONCE", wait=0),
    }
    found = {name: sum(step.wait for step in plan(one, 1).steps) for name, one in waits.items()}
    assert found == {"canary": 600, "linear": 1500, "all": 0}
    assert (plan(waits["canary"], 1).termination, plan(None, 1).timeout) == (60, None)


WEIGHTS = st.lists(st.floats(0, 100), min_size=1, max_size=4)


@given(WEIGHTS, WEIGHTS, st.floats(0, 1))
def test_a_mix_gives_each_fleet_its_share(old: list[float], new: list[float], share: float) -> None:
    def ways(weights: list[float], fresh: bool) -> Servers:
        server = ModelServer(id="s", port=1, pid=1, isolation="fake", image="i", digest="d")
        return tuple(
            WeightedServer(variant=str(place), weight=one, full=one, server=server, new=fresh)
            for place, one in enumerate(weights)
        )

    route = mix((*ways(old, False), *ways(new, True)), share)
    for fresh, weights, part in ((False, old, 1 - share), (True, new, share)):
        found = [way.weight for way in route if way.new == fresh]
        if sum(weights) > 1e-6:
            assert sum(found) == pytest.approx(part, abs=1e-9)
            assert found == pytest.approx([part * one / sum(weights) for one in weights], abs=1e-9)
