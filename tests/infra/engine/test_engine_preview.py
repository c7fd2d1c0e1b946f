"""Previews: unknowns go where they should, nothing is called that changes anything, drift shows."""

from __future__ import annotations

from typing import Any

import pulumi

from infra.rehearsal.engine.provider import UNKNOWN


def watch_checks(lab: Any) -> Any:
    seen = {}
    check = lab.fake.check

    def watched(type: Any, who: Any, olds: Any, news: Any, *, fresh_name: Any) -> Any:  # noqa: A002
        seen[who.name] = news
        return check(type, who, olds, news, fresh_name=fresh_name)

    lab.fake.check = watched
    return seen


def test_unknowns_in_a_preview_are_the_inputs_of_the_up(lab: Any, thing: Any) -> None:
    applied: list[Any] = []

    def program() -> None:
        first = thing("first", {"size": 1})
        thing("second", {"of": first.arn, "list": [first.arn, "known"], "plain": first.id})
        first.arn.apply(applied.append)

    seen = watch_checks(lab)
    run = lab.preview(program)
    assert run.counts == {"create": 3}
    assert seen["second"] == {"of": UNKNOWN, "list": [UNKNOWN, "known"], "plain": UNKNOWN}
    assert applied == []
    assert lab.fake.mutations == []
    lab.up(program)
    assert seen["second"]["list"][0].startswith("arn:fake:first")
    assert len(applied) == 1


def test_preview_writes_nothing(lab: Any, thing: Any) -> None:
    lab.stack(lambda: None)
    before = {path: path.read_bytes() for path in lab.root.rglob("*") if path.is_file()}
    lab.preview(lambda: thing("first") and None)
    assert {path: path.read_bytes() for path in lab.root.rglob("*") if path.is_file()} == before


def test_preview_and_up_agree_on_the_counts(lab: Any, thing: Any) -> None:
    def program(kind: Any, names: Any) -> Any:
        return lambda: (
            [thing(name, {"kind": kind if name == "a" else "x", "size": kind}) for name in names] and None
        )

    lab.up(program("x", "abc"))
    changed = program("y", "abd")
    assert (
        lab.preview(changed).counts
        == lab.up(changed).counts
        == {"same": 1, "replace": 1, "update": 1, "create": 1, "delete": 1}
    )


def test_dependents_of_a_replacement_preview_as_changed(lab: Any, thing: Any) -> None:
    def program(kind: Any) -> Any:
        def run() -> None:
            first = thing("first", {"kind": kind})
            thing("updated", {"of": first.arn})
            thing("replaced", {"kind": first.arn})

        return run

    lab.up(program("x"))
    assert lab.preview(program("y")).counts == {"same": 1, "replace": 2, "update": 1}
    assert lab.up(program("y")).counts == {"same": 1, "replace": 2, "update": 1}


def test_known_outputs_of_an_update_stay_known(lab: Any, thing: Any) -> None:
    def program(size: Any) -> Any:
        def run() -> None:
            first = thing("first", {"size": size})
            thing("second", {"of": first.arn})

        return run

    lab.up(program(1))
    assert lab.preview(program(2)).changed == [("update", "first")]


def test_refresh_sees_drift_and_the_next_preview_undoes_it(lab: Any, thing: Any) -> None:
    program = lambda: thing("first", {"size": 1}) and None  # noqa: E731
    lab.up(program)
    assert lab.refresh().counts == {"same": 2}
    (made,) = lab.fake.things.values()
    made.inputs["size"] = 7
    preview = lab.stack().preview_refresh()
    assert preview.change_summary == {"same": 1, "update": 1}
    assert lab.resources["first"]["inputs"]["size"] == 1
    assert lab.refresh().counts == {"same": 1, "update": 1}
    assert lab.resources["first"]["inputs"]["size"] == 7
    assert lab.preview(program).changed == [("update", "first")]
    lab.up(program)
    assert made.inputs["size"] == 1


def test_refresh_forgets_what_is_gone_and_its_references(lab: Any, thing: Any) -> None:
    def program() -> None:
        first = thing("first")
        thing("second", {"of": first.arn})

    lab.up(program)
    gone = next(key for key, one in lab.fake.things.items() if one.urn.endswith("::first"))
    del lab.fake.things[gone]
    assert lab.refresh().counts == {"same": 2, "delete": 1}
    assert set(lab.resources) == {"second"}
    assert "dependencies" not in lab.resources["second"]
    assert lab.up(program).counts == {"same": 1, "create": 1, "update": 1}


def test_up_and_destroy_with_refresh(lab: Any, thing: Any) -> None:
    program = lambda: thing("first", {"size": 1}) and None  # noqa: E731
    lab.up(program)
    (made,) = lab.fake.things.values()
    made.inputs["size"] = 7
    assert lab.up(program, refresh=True).counts == {"same": 1, "update": 1}
    lab.fake.things.clear()
    run = lab.destroy(refresh=True)
    assert run.counts == {"delete": 1}
    assert "delete first" not in lab.fake.mutations


def test_preview_destroy_deletes_nothing(lab: Any, thing: Any) -> None:
    lab.up(lambda: thing("first") and None)
    assert lab.stack().preview_destroy().change_summary == {"delete": 2}
    assert len(lab.fake.things) == 1


def test_explicit_provider_in_a_first_preview(lab: Any, thing: Any, fake_provider: Any) -> None:
    def program() -> None:
        provider = fake_provider("here", {"region": "eu-west-1"})
        thing("first", {}, pulumi.ResourceOptions(provider=provider))

    assert lab.preview(program).counts == {"create": 3}


def test_provider_with_unknown_configuration_is_previewed(lab: Any, thing: Any, fake_provider: Any) -> None:
    def program() -> None:
        first = thing("first")
        provider = fake_provider("here", {"endpoint": first.arn})
        thing("second", {}, pulumi.ResourceOptions(provider=provider))

    assert lab.preview(program).counts == {"create": 4}
    assert lab.fake.mutations == []
    assert lab.up(program).counts == {"create": 4}
