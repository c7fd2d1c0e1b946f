"""Create, same, update, delete, options: what an operation does, in which order, and what it calls it."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest
from pulumi import automation


def test_create_same_update_delete(lab: Any, thing: Any) -> None:
    def program(size: Any, both: Any = True) -> Any:
        def run() -> None:
            first = thing("first", {"size": size})
            if both:
                thing("second", {"of": first.arn})
            pulumi.export("arn", first.arn)

        return run

    made = lab.up(program(1))
    told = ["default", "first", "second", "shop-dev"]
    assert sorted(made.steps) == [("create", name) for name in told]
    assert made.steps.index(("create", "first")) < made.steps.index(("create", "second"))
    assert made.counts == {"create": 3}
    assert made.outputs["arn"].value.startswith("arn:fake:first-")
    assert lab.up(program(1)).counts == {"same": 3}

    updated = lab.up(program(2))
    assert updated.changed == [("update", "first")]
    assert updated.counts == {"same": 2, "update": 1}

    assert lab.up(program(2, both=False)).changed == [("delete", "second")]
    destroyed = lab.destroy()
    assert sorted(destroyed.steps) == [("delete", name) for name in ("default", "first", "shop-dev")]
    assert lab.fake.things == {}
    assert lab.deployment["resources"] == []
    assert lab.destroy().counts == {}


def test_nothing_is_written_and_nothing_called_on_same(lab: Any, thing: Any) -> None:
    def program() -> None:
        thing("first", {"size": 1})
        pulumi.export("answer", 42)

    lab.up(program)
    before, stamp = lab.checkpoint.read_bytes(), lab.checkpoint.stat()
    calls = list(lab.fake.mutations)
    lab.up(program)
    after = lab.checkpoint.stat()
    assert (after.st_ino, after.st_mtime_ns) == (stamp.st_ino, stamp.st_mtime_ns)
    assert lab.checkpoint.read_bytes() == before
    assert lab.fake.mutations == calls


def test_summaries_leave_default_providers_out(lab: Any, thing: Any) -> None:
    run = lab.up(lambda: thing("first") and None)
    assert run.counts == {"create": 2}
    assert sorted(name for _, name in run.steps) == ["default", "first", "shop-dev"]
    assert [one["urn"] for one in lab.deployment["resources"] if "default" in one["urn"]]


def test_whole_numbers_arrive_as_int(lab: Any, thing: Any) -> None:
    lab.up(lambda: thing("first", {"count": 3, "ratio": 0.5, "deep": [{"n": 4}], "flag": True}) and None)
    (made,) = lab.fake.things.values()
    assert [type(made.inputs[key]) for key in ("count", "ratio", "flag")] == [int, float, bool]
    assert isinstance(made.inputs["deep"][0]["n"], int)


def test_ignore_changes_keeps_what_is_there(lab: Any, thing: Any) -> None:
    def program(value: Any) -> Any:
        return lambda: (
            thing(
                "first",
                {"size": value, "tags": {"a": value, "b": value}},
                pulumi.ResourceOptions(ignore_changes=["size", "tags.a"]),
            )
            and None
        )

    lab.up(program("old"))
    run = lab.up(program("new"))
    assert run.changed == [("update", "first")]
    inputs = lab.resources["first"]["inputs"]
    assert inputs["size"] == "old"
    assert inputs["tags"] == {"a": "old", "b": "new"}


def test_protected_is_not_deleted_and_nothing_else_is(lab: Any, thing: Any) -> None:
    def program(with_first: Any) -> Any:
        def run() -> None:
            if with_first:
                thing("first", {}, pulumi.ResourceOptions(protect=True))
                thing("second")

        return run

    lab.up(program(True))
    with pytest.raises(automation.CommandError, match="currently marked for protection"):
        lab.up(program(False))
    with pytest.raises(automation.CommandError, match="currently marked for protection"):
        lab.destroy()
    assert len(lab.fake.things) == 2


def test_retain_on_delete_forgets_without_deleting(lab: Any, thing: Any) -> None:
    lab.up(lambda: thing("first", {}, pulumi.ResourceOptions(retain_on_delete=True)) and None)
    run = lab.destroy()
    assert ("delete", "first") in run.steps
    assert len(lab.fake.things) == 1
    assert lab.deployment["resources"] == []


def test_depends_on_orders_creation_and_deletion(lab: Any, thing: Any) -> None:
    def program() -> None:
        last = thing("a")
        for name in "bcd":
            last = thing(name, {}, pulumi.ResourceOptions(depends_on=[last]))

    lab.up(program)
    assert lab.fake.mutations == [f"create {name}" for name in "abcd"]
    assert lab.resources["d"]["dependencies"] == [lab.resources["c"]["urn"]]
    lab.destroy()
    assert lab.fake.mutations[4:] == [f"delete {name}" for name in "dcba"]


def test_components_parents_and_registered_outputs(lab: Any, thing: Any, group: Any) -> None:
    def program() -> None:
        shop = group("shop")
        inner = thing("inner", {}, pulumi.ResourceOptions(parent=shop))
        shop.register_outputs({"arn": inner.arn})

    run = lab.up(program)
    assert run.counts == {"create": 3}
    inner, shop = lab.resources["inner"], lab.resources["shop"]
    assert inner["urn"] == "urn:pulumi:dev::shop::shop:index:Group$fake:index:Thing::inner"
    assert inner["parent"] == shop["urn"]
    assert shop["outputs"] == {"arn": inner["outputs"]["arn"]}
    assert lab.up(program).counts == {"same": 3}
    gone = [name for _, name in lab.destroy().steps if name != "default"]
    assert gone[-2:] == ["shop", "shop-dev"]


def test_explicit_provider_is_configured_with_decoded_inputs(
    lab: Any, thing: Any, fake_provider: Any
) -> None:
    def program() -> None:
        provider = fake_provider(
            "here", {"region": "eu-west-1", "accounts": '["123456789012"]', "skip": "true"}
        )
        thing("first", {}, pulumi.ResourceOptions(provider=provider))

    lab.up(program)
    assert lab.fake.configured == [{"region": "eu-west-1", "accounts": ["123456789012"], "skip": True}]
    urn, _, identity = lab.resources["first"]["provider"].rpartition("::")
    (provider,) = [one for one in lab.deployment["resources"] if one["type"] == "pulumi:providers:fake"]
    assert (provider["urn"], provider["id"]) == (urn, identity)
    assert lab.up(program).counts == {"same": 3}


def test_default_provider_takes_the_stacks_config(lab: Any, thing: Any) -> None:
    program = lambda: thing("first") and None  # noqa: E731
    lab.stack(program).set_config("fake:region", automation.ConfigValue("eu-west-1"))
    lab.up(program)
    assert lab.fake.configured == [{"region": "eu-west-1"}]


def test_region_of_a_provider_cannot_change_in_place(lab: Any, thing: Any, fake_provider: Any) -> None:
    def program(region: Any) -> Any:
        return lambda: (
            thing("first", {}, pulumi.ResourceOptions(provider=fake_provider("here", {"region": region})))
            and None
        )

    lab.up(program("eu-west-1"))
    with pytest.raises(automation.CommandError, match="region cannot change in place"):
        lab.up(program("us-east-1"))


def test_invoke_answers_and_refuses_in_the_clouds_words(lab: Any, thing: Any) -> None:
    def program() -> None:
        found = pulumi.runtime.invoke("fake:index:lookUp", {"name": "x"}).value
        thing("first", {"found": found["echo"]["name"]})

    lab.up(program)
    assert lab.resources["first"]["inputs"]["found"] == "x"
    from infra.rehearsal.engine.provider import ProviderError

    lab.fake.fail["invoke fake:index:lookUp"] = ProviderError("AccessDenied", "not for you")
    with pytest.raises(automation.CommandError, match="AccessDenied: not for you"):
        lab.up(program)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (pulumi.FileArchive("."), "an archive"),
        (pulumi.StringAsset("hello"), "an asset"),
        (pulumi.FileAsset("x"), "an asset"),
    ],
)
def test_archives_and_assets_are_refused_by_name(lab: Any, thing: Any, content: Any, what: Any) -> None:
    with pytest.raises(automation.CommandError, match=rf"{what} is not available .*: use the Pulumi CLI"):
        lab.up(lambda: thing("folder", {"content": content}) and None)
    assert lab.fake.mutations == []
