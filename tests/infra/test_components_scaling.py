"""Sale days: what is declared before, in the middle of and after them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import declared
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.components.autoscaling import Autoscaling, minimum, moments
from infra.components.step_scaling import list_directions
from infra.spec import ScaleSpec, ScaleStep, Window
from infra.tags import Tags
from modelpack.errors import BadInput

START = datetime(2026, 11, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SALE = Window(name="double-11", start=START, end=START + DAY, min=12)
TAGS = Tags(project="shop", stack="s", environment="local")


def test_before_a_sale_both_ends_are_scheduled_in_utc() -> None:
    scale = ScaleSpec(min=1, max=4, schedule=(SALE,))
    begin, end = moments(scale, START - DAY)
    assert (begin.name, begin.schedule) == ("double-11-begin", "at(2026-11-10T12:00:00)")
    assert (begin.min, begin.max) == (12, 12)
    assert (end.min, end.max) == (1, 4)
    assert minimum(scale, START - DAY) == 1


def test_in_the_middle_of_a_sale_its_replicas_are_declared_and_only_its_end_is_to_come() -> None:
    scale = ScaleSpec(min=1, max=4, schedule=(SALE,))
    assert minimum(scale, START) == 12
    assert [one.name for one in moments(scale, START)] == ["double-11-end"]


def test_after_a_sale_nothing_is_left_of_it() -> None:
    scale = ScaleSpec(min=1, max=4, schedule=(SALE,))
    assert minimum(scale, START + DAY) == 1
    assert moments(scale, START + DAY) == ()


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5), st.integers(1, 20)), max_size=4),
    st.integers(-1, 15),
)
def test_the_schedule_plays_out_as_the_windows_say(windows: list[tuple[int, int, int]], hour: int) -> None:
    """Whatever overlaps: the range in force at any time is what the windows say for it."""
    schedule = tuple(
        Window(
            name=f"w{number}",
            start=START + timedelta(hours=begin),
            end=START + timedelta(hours=begin + length),
            min=least,
        )
        for number, (begin, length, least) in enumerate(windows)
    )
    scale = ScaleSpec(min=2, max=5, schedule=schedule)
    declared_at, asked = START - DAY, START + timedelta(hours=hour, minutes=30)
    in_force = minimum(scale, declared_at)
    for moment in sorted(moments(scale, declared_at), key=lambda one: one.schedule):
        if datetime.fromisoformat(moment.schedule[3:-1]).replace(tzinfo=UTC) <= asked:
            in_force = moment.min
        assert moment.max >= moment.min
    assert in_force == minimum(scale, asked)


def test_scaling_is_wanted_with_a_load_or_a_sale() -> None:
    assert not ScaleSpec(min=1, max=9).is_automatic
    assert ScaleSpec(target_rps=1.0).is_automatic
    assert ScaleSpec(schedule=(SALE,)).is_automatic


@pytest.mark.parametrize(
    ("scale", "word"),
    [
        (ScaleSpec(min=3, max=2), "min"),
        (ScaleSpec(target_rps=-1.0), "target_rps"),
        (ScaleSpec(schedule=(SALE, SALE)), "differ"),
        (ScaleSpec(schedule=(Window(name="x", start=START, end=START, min=1),)), "ends before"),
    ],
)
def test_a_wrong_scale_is_refused_before_anything_is_made(scale: ScaleSpec, word: str) -> None:
    def code() -> None:
        Autoscaling("scaling", project_tags=TAGS, endpoint="shop", variant="v", scale=scale, now=START)

    with pytest.raises(BadInput, match=word):
        declared.declare(code)


STEPS = (
    ScaleStep(over=200, add=5),
    ScaleStep(under=20, remove=1),
    ScaleStep(over=100, add=2),
    ScaleStep(under=5, remove=3),
)


def test_steps_are_measured_from_the_alarms_threshold_and_leave_no_gap() -> None:
    out, back = list_directions(STEPS)
    assert (out.name, out.threshold, back.name, back.threshold) == ("out", 6000, "in", 1200)
    assert [(one.replicas, one.low, one.high) for one in out.adjustments] == [(2, 0, 6000), (5, 6000, None)]
    assert [(one.replicas, one.low, one.high) for one in back.adjustments] == [
        (-1, -900, 0),
        (-3, None, -900),
    ]
    assert [one.name for one in list_directions(STEPS[:1])] == ["out"]
    assert [one.name for one in list_directions(STEPS[1:2])] == ["in"]


@given(st.lists(st.floats(0.1, 1000), min_size=1, max_size=5, unique=True), st.floats(0, 2000))
def test_every_load_has_the_furthest_step_that_holds(loads: list[float], load: float) -> None:
    """As Application Auto Scaling reads it: a lower bound is within, an upper one is not."""
    (out,) = list_directions(
        [ScaleStep(over=each, add=place) for place, each in enumerate(sorted(loads), start=1)]
    )
    above = load * 60 - out.threshold
    steps = [
        one.replicas
        for one in out.adjustments
        if (one.low is None or above >= one.low) and (one.high is None or above < one.high)
    ]
    expected = sum(each * 60 <= load * 60 for each in loads)
    assert len(steps) == (1 if above >= 0 else 0)
    if above > 0 and all(abs(each - load) > 1e-6 for each in loads):
        assert steps == [expected]


def test_each_direction_is_an_alarm_that_sets_off_its_policy() -> None:
    settings = {
        "service": "shop",
        "target": "sagemaker",
        "base": {"role_arn": "arn:aws:iam::123456789012:role/shop"},
        "scale": {
            "min": 1,
            "max": 9,
            "steps": [{"over": 100.0, "add": 2}, {"over": 200.0, "add": 5}, {"under": 20.0, "remove": 1}],
        },
        "alarms": {"error_rate": None},
        "releases": [
            {
                "key": "a" * 12,
                "image": "i@sha256:" + "a" * 64,
                "instance": "ml.c7i.xlarge",
                "count": 1,
                "initial": True,
            }
        ],
    }
    made = declared.program("service", settings)
    policies = {one.inputs["name"]: one.inputs for one in made.of("Policy")}
    assert set(policies) == {"steps-out", "steps-in"}
    assert {one["policyType"] for one in policies.values()} == {"StepScaling"}
    assert policies["steps-out"]["stepScalingPolicyConfiguration"]["stepAdjustments"] == [
        {"scalingAdjustment": 2, "metricIntervalLowerBound": "0", "metricIntervalUpperBound": "6000"},
        {"scalingAdjustment": 5, "metricIntervalLowerBound": "6000"},
    ]
    alarms = {one.inputs["name"]: one.inputs for one in made.of("MetricAlarm")}
    assert {name: (one["comparisonOperator"], one["threshold"]) for name, one in alarms.items()} == {
        "shop-local-scale-out": ("GreaterThanThreshold", 6000),
        "shop-local-scale-in": ("LessThanThreshold", 1200),
    }
    assert all(len(one["alarmActions"]) == 1 for one in alarms.values())
