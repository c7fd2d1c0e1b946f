"""Golden answers: what passes for equal, and that no answer of a broken server makes the comparison itself break."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelpack.server.golden import compare

ANSWER = {"predictions": [{"products": [1, 2, 3, 4, 5], "scores": [0.5, 0.4, 0.3, 0.2, 0.1], "kind": "a"}]}
TOLERANCE = {
    "products": {"kind": "ranking", "overlap": 0.8},
    "scores": {"kind": "close", "rtol": 0.01, "atol": 0.001},
}


def answer(**changes: Any) -> dict[str, Any]:
    changed: dict[str, Any] = copy.deepcopy(ANSWER)
    changed["predictions"][0].update(changes)
    return changed


def test_the_same_answer_agrees() -> None:
    assert compare(ANSWER, ANSWER, TOLERANCE) == ()


def test_a_ranking_may_differ_in_order_and_in_one_of_five() -> None:
    assert compare(ANSWER, answer(products=[5, 4, 3, 2, 9]), TOLERANCE) == ()
    assert "shares 3 of 5" in compare(ANSWER, answer(products=[5, 4, 3, 8, 9]), TOLERANCE)[0]


def test_numbers_may_differ_within_their_tolerance_only() -> None:
    assert compare(ANSWER, answer(scores=[0.505, 0.4, 0.3, 0.2, 0.1]), TOLERANCE) == ()
    assert "0.52 instead of 0.5" in compare(ANSWER, answer(scores=[0.52, 0.4, 0.3, 0.2, 0.1]), TOLERANCE)[0]


def test_what_has_no_rule_must_be_equal() -> None:
    assert compare(ANSWER, answer(kind="b"), TOLERANCE) == ("prediction 0, kind: 'b' instead of 'a'",)


@pytest.mark.parametrize(
    "got",
    [
        None,
        [],
        {},
        {"predictions": None},
        {"predictions": []},
        {"predictions": [3]},
        {"predictions": [{}]},
        answer(products=None),
        answer(products=[[1], [2], [3], [4], [5]]),
        answer(products=[1]),
        answer(scores=[0.5, 0.4, 0.3, 0.2, float("nan")]),
        answer(scores=["a"] * 5),
        answer(scores=[True] * 5),
        answer(scores=0.5),
    ],
)
def test_a_broken_answer_is_a_difference_not_an_error(got: Any) -> None:
    assert compare(ANSWER, got, TOLERANCE)


plain_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(plain_json)
def test_anything_may_come_back(got: Any) -> None:
    if got != ANSWER:
        assert compare(ANSWER, got, TOLERANCE)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=6))
def test_an_answer_agrees_with_itself_through_json(scores: list[float]) -> None:
    wanted = {"predictions": [{"scores": scores}]}
    assert compare(wanted, json.loads(json.dumps(wanted)), TOLERANCE) == ()
