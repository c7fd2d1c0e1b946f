"""What runs for contributors: actions by commit and not by a tag that may move, and no right that is not needed."""

from __future__ import annotations

import pathlib
import re

import pytest
from ruamel.yaml import YAML

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))


def test_there_is_one() -> None:
    assert [path.name for path in WORKFLOWS] == ["ci.yml"]


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


def test_it_calls_what_everybody_can_run() -> None:
    steps = YAML(typ="safe").load(WORKFLOWS[0].read_text())["jobs"]["ci"]["steps"]
    assert ".ci/run" in [step.get("run") for step in steps]
