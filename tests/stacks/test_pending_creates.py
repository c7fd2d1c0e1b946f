"""Pending creates of the real CLI: what is there goes into the state, the rest is dropped, nothing else changes.

The state is the one that the CLI (3.274.1) left when it was killed in a create, shortened.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pulumi.automation import CommandResult

from infra.lookup.base import FakeResourceLookup, Remnant
from modelpack.errors import EcomdeployError
from modelpack.progress import Silent
from stacks.pulumi_driver.automation import AutomationDriver
from stacks.pulumi_driver.driver import Stack
from stacks.pulumi_driver.pending import recover, resolve

URN = "urn:pulumi:shop-prod::ecomdeploy-base::"
PROVIDER = f"{URN}pulumi:providers:aws::aws"
TAGS = {"ecomdeploy:stack": "ecomdeploy-base/shop-prod", "ecomdeploy:resource": "key"}


def custom(type: str, name: str, **more: Any) -> dict[str, Any]:  # noqa: A002
    return {
        "urn": f"{URN}ecomdeploy:infra:Any${type}::{name}",
        "custom": True,
        "type": type,
        "provider": f"{PROVIDER}::0b9e",
        **more,
    }


def pending(kind: str, intent: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": kind, "resource": dict(intent)}


KEY = custom("aws:kms/key:Key", "key", inputs={"__defaults": [], "description": "d", "tags": TAGS})
ROLE = custom("aws:iam/role:Role", "serving", inputs={"name": "shop-prod-serving", "tags": TAGS})
STATE: dict[str, Any] = {
    "manifest": {"time": "2026-11-20T10:00:00Z", "magic": "", "version": "v3.274.1"},
    "secrets_providers": {"type": "passphrase", "state": {"salt": "v1:x"}},
    "resources": [
        {"urn": f"{URN}pulumi:pulumi:Stack::s", "custom": False, "type": "pulumi:pulumi:Stack"},
        {"urn": PROVIDER, "custom": True, "type": "pulumi:providers:aws", "id": "0b9e"},
    ],
    "pending_operations": [pending("creating", KEY), pending("creating", ROLE)],
}


def test_what_is_there_goes_into_the_state_and_the_rest_is_dropped() -> None:
    lookup, before = FakeResourceLookup({"key": "1234-abcd"}), copy.deepcopy(STATE)
    recovery = resolve(STATE, lookup)
    assert before == STATE
    assert recovery.found == ("Key key",)
    assert recovery.dropped == ("Role serving",)
    assert recovery.state["pending_operations"] == []
    *others, made = recovery.state["resources"]
    assert others == STATE["resources"]
    assert made == KEY | {"id": "1234-abcd", "outputs": {"description": "d", "tags": TAGS, "id": "1234-abcd"}}
    assert next((one.type, one.mark) for one in lookup.asked) == ("aws:kms/key:Key", TAGS)


def test_other_pending_operations_are_left_to_the_cli() -> None:
    deleting = pending("deleting", ROLE | {"id": "shop-prod-serving"})
    state = {**STATE, "pending_operations": [pending("creating", KEY), deleting]}
    assert resolve(state, FakeResourceLookup()).state["pending_operations"] == [deleting]


def test_what_it_was_to_replace_waits_for_its_deletion() -> None:
    old = KEY | {"id": "old", "outputs": {}}
    state = {
        **STATE,
        "resources": [*STATE["resources"], old],
        "pending_operations": [pending("creating", KEY)],
    }
    there = resolve(state, FakeResourceLookup({"key": "new"})).state["resources"]
    assert [(one["id"], one.get("delete")) for one in there if one["urn"] == KEY["urn"]] == [
        ("old", True),
        ("new", None),
    ]
    recovery = resolve(state, FakeResourceLookup({"key": "old"}))
    assert recovery.found == (), "it carries the same tags, and is another thing"
    assert recovery.state["resources"] == state["resources"]


def test_a_placeholder_of_what_was_deleted_first_makes_way() -> None:
    gone = KEY | {"id": "", "pendingReplacement": True}
    state = {
        **STATE,
        "resources": [*STATE["resources"], gone],
        "pending_operations": [pending("creating", KEY)],
    }
    there = resolve(state, FakeResourceLookup({"key": "new"})).state["resources"]
    assert [one.get("id") for one in there if one["urn"] == KEY["urn"]] == ["new"]


def test_a_type_that_nobody_knows_to_look_up_is_told_and_nothing_is_dropped() -> None:
    with pytest.raises(EcomdeployError, match="aws:iam/role:Role serving") as error:
        resolve(STATE, FakeResourceLookup(unknown={"aws:iam/role:Role"}))
    assert "pulumi import" in error.value.hint


def test_components_and_providers_are_not_looked_up() -> None:
    intents = [{"urn": PROVIDER, "custom": True, "type": "pulumi:providers:aws", "inputs": {}}]
    intents.append(
        {"urn": f"{URN}ecomdeploy:infra:Any::any", "custom": False, "type": "ecomdeploy:infra:Any"}
    )
    lookup = FakeResourceLookup()
    state = {**STATE, "pending_operations": [pending("creating", one) for one in intents]}
    assert resolve(state, lookup).state["pending_operations"] == []
    assert lookup.asked == []


@dataclass
class FakeStateCommand:
    """The CLI's `stack export` and `stack import`."""

    document: dict[str, Any]
    lines: list[list[str]] = field(default_factory=list)

    def run(self, words: list[str], folder: str, variables: Mapping[str, str]) -> CommandResult:
        self.lines.append(words)
        if words[1] == "import":
            self.document = json.loads(Path(words[3]).read_text())
        return CommandResult(json.dumps(self.document), "", 0)


