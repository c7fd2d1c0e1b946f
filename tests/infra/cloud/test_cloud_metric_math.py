"""Metric math gives what the examples of CloudWatch's user guide give ("Using metric math", "Using IF expressions")."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.rehearsal.cloud.aws.watching.expressions import BadExpression, Line, MathRun, MetricQuery
from infra.rehearsal.cloud.aws.watching.points import MetricKey

GAP = "-"
Values = list[float | str]


def line(values: Values) -> Line:
    return {place: float(value) for place, value in enumerate(values) if value != GAP}


def compute(expression: str, **given_lines: Values) -> Line:
    queries = [
        MetricQuery(
            id=name, metric=MetricKey(namespace="n", name=name, dimensions=frozenset()), returned=False
        )
        for name in given_lines
    ]
    asked = MetricQuery(id="asked", expression=expression)
    run = MathRun([*queries, asked], lambda query: line(given_lines[query.id]), range(5))
    return run.line(asked)


COMPARED: dict[str, Values] = {"metric1": [30, 20, 0, 0], "metric2": [20, GAP, 20, GAP]}
CHOSEN: dict[str, Values] = {
    "metric1": [1, 1, 0, 0, GAP],
    "metric2": [30, GAP, 0, 0, 30],
    "metric3": [0, 0, 20, GAP, 20],
}


@pytest.mark.parametrize(
    ("expression", "lines", "expected"),
    [
        ("(metric1 < metric2)", COMPARED, [0, 0, 1, 0]),
        ("(metric1 >= 30)", COMPARED, [1, 0, 0, 0]),
        ("(metric1 > 15 AND metric2 > 15)", COMPARED, [1, 0, 0, 0]),
        ("(metric1 > 15 && metric2 > 15)", COMPARED, [1, 0, 0, 0]),
        ("(metric1 > 25 OR metric2 > 15)", COMPARED, [1, 0, 1, 0]),
        ("IF(metric1, metric2, metric3)", CHOSEN, [30, 0, 20, GAP, GAP]),
        ("IF(metric1, 5, metric3)", CHOSEN, [5, 5, 20, GAP, GAP]),
        ("IF(metric1, metric2, 5)", CHOSEN, [30, 0, 5, 5, GAP]),
        ("IF(metric1, metric2)", CHOSEN, [30, 0, GAP, GAP, GAP]),
        ("IF(1, metric2, metric3)", CHOSEN, [30, GAP, 0, 0, 30]),
        ("IF(0, metric2)", CHOSEN, [GAP, GAP, GAP, GAP, GAP]),
    ],
)
def test_the_documented_examples(expression: str, lines: dict[str, Values], expected: Values) -> None:
    assert compute(expression, **lines) == line(expected)


def test_arithmetic_takes_what_is_missing_for_0_and_drops_divisions_by_it() -> None:
    lines: dict[str, Values] = {"a": [1, 2, GAP, 4], "b": [2, GAP, GAP, 0]}
    assert compute("a + b", **lines) == line([3, 2, GAP, 4])
    assert compute("a / b", **lines) == line([0.5, GAP, GAP, GAP])
    assert compute("-a ^ 2", **lines) == line([-1, -4, GAP, -16])
    assert compute("FILL(a, 7) - FILL(b, REPEAT)", **lines) == line([-1, 0, 5, 4, 7])


def test_a_share_of_few_requests_is_none() -> None:
    lines: dict[str, Values] = {"requests": [20, 4, GAP, 5], "errors": [1, 4, GAP, 5]}
    assert compute("IF(requests >= 5, errors / requests, 0)", **lines) == line([0.05, 0, GAP, 1])


@pytest.mark.parametrize(
    "expression",
    [
        "ANOMALY_DETECTION_BAND(a)",
        "a +",
        "b",
        "asked",
        "5",
        "1 / 0",
        "__import__('os')",
        "a.b",
        "a < 1 < 2",
        "[a]",
    ],
)
def test_what_is_not_there_is_refused(expression: str) -> None:
    with pytest.raises(BadExpression):
        compute(expression, a=[1])


@given(st.text(max_size=60))
def test_whatever_is_written_is_computed_or_refused(expression: str) -> None:
    try:
        compute(expression, a=[1, GAP, 3])
    except BadExpression:
        return
