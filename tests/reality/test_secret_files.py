"""No secret of a program lies in the clear in any file below the backend or beside it, whichever engine ran."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any, Literal

import pulumi
import pytest
from pulumi import automation

from infra.rehearsal.engine.commands.command import EmbeddedPulumiCommand
from infra.rehearsal.engine.provider import Fake
from tests.reality.plugins import PluginHub

pytestmark = [pytest.mark.slow, pytest.mark.reality]

CONFIGURED, PROVIDERS, MADE = "open-sesame-91", "default-provider-92", "made-in-program-93"


@pytest.fixture
def cloud() -> Fake:
    return Fake()


@pytest.fixture
def hub(tmp_path: pathlib.Path, cloud: Fake) -> Iterator[PluginHub]:
    made = PluginHub(tmp_path / "home")
    made.install("fake", "1.0.0", cloud)
    yield made
    made.close()


def program() -> None:
    word = pulumi.Config().require_secret("word")
    for name, value in (("first", word), ("second", pulumi.Output.secret(MADE))):
        pulumi.CustomResource("fake:index:Thing", name, {"name": name, "arn": None, "deep": {"in": [value]}})
    pulumi.export("word", word)


@pytest.mark.parametrize("engine", ["embedded", "cli"])
def test_no_file_has_a_secret_in_the_clear(
    engine: Literal["embedded", "cli"],
    pulumi_binary: pathlib.Path,
    tmp_path: pathlib.Path,
    cloud: Fake,
    hub: PluginHub,
) -> None:
    state, work = tmp_path / "state", tmp_path / "work"
    state.mkdir()
    work.mkdir()
    variables = {
        "PULUMI_HOME": str(hub.home),
        "PULUMI_BACKEND_URL": state.as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "test",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }
    command: Any = (
        EmbeddedPulumiCommand(cloud)
        if engine == "embedded"
        else automation.PulumiCommand(root=str(pulumi_binary.parents[1]))
    )
    options = automation.LocalWorkspaceOptions(work_dir=str(work), env_vars=variables, pulumi_command=command)
    stack = automation.create_or_select_stack("dev", project_name="shop", program=program, opts=options)
    stack.set_config("word", automation.ConfigValue(CONFIGURED, secret=True))
    stack.set_config("fake:secretKey", automation.ConfigValue(PROVIDERS, secret=True))
    cloud.fail["create second"] = RuntimeError("not yet")
    with pytest.raises(automation.CommandError):
        stack.up()
    cloud.fail.clear()
    stack.up()
    stack.refresh()
    assert cloud.configured[-1]["secretKey"] == PROVIDERS, "the provider has it, and no file"
    assert sorted(each.inputs["deep"]["in"][0] for each in cloud.things.values()) == sorted(
        (CONFIGURED, MADE)
    )
    files = [path for folder in (state, work) for path in folder.rglob("*") if path.is_file()]
    assert any(b"ciphertext" in path.read_bytes() for path in files)
    for path in files:
        found = [word for word in (CONFIGURED, PROVIDERS, MADE) if word.encode() in path.read_bytes()]
        assert found == [], path
