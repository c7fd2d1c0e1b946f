"""What runs for contributors: actions by commit and not by a tag that may move, and no right that is not needed."""

from __future__ import annotations

import pathlib
import re

import pytest
from ruamel.yaml import YAML

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))


def test_there_are_three() -> None:
    assert [path.name for path in WORKFLOWS] == ["audit.yml", "ci.yml", "nightly.yml"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_and_rights_are_few(workflow: pathlib.Path) -> None:
    text = workflow.read_text()
    document = YAML(typ="safe").load(text)
    used = re.findall(r"uses: (\S+)(.*)", text)
    assert used
    assert [
        name for name, note in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name) or "# v" not in note
    ] == []
    assert document["permissions"] == {}
    assert all(
        job.get("permissions", {}).items() <= {("contents", "read")} for job in document["jobs"].values()
    )


@pytest.mark.parametrize(
    ("workflow", "job", "command"),
    [
        ("ci.yml", "ci", ".ci/run"),
        ("audit.yml", "audit", "make audit UV=build/uv/bin/uv"),
        ("nightly.yml", "nightly", "make nightly"),
    ],
)
def test_it_calls_what_everybody_can_run(workflow: str, job: str, command: str) -> None:
    text = (ROOT / ".github" / "workflows" / workflow).read_text()
    assert command in [step.get("run") for step in YAML(typ="safe").load(text)["jobs"][job]["steps"]]


def test_holes_are_asked_for_when_what_is_installed_changes_and_every_week() -> None:
    # YAML 1.1 would read `on` as true; 1.2 reads the word
    asked = YAML(typ="safe").load((ROOT / ".github" / "workflows" / "audit.yml").read_text())["on"]
    assert asked["schedule"]
    assert all("locks/*.txt" in asked[when]["paths"] for when in ("push", "pull_request"))