@dataclass
class FakePlace:
    pulumi_command: FakeStateCommand
    work_dir: str = "/x"
    pulumi_home: str | None = None
    env_vars: dict[str, str] = field(default_factory=dict)


@dataclass
class FakeInterruptedStack:
    workspace: FakePlace
    name: str = "shop-prod"


def test_the_state_goes_out_and_in_without_its_secrets_in_the_clear() -> None:
    command, told = FakeStateCommand({"version": 3, "deployment": STATE}), Silent()
    recover(
        FakeInterruptedStack(FakePlace(command)), FakeResourceLookup({"serving": "shop-prod-serving"}), told
    )
    assert command.document["version"] == 3
    assert command.document["deployment"]["resources"][-1]["id"] == "shop-prod-serving"
    assert [line[:2] for line in command.lines] == [["stack", "export"], ["stack", "import"]]
    assert all("--show-secrets" not in line for line in command.lines)
    assert not Path(command.lines[1][3]).exists()
    assert any("found Role serving" in line for line in told.lines)


@pytest.mark.parametrize("deployment", [None, {"manifest": {}}, {**STATE, "pending_operations": []}])
def test_with_nothing_pending_nothing_is_imported(deployment: Any) -> None:
    command = FakeStateCommand({"version": 3, "deployment": deployment})
    recover(FakeInterruptedStack(FakePlace(command)), FakeResourceLookup(), Silent())
    assert len(command.lines) == 1


def test_what_carries_the_stacks_tags_and_is_in_no_state_fails(tmp_path: Path) -> None:
    program = tmp_path / "base"
    program.mkdir()
    (program / "Pulumi.yaml").write_text("name: ecomdeploy-base\nruntime: python\n")
    left = (Remnant("arn:aws:kms:us-east-1:123456789012:key/1234", "key"),)
    lookup = FakeResourceLookup(left={"ecomdeploy-base/shop-prod": left})
    for kind in ("pulumi", "embedded"):
        driver = AutomationDriver(
            "any", kind, tmp_path, tmp_path.as_uri(), {}, lambda: None, lookup,
            programs=tmp_path, has_state=lambda: False,
        )  # fmt: skip
        with pytest.raises(EcomdeployError, match=r"carries its tags:\n +arn:aws:kms:\S+ \(key\)"):
            driver.destroy(Stack("base", "shop-prod"), Silent())
        assert driver.destroy(Stack("base", "another"), Silent()) == ()
