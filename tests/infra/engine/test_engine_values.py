"""Values on the wire, in the state, and property paths."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.rehearsal.engine import values
from infra.rehearsal.engine.errors import EngineError
from infra.rehearsal.engine.paths import keep_old, parse
from infra.rehearsal.engine.provider import UNKNOWN
from infra.rehearsal.engine.redaction import restore_secrets
from infra.rehearsal.engine.values import LARGEST_WHOLE, Secret

EXACT = 2**53
"""Up to here a double holds every whole number."""
whole = st.integers(min_value=-EXACT, max_value=EXACT)
floats = st.floats(allow_nan=False, allow_infinity=False).map(values.fold)
scalars = st.none() | st.booleans() | whole | floats | st.text()
known = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
trees = st.recursive(
    scalars | st.just(UNKNOWN),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        | inner.map(Secret)
    ),
    max_leaves=12,
)


def flat(tree: Any) -> Any:
    """Secrets inside secrets become one, as on the wire."""
    if isinstance(tree, Secret):
        return Secret(values.strip(tree.value))
    if isinstance(tree, dict):
        return {key: flat(item) for key, item in tree.items()}
    if isinstance(tree, list):
        return [flat(item) for item in tree]
    return tree


@given(st.dictionaries(st.text(max_size=5), trees, max_size=4))
def test_wire_round_trip(fields: Any) -> None:
    back = values.from_wire(values.to_wire(fields))
    assert back == {key: flat(value) for key, value in fields.items() if value is not None}


@given(st.dictionaries(st.text(max_size=5), trees, max_size=4))
def test_state_round_trip(fields: Any) -> None:
    store: dict[str, Any] = {}

    def hide(inner: Any) -> Any:
        import json

        store[str(len(store))] = json.dumps(inner)
        return values.sign(values.SECRET, ciphertext=str(len(store) - 1))

    assert values.decode(values.encode(fields, hide), store.__getitem__) == flat(fields)


@given(st.dictionaries(st.text(max_size=5), trees, max_size=4))
def test_strip_leaves_no_mark_and_remark_restores_them(fields: Any) -> None:
    plain = values.strip(fields)
    assert not values.has_secret(plain)
    again = restore_secrets(plain, fields)
    assert values.strip(again) == plain
    assert all(values.has_secret(again[key]) for key, value in fields.items() if values.has_secret(value))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_fold_only_changes_the_type(number: Any) -> None:
    folded = values.fold(number)
    assert float(folded) == number
    assert isinstance(folded, int) == (number.is_integer() and abs(number) < LARGEST_WHOLE)


@pytest.mark.parametrize(("signature", "what"), values.REFUSED.items())
def test_values_beyond_the_width_are_refused_by_name(signature: Any, what: Any) -> None:
    wire = values.to_wire({"a": [values.sign(signature, value=1)]})
    with pytest.raises(EngineError, match=f"{what} is not available .*: use the Pulumi CLI"):
        values.from_wire(wire)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a", ("a",)),
        ("a.b[0].c", ("a", "b", 0, "c")),
        ('a["b.c"]', ("a", "b.c")),
        ('["a b"].c', ("a b", "c")),
        ("a[*].b", ("a", "*", "b")),
        ("*", ("*",)),
    ],
)
def test_paths_parse(text: Any, path: Any) -> None:
    assert parse(text) == path


@given(known, known, st.sampled_from(["k", "k.a", "k[0]", "*", "k.*", "k[*].a"]))
def test_keep_old_is_settled_after_once(new: Any, old: Any, path: Any) -> None:
    news, olds = {"k": new, "z": 1}, {"k": old}
    once = keep_old(news, olds, [path])
    assert keep_old(once, olds, [path]) == once
    assert ("z" in once) == (path != "*")


def test_keep_old_takes_drops_and_keeps() -> None:
    olds = {"a": 1, "list": [{"x": 1, "y": 1}, {"x": 2, "y": 2}], "gone": 3}
    news = {"a": 2, "list": [{"x": 8, "y": 8}, {"x": 9, "y": 9}], "extra": 4}
    got = keep_old(news, olds, ["a", "list[*].x", "extra", "gone"])
    assert got == {"a": 1, "list": [{"x": 1, "y": 8}, {"x": 2, "y": 9}], "gone": 3}
