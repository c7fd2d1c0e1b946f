"""How alarms judge their points: every row of CloudWatch's own tables, and what must hold for any points."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.rehearsal.cloud.aws.watching.judgement import ALARM, INSUFFICIENT, OK, judge
from infra.rehearsal.cloud.aws.watching.reasons import AlarmPoint, Grounds, breaches, explain
from infra.rehearsal.cloud.aws.watching.statistics import MetricSamples, enough_samples, merge

TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")
POINTS = {"0": False, "X": True, "-": None}
# "How alarm state is evaluated when data is missing" in CloudWatch's user guide; EvaluationPeriods 3, of which the
# first table needs 3 breaching and the second 2. None: "Retain current state". What follows each line is of the text
# under "Avoiding premature transitions to alarm state", and of an earlier edition of the tables.
TABLE = [
    (3, "0-X-X", OK, OK, OK, OK),
    (3, "0----", OK, OK, OK, OK),
    (3, "-----", INSUFFICIENT, None, ALARM, OK),
    (3, "0XX-X", ALARM, ALARM, ALARM, ALARM),
    (3, "--X--", ALARM, None, ALARM, OK),
    # ----
    (3, "----X", INSUFFICIENT, None, ALARM, OK),
    (3, "X----", ALARM, None, ALARM, OK),
    (3, "---X-", INSUFFICIENT, None, ALARM, OK),
    (3, "---X0", OK, OK, OK, OK),
    (3, "--X-0", OK, OK, OK, OK),
    (2, "0-X-X", ALARM, ALARM, ALARM, ALARM),
    (2, "00X0X", ALARM, ALARM, ALARM, ALARM),
    (2, "0-X--", OK, OK, ALARM, OK),
    (2, "----0", OK, OK, ALARM, OK),
    (2, "---X-", ALARM, None, ALARM, OK),
    # ----
    (2, "----X", INSUFFICIENT, None, ALARM, OK),
]


def read(points: str) -> list[bool | None]:
    return [POINTS[point] for point in points]


@pytest.mark.parametrize("row", TABLE, ids=[f"{row[0]} of 3: {row[1]}" for row in TABLE])
def test_the_documented_tables(row: tuple[int, str, str | None, str | None, str | None, str | None]) -> None:
    needed, points, *expected = row
    found = [judge(read(points), periods=3, needed=needed, missing=one).state for one in TREATMENTS]
    assert found == expected


ANY = st.lists(st.sampled_from([False, True, None]), min_size=3, max_size=9)


@st.composite
def rules(draw: st.DrawFn) -> tuple[list[bool | None], int, int]:
    points = draw(ANY)
    periods = draw(st.integers(1, len(points)))
    return points, periods, draw(st.integers(1, periods))


@given(rules())
def test_points_that_are_all_there_need_no_treatment(rule: tuple[list[bool | None], int, int]) -> None:
    points, periods, needed = rule
    there = [bool(point) for point in points]
    bad = sum(there[-periods:])
    for missing in TREATMENTS:
        found = judge(there, periods=periods, needed=needed, missing=missing)
        assert (found.state, found.filled) == (ALARM if bad >= needed else OK, 0)


@given(rules())
def test_enough_real_points_make_missing_ones_unnecessary(
    rule: tuple[list[bool | None], int, int],
) -> None:
    points, periods, needed = rule
    real = [point for point in points if point is not None]
    if len(real) < periods:
        return
    states = {judge(points, periods=periods, needed=needed, missing=one).state for one in TREATMENTS}
    assert states == {judge(real, periods=periods, needed=needed, missing="missing").state}


@given(rules())
def test_no_treatment_is_stricter_than_breaching_or_laxer_than_not(
    rule: tuple[list[bool | None], int, int],
) -> None:
    points, periods, needed = rule
    found = {one: judge(points, periods=periods, needed=needed, missing=one).state for one in TREATMENTS}
    assert found["breaching"] in (OK, ALARM)
    assert found["notBreaching"] in (OK, ALARM)
    if found["breaching"] == OK:
        assert {found["missing"], found["ignore"], found["notBreaching"]} == {OK}
    if found["notBreaching"] == ALARM:
        assert set(found.values()) == {ALARM}
    if found["missing"] == INSUFFICIENT:
        assert found["ignore"] is None


@given(rules(), st.sampled_from(TREATMENTS))
def test_one_more_bad_point_never_calms_an_alarm(
    rule: tuple[list[bool | None], int, int], missing: str
) -> None:
    points, periods, needed = rule
    worse = [True if point is False else point for point in points]
    if judge(points, periods=periods, needed=needed, missing=missing).state == ALARM:
        assert judge(worse, periods=periods, needed=needed, missing=missing).state == ALARM


def grounds(
    values: list[float], *, filled: int = 0, needed: int = 3, missing: str = "missing", periods: int = 3
) -> Grounds:
    noon = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
    points = [
        AlarmPoint(when=noon + timedelta(minutes=place), value=value, samples=1)
        for place, value in enumerate(values)
    ]
    return Grounds(
        points=points,
        filled=filled,
        missing=missing,
        threshold=1.0,
        comparison="GreaterThanThreshold",
        periods=periods,
        needed=needed,
        period=60,
        statistic="Average",
        asked=noon,
        since=noon,
    )


SENTENCES = [
    (
        ALARM,
        grounds([2.0], needed=1, periods=1),
        "Threshold Crossed: 1 out of the last 1 datapoints [2.0 (29/11/26 12:00:00)] was greater than the threshold"
        " (1.0) (minimum 1 datapoint for OK -> ALARM transition).",
    ),
    (
        ALARM,
        grounds([2.0, 0.0, 3.0], needed=2),
        "Threshold Crossed: 2 out of the last 3 datapoints [3.0 (29/11/26 12:02:00), 2.0 (29/11/26 12:00:00)] were"
        " greater than the threshold (1.0) (minimum 2 datapoints for OK -> ALARM transition).",
    ),
    (
        OK,
        grounds([0.5], needed=1, periods=1),
        "Threshold Crossed: 1 out of the last 1 datapoints [0.5 (29/11/26 12:00:00)] was not greater than the threshold"
        " (1.0) (minimum 1 datapoint for ALARM -> OK transition).",
    ),
    (
        OK,
        grounds([], filled=3, missing="notBreaching"),
        "Threshold Crossed: no datapoints were received for 3 periods and 3 missing datapoints were treated as"
        " [NonBreaching].",
    ),
    (
        ALARM,
        grounds([0.5], filled=2, missing="breaching", needed=2),
        "Threshold Crossed: 1 datapoint was received for 3 periods and 2 missing datapoints were treated as"
        " [Breaching].",
    ),
    (
        OK,
        grounds([0.5, 0.5], filled=1, missing="breaching"),
        "Threshold Crossed: 2 datapoints [0.5 (29/11/26 12:01:00), 0.5 (29/11/26 12:00:00)] were not greater than the"
        " threshold (1.0) and 1 missing datapoint was treated as [Breaching].",
    ),
    (INSUFFICIENT, grounds([], filled=3), "Insufficient Data: 3 datapoints were unknown."),
    (INSUFFICIENT, grounds([], filled=1, periods=1, needed=1), "Insufficient Data: 1 datapoint was unknown."),
]


@pytest.mark.parametrize(("state", "why", "said"), SENTENCES, ids=[one[2][:60] for one in SENTENCES])
def test_the_reason_is_in_cloudwatchs_words(state: str, why: Grounds, said: str) -> None:
    assert explain(state, why) == said


@given(st.lists(st.floats(-1e9, 1e9).map(lambda value: float(f"{value:.3g}")), min_size=1, max_size=200))
def test_statistics_of_samples(values: list[float]) -> None:
    whole = MetricSamples()
    for value in values:
        whole.add(value)
    half = len(values) // 2
    parts = [MetricSamples(), MetricSamples()]
    for place, value in enumerate(values):
        parts[place < half].add(value)
    joined = merge(parts)
    assert whole.read("SampleCount") == joined.read("SampleCount") == len(values)
    assert whole.read("Sum") == pytest.approx(sum(values), abs=1e-3)
    assert (whole.read("Minimum"), whole.read("Maximum")) == (min(values), max(values))
    ordered = sorted(values)
    for percent, name in ((50, "p50"), (90, "p90"), (99, "p99"), (100, "p100")):
        rank = max(1, -(-percent * len(values) // 100))
        assert whole.read(name) == joined.read(name) == ordered[rank - 1]


def test_a_percentile_is_within_half_a_percent() -> None:
    whole = MetricSamples()
    for value in range(1, 100_001):
        whole.add(value * 1.2345)
    for name, exact in (("p50", 61725.0), ("p99", 122215.5), ("p99.9", 123326.6)):
        assert whole.read(name) == pytest.approx(exact, rel=0.005)


def test_how_many_samples_a_percentile_needs() -> None:
    wanted = {"p99": 1000, "p90": 100, "p50": 20, "p10": 100, "Average": 0}
    assert {name: enough_samples(name) for name in wanted} == wanted


@pytest.mark.parametrize(
    ("comparison", "at_the_threshold"),
    [
        ("GreaterThanThreshold", False),
        ("GreaterThanOrEqualToThreshold", True),
        ("LessThanThreshold", False),
        ("LessThanOrEqualToThreshold", True),
    ],
)
def test_comparisons(comparison: str, at_the_threshold: bool) -> None:
    assert breaches(1.0, comparison, 1.0) is at_the_threshold
    assert breaches(2.0, comparison, 1.0) is comparison.startswith("Greater")
    assert breaches(0.0, comparison, 1.0) is comparison.startswith("Less")
