"""Property types: whatever a program may write comes back from the API's spelling as it was, and equals itself."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.rehearsal.engine.provider import UNKNOWN, CheckFailure, Values
from infra.rehearsal.providers.aws import property_types

INNER = {
    "size": property_types.integer(),
    "on": property_types.flagtext(),
    "edge": property_types.numbertext(),
    "words": property_types.unordered_list(),
}
SHAPES: property_types.Properties = {
    "name": property_types.text(required=True, api="ThingName"),
    "count": property_types.integer(),
    "share": property_types.number(default=0.5),
    "open": property_types.flag(default=False),
    "rules": property_types.policy(),
    "labels": property_types.mapping(),
    "where": property_types.dimensions(),
    "steps": property_types.items(INNER),
    "groups": property_types.unordered_list(INNER),
    "config": property_types.thing(
        {**INNER, "deep": property_types.thing({"x": property_types.text(computed=True)})}, computed=True
    ),
    "kept": property_types.flag(local=True),
    "arn": property_types.text(output=True),
}
words = st.text("abc-", min_size=1, max_size=5)
whole = st.integers(-5, 5)


def optional(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[Values]:
    return st.fixed_dictionaries({}, optional=members)


inner = {
    "size": whole,
    "on": st.sampled_from(["true", "false"]),
    "edge": st.sampled_from(["0", "6000", "-900", "0.5"]),
    "words": st.lists(words, max_size=3),
}
inputs = st.fixed_dictionaries(
    {"name": words},
    optional={
        "count": whole,
        "share": st.floats(0, 1),
        "open": st.booleans(),
        "rules": st.sampled_from(['{"Action": ["a"]}', "{}"]),
        "labels": st.dictionaries(words, words, max_size=3),
        "where": st.dictionaries(words, words, max_size=3),
        "steps": st.lists(optional(**inner), max_size=3),
        "groups": st.lists(optional(**inner), max_size=3),
        "config": optional(**inner, deep=optional(x=words)),
        "kept": st.booleans(),
    },
)


def checked(values: Values) -> Values:
    failures: list[CheckFailure] = []
    made = property_types.complete(SHAPES, values, "", failures)
    assert failures == []
    return made


def answered(values: Values) -> Values:
    """What an API that keeps everything says of them, in pulumi's names."""
    sent = property_types.to_api(SHAPES, values, property_types.pascal)
    assert "Kept" not in sent
    return property_types.from_api(SHAPES, sent, property_types.pascal)


@given(inputs)
def test_what_was_sent_reads_back_as_written(values: Values) -> None:
    made = checked(values)
    assert property_types.read_back(SHAPES, made, answered(made)) == made
    assert property_types.differences(SHAPES, made, made) == ()


@given(inputs, st.randoms(use_true_random=False))
def test_order_means_nothing_in_a_set_and_much_in_a_list(values: Values, chance: random.Random) -> None:
    made = checked(values)
    groups = list(made.get("groups", []))
    chance.shuffle(groups)
    shuffled = {**made, "groups": groups} if "groups" in made else made
    assert property_types.differences(SHAPES, made, shuffled) == ()
    steps = made.get("steps", [])
    turned = {**made, "steps": steps[::-1]}
    assert (property_types.differences(SHAPES, made, turned) == ()) == property_types.same(
        SHAPES["steps"], steps, steps[::-1]
    )


@given(inputs, inputs)
def test_differences_are_what_a_read_shows(one: Values, other: Values) -> None:
    """Someone made it `other`: the read's inputs differ from ours where ours differ from theirs."""
    ours, theirs = checked(one), checked(other)
    seen = property_types.read_back(SHAPES, ours, answered(theirs))
    told = {path.split(".")[0] for path in property_types.differences(SHAPES, theirs, ours)} - {"kept"}
    shown = {path.split(".")[0] for path in property_types.differences(SHAPES, seen, ours)}
    assert shown == told


@given(inputs)
def test_unknown_differs_from_everything(values: Values) -> None:
    made = checked(values)
    for name in made:
        assert name in property_types.differences(SHAPES, made, {**made, name: UNKNOWN})


def test_a_preview_says_what_it_does_not_know() -> None:
    made = checked({"name": "a", "config": {"size": 1, "deep": {}}})
    told = property_types.state(SHAPES, made, None, whole=False)
    assert told["arn"] is UNKNOWN
    assert told["config"] == {"size": 1, "deep": {"x": UNKNOWN}}


@pytest.mark.parametrize(
    ("given", "stands"),
    [("1", "1"), (1, "1"), (1.5, "1.5"), (True, "true")],
)
def test_scalars_become_text_as_the_bridge_does(given: Any, stands: str) -> None:
    assert checked({"name": given})["name"] == stands
