"""Looks at alarms in a time of the test's own: when they are due, and what a pace changes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from infra.rehearsal.cloud.addresses import ACCOUNT
from infra.rehearsal.cloud.aws.pace import CloudClock, read_pace
from infra.rehearsal.cloud.aws.sagemaker_runtime.invocations import Invocations
from infra.rehearsal.cloud.aws.watching.alarms import AlarmHistory, AlarmWatch
from infra.rehearsal.cloud.aws.watching.invocation_metrics import InvocationMetrics, Served
from modelpack.errors import BadInput

REGION = "eu-west-3"
NOON = 1_800_000_000_000
BY = Served(region=REGION, endpoint="shop", variant="AllTraffic", configuration="two")


@dataclass
class HandClock(CloudClock):
    """Its wall clock is moved on by hand."""

    at: int = NOON

    def wall(self) -> int:
        return self.at


@dataclass
class Around:
    """What a watch needs of an account, at AWS's own pace."""

    invocations: Invocations = field(
        default_factory=lambda: Invocations(metrics=InvocationMetrics(HandClock(usual=1)))
    )
    lock: Any = field(default_factory=threading.RLock)
    changed: threading.Event = field(default_factory=threading.Event)
    ending: threading.Event = field(default_factory=threading.Event)

    @property
    def clock(self) -> HandClock:
        clock = self.invocations.metrics.clock
        assert isinstance(clock, HandClock)
        return clock


@dataclass
class Hand:
    """Moves the time on and looks."""

    around: Around
    watch: AlarmWatch

    def go(self, seconds: float) -> None:
        self.around.clock.at += round(seconds * 1000)
        self.watch.look()

    def serve(self, requests: int, status: int = 200, seconds: float = 0.01) -> None:
        for _ in range(requests):
            self.around.invocations.metrics.add(BY, status, seconds)

    def alarm(self, metric: str = "Invocation5XXErrors", **more: Any) -> Any:
        settings: dict[str, Any] = {
            "name": "errors",
            "namespace": "AWS/SageMaker",
            "metric_name": metric,
            "comparison_operator": "GreaterThanThreshold",
            "evaluation_periods": 2,
            "period": 60,
            "threshold": 0.1,
            "statistic": "Average",
            "description": "",
            "dimensions": [
                {"Name": "EndpointName", "Value": "shop"},
                {"Name": "VariantName", "Value": "AllTraffic"},
            ],
            "alarm_actions": [],
        }
        alarm = backend().put_metric_alarm(**settings | more)
        alarm.state_value = "INSUFFICIENT_DATA"
        return alarm


def backend() -> Any:
    from moto.cloudwatch.models import cloudwatch_backends

    return cloudwatch_backends[ACCOUNT][REGION]


@pytest.fixture
def hand() -> Iterator[Hand]:
    backend().alarms.clear()
    around = Around()
    yield Hand(around, AlarmWatch(around, AlarmHistory()))  # type: ignore[arg-type]
    backend().alarms.clear()


def test_two_bad_minutes_ring_and_no_half_of_one(hand: Hand) -> None:
    alarm = hand.alarm()
    hand.go(0)
    hand.serve(9)
    hand.serve(1, status=500)
    hand.go(59)
    assert alarm.state_value == "INSUFFICIENT_DATA"
    hand.go(1)
    assert alarm.state_value == "OK", "a minute at the threshold is not above it"
    hand.serve(8)
    hand.serve(2, status=500)
    hand.go(60)
    assert alarm.state_value == "OK", "one minute of two"
    hand.serve(8)
    hand.serve(2, status=500)
    hand.go(60)
    assert alarm.state_value == "ALARM"
    hand.serve(10)
    hand.go(60)
    assert alarm.state_value == "OK"
    assert [item["HistorySummary"] for item in hand.watch.history.of(REGION)] == [
        "Alarm updated from INSUFFICIENT_DATA to OK",
        "Alarm updated from OK to ALARM",
        "Alarm updated from ALARM to OK",
    ]


