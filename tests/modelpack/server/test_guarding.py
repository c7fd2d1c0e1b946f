"""The guard of a rollout: when it puts traffic back, what it says of that, and what its alarms ask."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from modelpack.server.guarding.alarms import (
    AlarmRule,
    count,
    look,
    look_back,
    read_rules,
    ringing_of,
    value_of,
    write_rules,
)
from modelpack.server.guarding.cluster import FakeRolloutObjects, Refused
from modelpack.server.guarding.guard import ClusterGuard, main
from modelpack.server.guarding.prometheus import FakeMetrics, NotAnswered, Series, query, read
from modelpack.server.guarding.record import ENDED, StepsRecord, read_record, write_record

NOON = datetime(2026, 11, 10, 12, 0, tzinfo=UTC)
OLD = [{"backendRefs": [{"name": "old", "weight": 100}]}]
RULE = AlarmRule(
    name="shop-error-rate",
    measures="errors",
    threshold=0.02,
    min_requests=10,
    periods=2,
    namespace="shop",
    pods="(shop-[0-9a-f]{8})-predictor-.+",
)


def priced(revision: str) -> AlarmRule:
    """The alarm on the prices of one release alone."""
    name, pods = f"{revision}.price_too_high", f"({revision})-predictor-.+"
    return replace(RULE, name=name, measures="wrong", guardrail="price_too_high", pods=pods)


RECORD = StepsRecord(
    id="one",
    old="shop-old",
    new="shop-new",
    shares=(10, 100),
    began=NOON.isoformat(),
    since=NOON.isoformat(),
    bake=300,
    silence=60,
)


def lease(record: StepsRecord, renewed: int = 0) -> dict[str, Any]:
    bare = {"metadata": {"name": "shop-rollout"}, "spec": {"renewTime": str(renewed)}}
    return write_record(bare, record)


@dataclass
class World:
    """A leader that gives `beats` signs of life, and a clock that only moves when it is slept on."""

    objects: FakeRolloutObjects = field(default_factory=FakeRolloutObjects)
    metrics: FakeMetrics = field(default_factory=FakeMetrics)
    beats: int = 0
    seconds: float = 0.0
    most: float = 1000.0
    rules: tuple[AlarmRule, ...] = (RULE,)

    def guard(self, record: StepsRecord = RECORD) -> ClusterGuard:
        self.objects.kept = lease(record)
        self.objects.rules = [{"backendRefs": [{"name": "old", "weight": 90}, {"name": "new", "weight": 10}]}]
        return ClusterGuard(
            "one", self.objects, self.metrics, self.rules, OLD, lambda: self.seconds, lambda: NOON, self.sleep
        )

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        assert self.seconds < self.most, "it watches for ever"
        if self.beats and self.objects.kept:
            self.beats -= 1
            self.objects.kept = lease(self.record(), int(self.seconds))

    def record(self) -> StepsRecord:
        found = read_record(self.objects.kept)
        assert found is not None
        return found


def ring(world: World) -> None:
    vector = [{"metric": {"release": "shop-new"}, "value": [0, "2"]}]
    matrix = [{"metric": {"release": "shop-new"}, "values": [[0, "0.11"], [60, "0.5"]]}]
    world.metrics.results = {ringing_of(RULE): vector, "/api/v1/query_range": matrix}


def test_an_alarm_that_rings_puts_the_traffic_back_and_is_written_down_first() -> None:
    world = World(beats=100)
    ring(world)
    assert world.guard().watch() == "back"
    assert world.objects.changes == ["sign one", "lease", "route", "lease"]
    assert world.objects.rules == OLD
    record = world.record()
    assert (record.cause, record.name, record.restored, record.at) == (
        "alarm",
        RULE.name,
        True,
        NOON.isoformat(),
    )
    assert record.reason == (
        "Threshold Crossed: 2 out of the last 2 datapoints [0.11, 0.5] of shop-new were greater than"
        " the threshold (0.02)"
    )


def test_a_guardrail_of_the_new_release_turns_it_back_and_one_of_the_old_does_not() -> None:
    old, new = priced("shop-old"), priced("shop-new")
    told = [{"metric": {"release": "shop-any"}, "value": [0, "2"]}]
    world = World(beats=20, rules=(old, new))
    world.metrics.results = {ringing_of(old): told}
    assert world.guard().watch() == "back"
    assert world.record().cause == "silence", "the old one's prices are no reason to keep it"
    world = World(beats=20, rules=(old, new))
    world.metrics.results = {ringing_of(new): told}
    assert world.guard().watch() == "back"
    assert (world.record().cause, world.record().name) == ("alarm", "shop-new.price_too_high")


def test_a_leader_that_is_silent_for_the_declared_time_loses_its_rollout() -> None:
    world = World(beats=10)
    assert world.guard().watch() == "back"
    assert world.record().cause == "silence"
    assert world.objects.rules == OLD
    assert 50 + 60 < world.seconds < 50 + 60 + 15


def test_silence_does_not_pass_faster_where_bakes_do() -> None:
    world = World()
    world.guard(replace(RECORD, pace=12)).watch()
    assert 60 < world.seconds < 65


@pytest.mark.parametrize(
    ("record", "how"), [(replace(RECORD, state=ENDED), "ended"), (replace(RECORD, id="two"), "replaced")]
)
def test_a_rollout_that_is_over_or_anothers_is_left_alone(record: StepsRecord, how: str) -> None:
    world = World()
    ring(world)
    assert world.guard(record).watch() == how
    assert world.objects.changes == ["sign one"]


def test_a_guard_that_was_killed_before_it_moved_anything_moves_it_when_it_is_back() -> None:
    world = World()
    assert world.guard(RECORD.go_back("alarm", RULE.name, "it rang", NOON.isoformat())).watch() == "back"
    assert world.objects.rules == OLD
    assert world.record().restored


def test_what_another_wrote_first_is_read_again_before_anything_is_done() -> None:
    """The leader renewed its lease in the moment in which the guard had judged it silent."""
    world = World(beats=3)
    guard = world.guard()
    world.objects.refusals = [Refused(0, "connection refused"), Refused(409, "Conflict")]
    ring(world)
    assert guard.watch() == "back"


def test_a_prometheus_that_is_away_rings_nothing_and_silence_still_counts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = World(metrics=FakeMetrics(away="connection refused"))
    assert world.guard().watch() == "back"
    assert world.record().cause == "silence"
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["event"] for one in told] == ["no answer", "turned back", "restored"]


def test_a_guard_without_its_task_says_what_it_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main({"ECOMDEPLOY_ROLLOUT": "one"}) == 2
    assert "KUBERNETES_SERVICE_HOST" in capsys.readouterr().out


def test_an_alarm_asks_by_release_and_says_nothing_of_few_requests() -> None:
    asked = value_of(RULE)
    assert 'pod=~"(shop-[0-9a-f]{8})-predictor-.+"' in asked
    assert 'code=~"5.."' in asked
    assert asked.endswith(">= 10)")
    assert "[60000ms]" in asked
    assert "[120000ms:60000ms]) >= 2" in ringing_of(RULE)
    assert "[5000ms]" in value_of(RULE.at_pace(12))
    slow = replace(RULE, measures="p99", threshold=200)
    assert "histogram_quantile(0.99, sum by (release, le)" in value_of(slow)
    # a comparison binds more closely than "and"
    assert ringing_of(slow).startswith("count_over_time(((1000 * ")
    assert ">= 10) > 200)" in ringing_of(slow)
    assert 'code!~"2.."' in value_of(replace(RULE, measures="refusals"))


def test_a_guardrail_asks_for_the_answers_that_the_server_counted() -> None:
    rule = priced("shop-new")
    asked = value_of(rule)
    assert 'ecomdeploy_guardrail_answers_total{namespace="shop",pod=~"(shop-new)-predictor-.+",' in asked
    assert 'guardrail="price_too_high"}[60000ms]' in asked
    assert 'ecomdeploy_guarded_answers_total{namespace="shop",pod=~"(shop-new)-predictor-.+"}' in asked
    assert "route" not in asked, "the server counts what its model answers"
    assert asked.endswith(">= 10)")


def test_rules_are_read_as_they_were_written_also_by_a_guard_that_knows_no_guardrails() -> None:
    rules = (RULE, priced("shop-new"))
    text = write_rules(rules)
    assert read_rules(text) == rules
    assert ["guardrail" in one for one in json.loads(text)] == [False, True]


def test_what_rang_is_found_afterwards_with_its_values() -> None:
    metrics = FakeMetrics()
    matrix = [{"metric": {"release": "shop-new"}, "values": [[60, "2"], [120, "2"]]}]
    metrics.results = {"/api/v1/query_range": matrix}
    (found,) = look_back(metrics, [RULE], 0, 600)
    assert (found.name, found.release, found.at) == (RULE.name, "shop-new", 120)
    assert look(FakeMetrics(), [RULE], 0) == []


@pytest.mark.parametrize(
    ("points", "grown"),
    [
        ([(90, 5), (110, 8)], 3),
        ([(110, 8)], 8),
        ([(90, 5), (110, 8), (120, 2), (130, 4)], 7),
        ([(80, 5), (90, 6)], 0),
    ],
    ids=["it grew", "it was not there before", "its server began anew", "nothing since"],
)
def test_requests_are_counted_exactly(points: list[tuple[float, float]], grown: int) -> None:
    assert count([Series({}, points)], since=100) == grown


@pytest.mark.parametrize(
    "body", [b"<html>", b"{}", b'{"status":"error","error":"parse error"}', b'{"status":"success"}']
)
def test_an_answer_that_is_none_is_told(body: bytes) -> None:
    with pytest.raises(NotAnswered):
        read(body)


def test_not_a_number_is_no_data() -> None:
    metrics = FakeMetrics(results={"up": [{"metric": {}, "value": [1, "NaN"]}]})
    assert query(metrics, "up", 1) == []
