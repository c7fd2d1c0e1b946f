"""The driver over pulumi.automation: the embedded engine behind it, and the real CLI; a provider in memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pulumi import automation

from infra.lookup.base import FakeResourceLookup
from infra.rehearsal.engine.commands.command import EmbeddedPulumiCommand
from infra.rehearsal.engine.provider import Fake, ProviderError
from modelpack.errors import BadInput, CloudRefused, EcomdeployError
from modelpack.progress import Silent
from stacks.pulumi_driver.automation import AutomationDriver, passphrase, real_cli
from stacks.pulumi_driver.driver import Stack
from stacks.pulumi_driver.refusals import explain
from tests.reality.plugins import PluginHub

PROGRAM = """
import json
import pulumi
from infra import program
from modelpack.errors import BadInput

settings = json.loads(pulumi.Config().require("settings"))
def main():
    if settings.get("bad"):
        raise BadInput("settings: bad is bad", hint="leave it out")

if settings.get("bad") == "wrapped":
    program.run(main)
main()

class Box(pulumi.ComponentResource):
    def __init__(self, name):
        super().__init__("test:index:Box", name)
        for each in settings["things"]:
            made = pulumi.CustomResource(
                "fake:index:Thing", each, {"name": each, "size": settings["size"], "arn": None},
                pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({})

Box("box")
pulumi.export("things", settings["things"])
pulumi.export("size", settings["size"])
"""

BASE = Stack("base", "shop-local")


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    folder = tmp_path / "programs" / "base"
    folder.mkdir(parents=True)
    (folder / "Pulumi.yaml").write_text("name: test-base\nruntime: python\n")
    (folder / "__main__.py").write_text(PROGRAM)
    return tmp_path / "programs"


@pytest.fixture
def cloud() -> Fake:
    return Fake()


@pytest.fixture(params=["embedded", pytest.param("cli", marks=[pytest.mark.slow, pytest.mark.reality])])
def driver(request: pytest.FixtureRequest, tmp_path: Path, programs: Path, cloud: Fake) -> AutomationDriver:
    """Over the embedded engine and over the real CLI."""
    folder = tmp_path / ".ecomdeploy" / "local" / "pulumi"
    folder.mkdir(parents=True)
    made = AutomationDriver(
        name="embedded engine",
        kind="embedded",
        folder=folder,
        backend=f"file://{folder}",
        environment={},
        command=lambda: EmbeddedPulumiCommand(cloud, environment={}),
        lookup=FakeResourceLookup(),
        programs=programs,
    )
    if request.param == "embedded":
        return made
    hub: PluginHub = request.getfixturevalue("hub")
    root = str(request.getfixturevalue("pulumi_binary").parents[1])
    variables = {
        "PULUMI_HOME": str(hub.home),
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }
    return replace(
        made,
        name="Pulumi CLI",
        kind="pulumi",
        environment=variables,
        command=lambda: automation.PulumiCommand(root=root),
    )


@pytest.fixture
def hub(tmp_path: Path, cloud: Fake) -> Iterator[PluginHub]:
    """The fake cloud's provider as a plugin of the CLI."""
    made = PluginHub(tmp_path / "home")
    made.install("fake", "1.0.0", cloud)
    yield made
    made.close()


def ops(changes: Any) -> dict[str, str]:
    return {change.name: change.op for change in changes}


def test_a_stack_comes_up_changes_and_goes(driver: AutomationDriver, cloud: Fake) -> None:
    path = list(sys.path)
    assert driver.outputs(BASE) is None
    assert driver.destroy(BASE, Silent()) == ()

    told = Silent()
    made = driver.up(BASE, {"things": ["a", "b"], "size": 1}, told, refresh=False)
    assert ops(made.changes) == {"a": "create", "b": "create"}, (
        "components and providers are not in the cloud"
    )
    assert dict(made.outputs) == {"things": ["a", "b"], "size": 1}
    assert {"created Thing a", "created Thing b"} <= set(told.lines)
    assert driver.outputs(BASE) == {"things": ["a", "b"], "size": 1}

    assert driver.up(BASE, {"things": ["a", "b"], "size": 1}, Silent(), refresh=True).changes == ()

    ahead = driver.preview(BASE, {"things": ["a", "c"], "size": 2})
    assert ops(ahead) == {"a": "update", "b": "delete", "c": "create"}
    assert next(change for change in ahead if change.name == "a").keys == ("size",)
    assert {thing.inputs["size"] for thing in cloud.things.values()} == {1}, "a preview changes nothing"

    assert ops(driver.destroy(BASE, Silent())) == {"a": "delete", "b": "delete"}
    assert cloud.things == {}
    assert driver.outputs(BASE) is None
    assert driver.destroy(BASE, Silent()) == ()
    assert sys.path == path, "the programs' folder is never on sys.path"


@pytest.mark.parametrize(
    "damage", ["", "name: ecom", "[1", "\0\0", "- a", "name: another\nruntime: python\n", b"\xff\xfe"]
)
def test_a_damaged_project_file_is_written_anew(driver: AutomationDriver, damage: str | bytes) -> None:
    """As a full disk or a power cut leaves it."""
    driver.up(BASE, {"things": ["a"], "size": 1}, Silent(), refresh=False)
    file = driver.folder / BASE.program / "Pulumi.yaml"
    whole = file.read_text()
    file.write_bytes(damage if isinstance(damage, bytes) else damage.encode())
    assert driver.up(BASE, {"things": ["a"], "size": 1}, Silent(), refresh=False).changes == ()
    assert file.read_text() == whole
    assert driver.outputs(BASE) == {"things": ["a"], "size": 1}


def test_a_preview_before_the_first_up_makes_nothing(driver: AutomationDriver, cloud: Fake) -> None:
    assert ops(driver.preview(BASE, {"things": ["a"], "size": 1})) == {"a": "create"}
    assert cloud.mutations == []
    assert not driver.outputs(BASE)
    assert ops(driver.up(BASE, {"things": ["a"], "size": 1}, Silent(), refresh=True).changes) == {
        "a": "create"
    }


def test_a_replacement_is_one_change(driver: AutomationDriver) -> None:
    driver.up(BASE, {"things": ["a"], "size": 1}, Silent(), refresh=False)
    text = PROGRAM.replace('"name": each,', '"name": each + "-2",')
    (driver.programs / "base" / "__main__.py").write_text(text)
    (change,) = driver.preview(BASE, {"things": ["a"], "size": 1})
    assert (change.op, change.replaces) == ("replace", ("name",))


def test_drift_is_seen_by_preview_and_mended_by_a_refresh(driver: AutomationDriver, cloud: Fake) -> None:
    driver.up(BASE, {"things": ["a"], "size": 1}, Silent(), refresh=False)
    (thing,) = cloud.things.values()
    assert not driver.has_drifted(BASE, {"things": ["a"], "size": 1})
    thing.inputs["size"] = 7
    assert driver.has_drifted(BASE, {"things": ["a"], "size": 1})
    assert ops(driver.preview(BASE, {"things": ["a"], "size": 1})) == {"a": "update"}
    assert ops(driver.up(BASE, {"things": ["a"], "size": 1}, Silent(), refresh=True).changes) == {
        "a": "update"
    }
    (thing,) = cloud.things.values()
    assert thing.inputs["size"] == 1


def test_a_quicker_question_is_asked_where_there_is_one(driver: AutomationDriver) -> None:
    asked: list[tuple[str, str]] = []

    def is_as_left(project: str, stack: str) -> bool:
        asked.append((project, stack))
        if len(asked) > 2:
            raise EcomdeployError("it did not say")
        return len(asked) < 2

    quick = replace(driver, is_as_left=is_as_left)
    assert [quick.has_drifted(BASE, {}) for _ in range(3)] == [False, True, True]
    assert set(asked) == {("test-base", "shop-local")}


def test_what_is_gone_is_made_again_after_a_refresh(driver: AutomationDriver, cloud: Fake) -> None:
    driver.up(BASE, {"things": ["a"], "size": 1}, Silent(), refresh=False)
    cloud.things.clear()
    assert ops(driver.up(BASE, {"things": ["a"], "size": 1}, Silent(), refresh=True).changes) == {
        "a": "create"
    }


def test_a_quota_is_the_cloud_refusing_in_its_own_words(driver: AutomationDriver, cloud: Fake) -> None:
    cloud.fail["create a"] = ProviderError("ResourceLimitExceeded", "the account has 0 ml.g6.xlarge")
    with pytest.raises(CloudRefused, match=r"the account has 0 ml.g6.xlarge") as error:
        driver.up(BASE, {"things": ["a"], "size": 1}, Silent(), refresh=False)
    assert error.value.exit_code == 5
    cloud.fail["create a"] = ProviderError("ValidationException", "a is no name")
    with pytest.raises(EcomdeployError, match="a is no name") as other:
        driver.up(BASE, {"things": ["a"], "size": 1}, Silent(), refresh=False)
    assert other.value.exit_code == 1
    cloud.fail.clear()
    assert ops(driver.up(BASE, {"things": ["a"], "size": 1}, Silent(), refresh=True).changes) == {
        "a": "create"
    }


@pytest.mark.parametrize("bad", [True, "wrapped"])
def test_an_error_of_ours_in_a_program_comes_out_as_it_is(driver: AutomationDriver, bad: object) -> None:
    with pytest.raises(BadInput, match="bad is bad") as error:
        driver.up(BASE, {"things": [], "size": 1, "bad": bad}, Silent(), refresh=False)
    assert error.value.hint == "leave it out"


def test_the_source_follows_the_program(driver: AutomationDriver) -> None:
    before = driver.source(BASE)
    assert driver.source(BASE) == before
    (driver.programs / "base" / "__main__.py").write_text(PROGRAM + "\n# another\n")
    assert driver.source(BASE) != before


def test_the_passphrase_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "local" / "passphrase"
    first = passphrase(file)
    assert len(first) == 64
    assert passphrase(file) == first
    assert file.stat().st_mode & 0o077 == 0


def test_the_account_guard_is_a_refusal() -> None:
    words = "AWS account ID not allowed: 999999999999"
    assert isinstance(explain("s", [words, words], ""), CloudRefused)
    assert str(explain("s", [words, words], "")) == f"s: {words}"
    noise = "rpc error: Resource monitor has terminated, shutting down"
    assert str(explain("s", ["it broke", noise], "")) == "s: it broke"
    assert explain("s", [], "all of the output").exit_code == 1


def test_without_the_cli_aws_is_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CloudRefused, match="Pulumi CLI, and it cannot be used") as error:
        real_cli()
    assert "pulumi.com/docs/install" in error.value.hint
