"""A state that another engine has written: nothing of it is lost, or it is refused whole."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pytest
from pulumi import automation
from pulumi.automation.errors import CommandError

from infra.rehearsal.engine.resource import OPTIONS
from infra.rehearsal.engine.state import lock
from infra.rehearsal.engine.state.checkpoint import StackFiles

KEPT = {
    "sourcePosition": "project:///__main__.py#3",
    "stackTrace": [{"sourcePosition": "project:///__main__.py#3"}],
    "refreshBeforeUpdate": True,
    "somethingOfTomorrow": {"deep": [1, None]},
}
OF_THE_PROGRAM = {"deletedWith": "urn:x", "customTimeouts": {"create": 300}, "importID": "i-1"}


def edit(lab: Any, **keys: Any) -> None:
    """As another engine would have left the resource a."""
    document = json.loads(lab.checkpoint.read_text())
    for one in document["checkpoint"]["latest"]["resources"]:
        if one["urn"].endswith("::a"):
            one.update(keys)
    lab.checkpoint.write_text(json.dumps(document))


def test_keys_of_another_engine_stay(lab: Any, thing: Any) -> None:
    """Of a resource that stays the same, is updated, refreshed, or left alone by a program that fails."""

    def sized(size: int, fails: bool = False) -> Any:
        def program() -> None:
            if fails:
                raise pulumi.RunError("before it has declared anything")
            thing("a", {"name": "a", "size": size})

        return program

    lab.up(sized(1))
    edit(lab, **KEPT, **OF_THE_PROGRAM)
    lab.refresh()
    with pytest.raises(CommandError):
        lab.up(sized(1, fails=True))
    assert {key: lab.resources["a"].get(key) for key in (*KEPT, *OF_THE_PROGRAM)} == KEPT | OF_THE_PROGRAM
    for size in (1, 2):
        lab.up(sized(size))
        assert {key: lab.resources["a"].get(key) for key in KEPT} == KEPT
    assert not OPTIONS & {*lab.resources["a"]}, "the program declares it without, as the CLI sees it too"


@pytest.mark.parametrize("key", ["external", "taint", "viewOf"])
def test_a_state_that_would_be_handled_wrongly_is_refused_whole(lab: Any, thing: Any, key: str) -> None:
    lab.up(lambda: thing("a", {"name": "a"}) and None)
    edit(lab, **{key: "urn:pulumi:dev::shop::fake:index:Thing::b"})
    before = lab.checkpoint.read_text()
    for operate in (lambda: lab.up(lambda: None), lab.refresh, lab.destroy):
        with pytest.raises(
            CommandError, match=r"in the state \(urn:.*::a\) is not available.*use the Pulumi CLI"
        ):
            operate()
    assert lab.checkpoint.read_text() == before
    assert lab.fake.mutations == ["create a"]


def test_values_that_are_not_known_are_told_with_their_resource(lab: Any, thing: Any) -> None:
    lab.up(lambda: thing("a", {"name": "a"}) and None)
    signed = {"4dabf18193072939515e22adb298388d": "c44067f5952c0a294b673a41bacd8c17", "hash": "x"}
    edit(lab, inputs={"name": "a", "body": signed})
    with pytest.raises(CommandError, match=r"an asset in the state \(urn:.*::a\)"):
        lab.up(lambda: None)


def test_a_preview_beside_a_run_says_so(lab: Any, thing: Any) -> None:
    """A pending operation under a lock is work in progress, no interrupted run."""
    lab.up(lambda: thing("a", {"name": "a"}) and None)
    document = json.loads(lab.checkpoint.read_text())
    latest = document["checkpoint"]["latest"]
    latest["pending_operations"] = [{"type": "updating", "resource": latest["resources"][-1]}]
    lab.checkpoint.write_text(json.dumps(document))
    program = lambda: thing("a", {"name": "a"}) and None  # noqa: E731
    assert "the last run was interrupted" in lab.preview(program).text
    with lock.hold(StackFiles(lab.root, lab.project, "dev")):
        assert "another run is at work" in lab.preview(program).text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"transforms": [lambda args: None]}, "the option transforms"),
        ({"deleted_with": True}, "the option deleted_with"),
        ({"replace_with": True}, "the option replace_with"),
    ],
)
def test_refusals_are_in_our_words(lab: Any, thing: Any, options: dict[str, Any], words: str) -> None:
    """Not in the SDK's, which tells people to update a CLI."""

    def program() -> None:
        a = thing("a", {"name": "a"})
        given = {"deleted_with": {"deleted_with": a}, "replace_with": {"replace_with": [a]}}
        name = next(iter(options))
        thing("b", {"name": "b"}, pulumi.ResourceOptions(**given.get(name, options)))

    with pytest.raises(CommandError) as caught:
        lab.up(program)
    assert f"{words} (fake:index:Thing 'b') is not available in the embedded engine" in str(caught.value)
    assert "update the Pulumi CLI" not in str(caught.value)


def test_what_holds_for_the_whole_stack_is_refused_in_our_words(lab: Any, thing: Any) -> None:
    def program() -> None:
        pulumi.runtime.register_resource_transform(lambda args: None)
        thing("a", {"name": "a"})

    with pytest.raises(CommandError, match=r"a transform of the stack.*use the Pulumi CLI"):
        lab.up(program)


def test_a_refusal_is_an_event(lab: Any, thing: Any) -> None:
    """Of a create, an update, a deletion and a read."""
    from infra.rehearsal.engine.provider import ProviderError

    heard: list[tuple[str, str]] = []

    def listen(event: automation.events.EngineEvent) -> None:
        if event.res_op_failed_event:
            metadata = event.res_op_failed_event.metadata
            heard.append((str(getattr(metadata.op, "value", metadata.op)), metadata.urn.rpartition("::")[2]))

    def sized(size: int) -> Any:
        return lambda: thing("a", {"name": "a", "size": size}) and None

    def fails(call: str, operate: Any) -> None:
        lab.fake.fail = {call: ProviderError("Nope", "no")}
        with pytest.raises(CommandError):
            operate()
        lab.fake.fail = {}

    fails("create a", lambda: lab.stack(sized(1)).up(on_event=listen))
    lab.up(sized(1))
    identity = lab.resources["a"]["id"]
    fails("update a", lambda: lab.stack(sized(2)).up(on_event=listen))
    fails(f"read {identity}", lambda: lab.stack().refresh(on_event=listen))
    fails("delete a", lambda: lab.stack().destroy(on_event=listen))
    assert heard == [("create", "a"), ("update", "a"), ("refresh", "a"), ("delete", "a")]
