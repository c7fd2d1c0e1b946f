"""Providers of ours behind the real CLI: each provider resource has one of its own, and nothing of a call is lost."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pulumi
import pytest
from pulumi import automation

from infra.rehearsal.engine.provider import Fake, PartialFailure
from tests.reality.plugins import PluginHub

pytestmark = [pytest.mark.slow, pytest.mark.reality]


@pytest.fixture
def cloud() -> Fake:
    return Fake()


@pytest.fixture
def variables(tmp_path: pathlib.Path, cloud: Fake) -> Iterator[dict[str, str]]:
    hub = PluginHub(tmp_path / "home")
    hub.install("fake", "1.0.0", cloud)
    (tmp_path / "state").mkdir()
    yield {
        "PULUMI_HOME": str(hub.home),
        "PULUMI_BACKEND_URL": (tmp_path / "state").as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "test",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }
    hub.close()


def stack(binary: pathlib.Path, variables: dict[str, str], program: Any) -> automation.Stack:
    command = automation.PulumiCommand(root=str(binary.parents[1]))
    options = automation.LocalWorkspaceOptions(env_vars=variables, pulumi_command=command)
    return automation.create_or_select_stack("dev", project_name="shop", program=program, opts=options)


def thing(name: str, provider: pulumi.ProviderResource | None = None, **inputs: Any) -> None:
    options = pulumi.ResourceOptions(provider=provider)
    pulumi.CustomResource("fake:index:Thing", name, {"name": name, "arn": None, **inputs}, options)


def test_each_provider_resource_is_configured_by_itself(
    pulumi_binary: pathlib.Path, variables: dict[str, str], cloud: Fake
) -> None:
    def program() -> None:
        for region in ("north", "south"):
            thing(f"in-{region}", pulumi.ProviderResource("fake", region, {"region": region, "flags": ["a"]}))

    done = stack(pulumi_binary, variables, program).up()
    assert done.summary.resource_changes == {"create": 5}
    seen = [{key: each[key] for key in ("region", "flags")} for each in cloud.configured]
    assert sorted(seen, key=str) == [{"region": one, "flags": ["a"]} for one in ("north", "south")]
    assert sorted(cloud.mutations) == ["create in-north", "create in-south"]


def test_what_a_failed_create_left_is_recorded_and_mended(
    pulumi_binary: pathlib.Path, variables: dict[str, str], cloud: Fake
) -> None:
    cloud.fail["create a"] = PartialFailure("Half", "made, but never ready", id="a-1", outputs={"name": "a"})
    made = stack(pulumi_binary, variables, lambda: thing("a", size=1))
    with pytest.raises(automation.CommandError, match="made, but never ready"):
        made.up()
    cloud.fail.clear()
    assert made.up().summary.resource_changes == {"same": 1, "update": 1}
    assert cloud.mutations == ["create a", "update a"]
    assert made.destroy().summary.resource_changes == {"delete": 2}
    assert cloud.things == {}
