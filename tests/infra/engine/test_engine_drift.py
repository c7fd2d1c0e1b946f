"""Other hands on a stack's things: told without a program and without a change, as `preview --refresh` tells them.

The states are written by either engine.
"""

from __future__ import annotations

from typing import Any

import pulumi
import pytest
from pulumi import automation

from infra.rehearsal.engine import drift
from infra.rehearsal.engine.provider import ProviderError
from infra.rehearsal.engine.state.checkpoint import StackFiles
from tests.infra.engine.conftest import FakeProvider


def look(lab: Any) -> list[str]:
    """Names of what has drifted."""
    files = StackFiles(lab.root, lab.project, "dev")
    return [urn.rpartition("::")[2] for urn in drift.find_drift(files, lab.fake, {}, lab.passphrase)]


def previewed(lab: Any) -> list[tuple[str, str]]:
    """What the program would change now."""
    seen = lab.preview(lab.program, refresh=True)
    return [step for step in seen.changed if step[0] != "refresh"]


def named(lab: Any, name: str) -> Any:
    (found,) = [one for one in lab.fake.things.values() if one.inputs["name"] == name]
    return found


@pytest.fixture
def stack(lab: Any, thing: Any) -> Any:
    """Three things: one plain, one whose size is ignored, one with a secret."""

    def program() -> None:
        ignoring = pulumi.ResourceOptions(ignore_changes=["size", "tags.a", "password"])
        thing("plain", {"name": "plain", "size": 1, "tags": {"a": 1}})
        secret = pulumi.Output.secret("hush-hush-1")
        thing(
            "ignoring",
            {"name": "ignoring", "size": 1, "tags": {"a": 1, "b": 1}, "password": secret},
            ignoring,
        )

    lab.up(program)
    lab.program = program
    return lab


def test_what_is_as_it_was_left_has_not_drifted(stack: Any) -> None:
    stack.fake.calls.clear()
    assert look(stack) == []
    assert [call.split()[0] for call in stack.fake.calls] == ["read", "read"]


def test_what_differs_or_is_gone_has_drifted(stack: Any) -> None:
    named(stack, "plain").inputs["tags"] = {"a": 1, "by-hand": 2}
    assert look(stack) == ["plain"]
    assert previewed(stack) == [("update", "plain")]
    gone = next(key for key, one in stack.fake.things.items() if one.inputs["name"] == "ignoring")
    del stack.fake.things[gone]
    assert sorted(look(stack)) == ["ignoring", "plain"]


def test_what_is_ignored_is_no_drift(stack: Any) -> None:
    named(stack, "ignoring").inputs.update(size=9, tags={"a": 9, "b": 1})
    assert look(stack) == []
    assert previewed(stack) == []
    named(stack, "ignoring").inputs["tags"] = {"a": 9, "b": 9}
    assert look(stack) == ["ignoring"]


def test_a_secret_is_decrypted_only_where_it_is_compared(stack: Any, thing: Any) -> None:
    stack.passphrase = "not the one"
    assert look(stack) == [], "that of an ignored input is not"

    stack.passphrase = "correct horse"
    stack.up(
        lambda: thing("open", {"name": "open", "password": pulumi.Output.secret("hush-hush-2")}) and None
    )
    assert look(stack) == []
    named(stack, "open").inputs["password"] = "by hand"
    assert look(stack) == ["open"]


def test_what_cannot_be_read_is_told(stack: Any) -> None:
    (key, *_) = stack.fake.things
    stack.fake.fail[f"read {key}"] = ProviderError("AccessDenied", "no")
    with pytest.raises(ProviderError):
        look(stack)


def bring_up(lab: Any, thing: Any) -> None:
    """A cluster, and two objects in it by a provider of its own outputs."""

    def program() -> None:
        made = thing("cluster", {"name": "cluster"})
        within = FakeProvider("within", {"kubeconfig": made.arn})
        options = pulumi.ResourceOptions(provider=within)
        first = thing("first", {"name": "first"}, options)
        thing("second", {"name": "second", "beside": first.arn}, options)

    lab.fake.inside = True
    lab.up(program)
    lab.program = program
    for key, one in lab.fake.things.items():
        if one.inputs["name"] != "cluster":
            lab.fake.fail[f"read {key}"] = ProviderError("Unreachable", "no route to host")


def lose(lab: Any, name: str) -> None:
    del lab.fake.things[next(key for key, one in lab.fake.things.items() if one.inputs["name"] == name)]


def test_a_clusters_objects_go_with_it(lab: Any, thing: Any) -> None:
    bring_up(lab, thing)
    lose(lab, "cluster")
    assert sorted(look(lab)) == ["cluster", "first", "second"]
    names = ("cluster", "first", "second")
    assert sorted(previewed(lab)) == [*(("create", one) for one in names), ("update", "within")]
    refreshed = lab.refresh()
    assert refreshed.counts["delete"] == 3
    assert "first is gone with what it was in" in refreshed.text
    assert lab.resources == {}


def test_a_destroy_needs_no_cluster_that_is_gone(lab: Any, thing: Any) -> None:
    bring_up(lab, thing)
    lose(lab, "cluster")
    lab.fake.calls.clear()
    lab.destroy(refresh=True)
    assert lab.resources == {}
    assert lab.fake.mutations == []


def test_what_cannot_be_read_stays_while_its_cluster_is_there(lab: Any, thing: Any) -> None:
    """A network that is down is no reason to forget anything; nor is what else has gone."""
    bring_up(lab, thing)
    with pytest.raises(ProviderError):
        look(lab)
    with pytest.raises(automation.CommandError, match="no route to host"):
        lab.refresh()
    assert set(lab.resources) == {"cluster", "first", "second"}
    lab.fake.inside = False
    lose(lab, "cluster")
    with pytest.raises(automation.CommandError, match="no route to host"):
        lab.refresh()
    assert set(lab.resources) == {"first", "second"}
