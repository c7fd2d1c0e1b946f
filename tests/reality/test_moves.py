"""A state goes from one engine to the other and back on one folder: nothing changes, nothing is lost.

Each life below is led by one engine. The other one then previews, brings up and reads back without a change, and the
state is what it was; the first one takes it back, and what the second one changes it sees.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import pulumi
import pytest
from pulumi import Output, ResourceOptions, automation

from infra.rehearsal.engine.commands.command import EmbeddedPulumiCommand
from infra.rehearsal.engine.provider import Fake, PartialFailure, ProviderError
from tests.reality.extent import sample
from tests.reality.plugins import PluginHub

pytestmark = [pytest.mark.slow, pytest.mark.reality]

Kind = Literal["embedded", "cli"]
Program = Callable[[], None]
SECRETS = ("hush-program", "hush-nested", "hush-config")
SECRET = "[secret]"
UNSTABLE = ("created", "modified", "sourcePosition", "stackTrace")
OF_THE_CLI = ("version", "__internal")
"""Inputs of a provider resource that only the CLI notes."""


class Thing(pulumi.CustomResource):
    """A resource of the fake package."""

    arn: Output[str]

    def __init__(
        self, resource: str, options: ResourceOptions | None = None, *, named: bool = True, **inputs: Any
    ) -> None:
        name = {"name": resource} if named else {}
        super().__init__("fake:index:Thing", resource, {"arn": None, **name, **inputs}, options)


@dataclass
class Stay:
    """One stack in one folder, worked on by either engine; both meet the same cloud."""

    folder: pathlib.Path
    binary: pathlib.Path
    cloud: Fake = field(default_factory=Fake)

    def __post_init__(self) -> None:
        self.hub = PluginHub(self.folder / "home")
        self.hub.install("fake", "1.0.0", self.cloud)
        self.backend = self.folder / "state"
        self.backend.mkdir()

    def stack(self, kind: Kind, program: Program) -> automation.Stack:
        command = (
            EmbeddedPulumiCommand(self.cloud, environment={})
            if kind == "embedded"
            else automation.PulumiCommand(root=str(self.binary.parents[1]))
        )
        work = self.folder / "work"
        work.mkdir(exist_ok=True)
        options = automation.LocalWorkspaceOptions(
            work_dir=str(work),
            pulumi_command=command,
            env_vars={
                "PULUMI_HOME": str(self.hub.home),
                "PULUMI_BACKEND_URL": self.backend.as_uri(),
                "PULUMI_CONFIG_PASSPHRASE": "test",
                "PULUMI_SKIP_UPDATE_CHECK": "true",
                "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            },
        )
        made = automation.create_or_select_stack("dev", project_name="shop", program=program, opts=options)
        made.set_config("token", automation.ConfigValue("hush-config", secret=True))
        return made

    def files(self) -> str:
        """All that lies below the backend."""
        return "\n".join(
            path.read_text(errors="replace") for path in self.backend.rglob("*") if path.is_file()
        )

    def resources(self) -> dict[tuple[str, bool], Any]:
        """The state, without what differs from run to run; a secret is only that it is one."""
        file = self.backend / ".pulumi" / "stacks" / "shop" / "dev.json"
        latest = json.loads(file.read_text())["checkpoint"]["latest"]
        assert not latest.get("pending_operations")
        return {
            (one["urn"], one.get("delete", False)): comparable(one) for one in latest.get("resources") or ()
        }


def comparable(resource: dict[str, Any]) -> dict[str, Any]:
    """One resource of a checkpoint; what is empty is as if it were not there, and order tells nothing."""
    kept = {key: value for key, value in resource.items() if key not in UNSTABLE}
    if kept["type"].startswith("pulumi:providers:"):
        for side in ("inputs", "outputs"):
            kept[side] = {key: one for key, one in kept.get(side, {}).items() if key not in OF_THE_CLI}
    links = {key: sorted(urns or ()) for key, urns in kept.get("propertyDependencies", {}).items()}
    kept["propertyDependencies"] = {key: urns for key, urns in links.items() if urns}
    kept["dependencies"] = sorted(kept.get("dependencies") or ())
    return {key: conceal(value) for key, value in kept.items() if value not in ({}, [], None, "", False)}


def conceal(value: Any) -> Any:
    """Ciphertexts differ each time they are made. Of outputs the CLI hides a whole list for one secret in it, the
    embedded engine the element."""
    if isinstance(value, dict):
        return SECRET if "ciphertext" in value else {key: conceal(each) for key, each in value.items()}
    if not isinstance(value, list):
        return value
    concealed = [conceal(each) for each in value]
    return SECRET if SECRET in json.dumps(concealed) else concealed


# ---- programs, and what has happened to them when they move ----


def everything(size: int = 1) -> Program:
    """Secrets of every way, a component, an explicit provider, options, an output of each kind."""

    def program() -> None:
        group = pulumi.ComponentResource("shop:index:Group", "group", {})
        secret = Output.secret("hush-program")
        a = Thing(
            "a",
            ResourceOptions(parent=group, additional_secret_outputs=["arn"]),
            password=secret,
            nested={"deep": [1, {"word": Output.secret("hush-nested")}]},
        )
        north = pulumi.ProviderResource("fake", "north", {"region": "north", "flags": ["x"]})
        b = Thing(
            "b",
            ResourceOptions(provider=north, ignore_changes=["late"], retain_on_delete=False),
            size=size,
            link=a.arn,
            token=pulumi.Config().require_secret("token"),
        )
        Thing("c", ResourceOptions(depends_on=[b, group]), ratio=1.5, empty=[], nothing=None, word="ü")
        group.register_outputs({"arn": a.arn})
        pulumi.export("password", secret)
        pulumi.export("arn", b.arn)

    return program


def pair(size: int = 1, kind: str = "x") -> Program:
    """One in place, one that is replaced when `kind` changes (and named by the provider, so that both can be there)."""

    def program() -> None:
        a = Thing("a", size=size)
        Thing("b", ResourceOptions(depends_on=[a]), named=False, kind=kind)
        pulumi.export("size", size)

    return program


def live(stay: Stay, kind: Kind) -> Program:
    stay.stack(kind, everything()).up()
    return everything()


def live_changed(stay: Stay, kind: Kind) -> Program:
    stay.stack(kind, everything()).up()
    stay.stack(kind, everything(2)).up()
    return everything(2)


def live_replaced(stay: Stay, kind: Kind) -> Program:
    stay.stack(kind, pair()).up()
    stay.stack(kind, pair(kind="y")).up()
    return pair(kind="y")


def live_drifted(stay: Stay, kind: Kind) -> Program:
    stay.stack(kind, pair()).up()
    next(thing for thing in stay.cloud.things.values() if thing.inputs["name"] == "a").inputs["size"] = 7
    stay.stack(kind, pair()).refresh()
    stay.stack(kind, pair()).up()
    return pair()


def live_refused(stay: Stay, kind: Kind) -> Program:
    """A create was refused and the next run did it."""
    stay.cloud.fail["create b"] = ProviderError("Denied", "no")
    with suppress(automation.CommandError):
        stay.stack(kind, pair()).up()
    stay.cloud.fail.clear()
    stay.stack(kind, pair()).up()
    return pair()


LIVES = (live, live_replaced, live_changed, live_drifted, live_refused)


@pytest.fixture
def stay(tmp_path: pathlib.Path, pulumi_binary: pathlib.Path) -> Iterator[Stay]:
    made = Stay(tmp_path, pulumi_binary)
    yield made
    made.hub.close()


def is_same(counts: Any) -> bool:
    return {str(getattr(op, "value", op)) for op, count in counts.items() if count} <= {"same"}


def stays_as_it_is(stay: Stay, kind: Kind, program: Program) -> None:
    """Preview, up and refresh by this engine: no call that changes anything, and the same state."""
    before, calls = stay.resources(), len(stay.cloud.mutations)
    assert is_same(stay.stack(kind, program).preview().change_summary)
    assert is_same(stay.stack(kind, program).up().summary.resource_changes)
    assert is_same(stay.stack(kind, program).refresh().summary.resource_changes)
    assert stay.cloud.mutations[calls:] == []
    assert stay.resources() == before


@pytest.mark.parametrize("first", ["embedded", "cli"])
@pytest.mark.parametrize(
    "lead", sample(LIVES, 1), ids=lambda one: one.__name__.removeprefix("live").strip("_") or "whole"
)
def test_there_and_back(stay: Stay, lead: Callable[[Stay, Kind], Program], first: Kind) -> None:
    second: Kind = "cli" if first == "embedded" else "embedded"
    program = lead(stay, first)
    stays_as_it_is(stay, second, program)
    stays_as_it_is(stay, first, program)
    assert [word for word in SECRETS if word in stay.files()] == []
    stay.stack(second, program).destroy()
    assert stay.cloud.things == {}
    assert stay.resources() == {}


@pytest.mark.parametrize("first", ["embedded", "cli"])
def test_what_one_left_undone_the_other_does(stay: Stay, first: Kind) -> None:
    """A half-made resource, and one whose deletion was refused after its replacement."""
    second: Kind = "cli" if first == "embedded" else "embedded"
    stay.stack(first, pair()).up()
    by_name = {thing.urn.rpartition("::")[2]: identity for identity, thing in stay.cloud.things.items()}
    stay.cloud.fail["delete b"] = ProviderError("InUse", "not yet")
    stay.cloud.fail["update a"] = PartialFailure(
        "Half", "never ready", id=by_name["a"], outputs={"name": "a"}
    )
    with suppress(automation.CommandError):
        stay.stack(first, pair(size=2, kind="y")).up()
    stay.cloud.fail.clear()
    stay.stack(second, pair(size=2, kind="y")).up()
    assert by_name["b"] not in stay.cloud.things
    assert {thing.inputs.get("size") or thing.inputs["kind"] for thing in stay.cloud.things.values()} == {
        2,
        "y",
    }
    stays_as_it_is(stay, first, pair(size=2, kind="y"))
    stay.stack(first, pair()).destroy()
    assert stay.cloud.things == {}
