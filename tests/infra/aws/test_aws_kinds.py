"""Kinds: whatever a program may write comes back from the API's spelling as it was, and equals itself."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.rehearsal.engine.provider import UNKNOWN, Failure, Values
from infra.rehearsal.providers.aws import property_types as kinds

INNER = {"size": kinds.integer(), "on": kinds.flagtext(), "words": kinds.unordered_list()}
SHAPES: kinds.Properties = {
    "name": kinds.text(required=True, api="ThingName"),
    "count": kinds.integer(),
    "share": kinds.number(default=0.5),
    "open": kinds.flag(default=False),
    "rules": kinds.policy(),
    "labels": kinds.mapping(),
    "where": kinds.dimensions(),
    "steps": kinds.items(INNER),
    "groups": kinds.unordered_list(INNER),
    "config": kinds.thing({**INNER, "deep": kinds.thing({"x": kinds.text(computed=True)})}, computed=True),
    "kept": kinds.flag(local=True),
    "arn": kinds.text(output=True),
}
words = st.text("abc-", min_size=1, max_size=5)
whole = st.integers(-5, 5)


def optional(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[Values]:
    return st.fixed_dictionaries({}, optional=members)


inner = {"size": whole, "on": st.sampled_from(["true", "false"]), "words": st.lists(words, max_size=3)}
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
    failures: list[Failure] = []
    made = kinds.complete(SHAPES, values, "", failures)
    assert failures == []
    return made


def answered(values: Values) -> Values:
    """What an API that keeps everything says of them, in pulumi's names."""
    sent = kinds.to_api(SHAPES, values, kinds.pascal)
    assert "Kept" not in sent
    return kinds.from_api(SHAPES, sent, kinds.pascal)


@given(inputs)
def test_what_was_sent_reads_back_as_written(values: Values) -> None:
    made = checked(values)
    assert kinds.reread(SHAPES, made, answered(made)) == made
    assert kinds.differences(SHAPES, made, made) == ()


@given(inputs, st.randoms(use_true_random=False))
def test_order_means_nothing_in_a_set_and_much_in_a_list(values: Values, chance: random.Random) -> None:
    made = checked(values)
    groups = list(made.get("groups", []))
    chance.shuffle(groups)
    shuffled = {**made, "groups": groups} if "groups" in made else made
    assert kinds.differences(SHAPES, made, shuffled) == ()
    steps = made.get("steps", [])
    turned = {**made, "steps": steps[::-1]}
    assert (kinds.differences(SHAPES, made, turned) == ()) == kinds.same(SHAPES["steps"], steps, steps[::-1])


@given(inputs, inputs)
def test_differences_are_what_a_read_shows(one: Values, other: Values) -> None:
    """Someone made it `other`: the read's inputs differ from ours where ours differ from theirs."""
    ours, theirs = checked(one), checked(other)
    seen = kinds.reread(SHAPES, ours, answered(theirs))
    told = {path.split(".")[0] for path in kinds.differences(SHAPES, theirs, ours)} - {"kept"}
    shown = {path.split(".")[0] for path in kinds.differences(SHAPES, seen, ours)}
    assert shown == told


@given(inputs)
def test_unknown_differs_from_everything(values: Values) -> None:
    made = checked(values)
    for name in made:
        assert name in kinds.differences(SHAPES, made, {**made, name: UNKNOWN})


def test_a_preview_says_what_it_does_not_know() -> None:
    made = checked({"name": "a", "config": {"size": 1, "deep": {}}})
    told = kinds.state(SHAPES, made, None, whole=False)
    assert told["arn"] is UNKNOWN
    assert told["config"] == {"size": 1, "deep": {"x": UNKNOWN}}


@pytest.mark.parametrize(
    ("given", "stands"),
    [("1", "1"), (1, "1"), (1.5, "1.5"), (True, "true")],
)
def test_scalars_become_text_as_the_bridge_does(given: Any, stands: str) -> None:
    assert checked({"name": given})["name"] == stands
