"""`ecomdeploy doctor` looks for the Pulumi CLI, its AWS plugin, and their versions."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from cli.checks.base import CheckContext
from cli.checks.pulumi_cli import check
from modelpack.home import Home

AWS = version("pulumi-aws")
CLI = f"v{version('pulumi')}"


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CheckContext:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("ECOMDEPLOY_DRIVER", "pulumi")
    return CheckContext(tmp_path, Home(tmp_path, tmp_path), lambda: "")


def install(folder: Path, said: str, *plugins: tuple[str, str], code: int = 0) -> None:
    """A `pulumi` that answers as the CLI does (3.274.1)."""
    listed = json.dumps([{"name": name, "kind": "resource", "version": known} for name, known in plugins])
    script = f"#!/bin/sh\n[ $1 = version ] && echo '{said}' || echo '{listed}'\nexit {code}\n"
    (folder / "pulumi").write_text(script)
    (folder / "pulumi").chmod(0o755)


@pytest.mark.parametrize(
    ("said", "plugins", "severity", "message", "remedy"),
    [
        (CLI, [("random", "4.0.0"), ("aws", AWS)], "ok", f"plugin aws {AWS}", ""),
        (CLI, [], "failure", "none is there", f"pulumi plugin install resource aws {AWS}"),
        (CLI, [("aws", "6.0.0")], "failure", "6.0.0 is there", f"pulumi plugin install resource aws {AWS}"),
        ("v2.25.0", [("aws", AWS)], "failure", "is 2.25.0", "pulumi.com/docs/install"),
    ],
    ids=["all is well", "no plugin", "another plugin", "another CLI"],
)
def test_versions_are_compared(
    context: CheckContext, said: str, plugins: Any, severity: str, message: str, remedy: str
) -> None:
    install(context.folder, said, *plugins)
    found = check(context)
    assert (found.name, found.severity) == ("pulumi", severity)
    assert message in found.message
    assert remedy in found.remedy


def test_a_cli_that_does_not_answer_is_told(context: CheckContext) -> None:
    install(context.folder, CLI, code=3)
    found = check(context)
    assert found.severity == "failure"
    assert "does not answer" in found.message


def test_without_the_cli_only_whoever_asked_for_it_has_a_failure(
    context: CheckContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check(context).severity == "failure"
    monkeypatch.delenv("ECOMDEPLOY_DRIVER")
    assert check(context).severity == "ok"