def test_a_short_period_is_looked_at_every_ten_seconds(hand: Hand) -> None:
    alarm = hand.alarm(period=10, evaluation_periods=1, treat_missing_data="breaching")
    hand.go(0)
    hand.go(9)
    assert alarm.state_value == "INSUFFICIENT_DATA"
    hand.go(1)
    assert alarm.state_value == "ALARM"


def test_a_change_of_pace_begins_the_count_anew(hand: Hand) -> None:
    alarm = hand.alarm(treat_missing_data="breaching")
    hand.go(0)
    hand.around.clock.set(60)
    hand.go(0.5)
    assert alarm.state_value == "INSUFFICIENT_DATA", "what was due at the other pace is not at this one"
    hand.go(1)
    assert alarm.state_value == "ALARM"


@pytest.mark.parametrize(("few", "state"), [("ignore", "INSUFFICIENT_DATA"), ("evaluate", "ALARM")])
def test_a_percentile_of_few_samples(hand: Hand, few: str, state: str) -> None:
    alarm = hand.alarm(
        "ModelLatency",
        statistic=None,
        extended_statistic="p90",
        threshold=50_000.0,
        evaluation_periods=1,
        evaluate_low_sample_count_percentile=few,
    )
    hand.go(0)
    hand.serve(99, seconds=0.2)
    hand.go(60)
    assert alarm.state_value == state
    hand.serve(100, seconds=0.2)
    hand.go(60)
    assert alarm.state_value == "ALARM"


def test_a_percentile_is_of_all_the_minutes_requests(hand: Hand) -> None:
    alarm = hand.alarm(
        "ModelLatency", statistic=None, extended_statistic="p99", threshold=50_000.0, evaluation_periods=1
    )
    hand.go(0)
    hand.serve(99)
    hand.serve(1, seconds=0.2)
    hand.go(60)
    assert alarm.state_value == "OK"
    hand.serve(98)
    hand.serve(2, seconds=0.2)
    hand.go(60)
    assert alarm.state_value == "ALARM"
    assert "[200000.0 (" in alarm.state_reason


@pytest.mark.parametrize("wrong", [0, -1, "soon", None, float("nan"), 1e7])
def test_what_is_no_pace(wrong: object) -> None:
    with pytest.raises(BadInput, match="expected a number from"):
        read_pace(wrong)


def test_what_has_passed_stays_passed() -> None:
    clock = CloudClock(usual=3600)
    clock.set(1e-6)
    passed = clock.now()
    assert passed <= clock.now() < passed + 1
    assert CloudClock(usual=60).period(60) == 1000
    assert CloudClock(usual=7).period(300) == 5 * CloudClock(usual=7).period(60)


def test_an_alarm_that_cannot_be_evaluated_stops_no_other(hand: Hand) -> None:
    odd = hand.alarm(threshold=None)
    fine = hand.alarm(name="fine", evaluation_periods=1)
    hand.go(0)
    hand.serve(1, status=500)
    hand.go(60)
    assert (odd.state_value, fine.state_value) == ("INSUFFICIENT_DATA", "ALARM")


def test_a_ring_is_remembered_where_the_alarm_is_quiet_again(hand: Hand) -> None:
    before = datetime.now(UTC)
    alarm = hand.alarm(evaluation_periods=1, treat_missing_data="notBreaching")
    hand.go(0)
    hand.watch.change(REGION, alarm, "ALARM", "by hand", "{}")
    assert hand.watch.history.rang(REGION, "errors", before)
    for _ in range(4):
        hand.go(60)
    assert alarm.state_value == "OK"
    assert hand.watch.history.rang(REGION, "errors", before)
    assert not hand.watch.history.rang(REGION, "other", before)
    assert not hand.watch.history.rang(REGION, "errors", datetime.now(UTC))
