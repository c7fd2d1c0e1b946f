"""The replace matrix: step order and names, auto-names and fixed names, flags, dependents, protection."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest
from pulumi import automation


def one(thing: Any, kind: Any, **options: Any) -> Any:
    return lambda: thing("first", {"kind": kind}, pulumi.ResourceOptions(**options)) and None


def test_create_before_delete_gets_a_fresh_name(lab: Any, thing: Any) -> None:
    lab.up(one(thing, "x"))
    (old,) = lab.fake.things
    run = lab.up(one(thing, "y"))
    assert run.changed == [
        ("create-replacement", "first"),
        ("replace", "first"),
        ("delete-replaced", "first"),
    ]
    assert run.counts == {"same": 1, "replace": 1}
    (new,) = lab.fake.things
    assert new != old
    assert lab.resources["first"]["id"] == new
    assert lab.up(one(thing, "y")).changed == []


def test_delete_before_replace_by_option(lab: Any, thing: Any) -> None:
    lab.up(one(thing, "x"))
    run = lab.up(one(thing, "y", delete_before_replace=True))
    assert run.changed == [
        ("delete-replaced", "first"),
        ("replace", "first"),
        ("create-replacement", "first"),
    ]
    assert run.counts == {"same": 1, "replace": 1}
    assert lab.fake.mutations[1:] == ["delete first", "create first"]


def test_provider_may_ask_for_delete_before_replace_and_the_option_overrules_it(lab: Any, thing: Any) -> None:
    lab.fake.delete_before_replace = frozenset({"kind"})
    lab.up(one(thing, "x"))
    assert lab.up(one(thing, "y")).changed[0] == ("delete-replaced", "first")
    assert lab.up(one(thing, "z", delete_before_replace=False)).changed[0] == ("create-replacement", "first")


def test_dependents_follow_a_create_before_delete(lab: Any, thing: Any) -> None:
    def program(kind: Any) -> Any:
        def run() -> None:
            first = thing("first", {"kind": kind})
            thing("second", {"of": first.arn})

        return run

    lab.up(program("x"))
    run = lab.up(program("y"))
    assert run.changed == [
        ("create-replacement", "first"),
        ("replace", "first"),
        ("update", "second"),
        ("delete-replaced", "first"),
    ]
    assert lab.fake.mutations[2:] == ["create first", "update second", "delete first"]


def test_delete_before_replace_takes_along_only_dependents_that_are_replaced(lab: Any, thing: Any) -> None:
    def program(kind: Any) -> Any:
        def run() -> None:
            first = thing("first", {"kind": kind}, pulumi.ResourceOptions(delete_before_replace=True))
            second = thing("second", {"kind": first.arn})
            thing("third", {"kind": second.arn})
            thing("mutable", {"size": first.arn})
            thing("ordered", {}, pulumi.ResourceOptions(depends_on=[first]))

        return run

    lab.up(program("x"))
    before = len(lab.fake.mutations)
    run = lab.up(program("y"))
    calls = lab.fake.mutations[before:]
    assert calls[:4] == ["delete third", "delete second", "delete first", "create first"]
    assert sorted(calls[4:]) == ["create second", "create third", "update mutable"]
    assert calls.index("create second") < calls.index("create third")
    assert run.counts == {"same": 2, "replace": 3, "update": 1}
    assert lab.up(program("y")).changed == []
    assert not [
        one for one in lab.deployment["resources"] if one.get("pendingReplacement") or one.get("delete")
    ]


def test_protected_is_not_replaced(lab: Any, thing: Any) -> None:
    lab.up(one(thing, "x", protect=True))
    with pytest.raises(automation.CommandError, match="unable to replace resource"):
        lab.up(one(thing, "y", protect=True))
    assert lab.fake.mutations == ["create first"]
    # Taking the flag off in the same change is enough: the new and the old flag must both be set.
    assert ("replace", "first") in lab.up(one(thing, "y")).changed


def test_retained_original_survives_its_replacement(lab: Any, thing: Any) -> None:
    lab.up(one(thing, "x", retain_on_delete=True))
    lab.up(one(thing, "y", retain_on_delete=True))
    assert len(lab.fake.things) == 2


def test_replacement_keeps_the_old_for_the_next_run_when_its_deletion_fails(lab: Any, thing: Any) -> None:
    from infra.rehearsal.engine.provider import ProviderError

    lab.up(one(thing, "x"))
    lab.fake.fail["delete first"] = ProviderError("InUse", "still attached")
    with pytest.raises(automation.CommandError, match="InUse: still attached"):
        lab.up(one(thing, "y"))
    assert [
        one.get("delete", False) for one in lab.deployment["resources"] if one["type"] == "fake:index:Thing"
    ] == [
        False,
        True,
    ]
    lab.fake.fail.clear()
    run = lab.up(one(thing, "y"))
    assert run.changed == [("delete-replaced", "first")]
    assert len(lab.fake.things) == 1


def test_preview_of_replacements_names_the_same_steps_and_calls_nothing(lab: Any, thing: Any) -> None:
    lab.up(one(thing, "x"))
    calls = list(lab.fake.mutations)
    run = lab.preview(one(thing, "y"))
    assert run.changed == [
        ("create-replacement", "first"),
        ("replace", "first"),
        ("delete-replaced", "first"),
    ]
    first = lab.preview(one(thing, "y", delete_before_replace=True))
    assert first.changed == [
        ("delete-replaced", "first"),
        ("replace", "first"),
        ("create-replacement", "first"),
    ]
    assert lab.fake.mutations == calls
