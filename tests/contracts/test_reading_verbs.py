"""What only reads changes nothing, and nothing is changed in an account that the spec does not name.

The verbs are those of the command line itself: a new one counts as reading until it is listed here as one that writes.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from programs import SPEAKING

from cli import app
from cli.app import application
from infra.rehearsal.cloud.client import LocalCloud
from modelpack.home import Home

WRITING = frozenset({"up", "approve", "rollback", "recover", "down", "platform up", "platform down"})
NOT_AT_A_CLOUD = {
    "init": "writes the project's files",
    "pack": "trains and builds, and pushes nowhere",
    "ci policy": "prints a document that follows from the spec alone",
    "cloud start": "starts what is counted here",
    "cloud stop": "ends it",
    "cloud reset": "empties it, which no call to the emulated account does",
    "cloud kubernetes install": "fills the user's cache, for minutes where it is empty",
    "cloud fault": "plants one",
    "cloud quota": "sets one",
}
ARGUMENTS = {
    "predict": ["--request", '{"instances": []}'],
    "schema": ["recommendation"],
    "approve": ["1"],
    "releases show": ["1"],
    "score": ["orders.csv", "scores"],
}
NAMED = ("approve", "rollback", "releases show")
"""These take the environment as an option."""

SPEC = """version: 1
service: shop
usecase: recommendation
environments:
  local: {cloud: local}
  qa: {cloud: aws, account: "123456789012", region: eu-west-1, state: s3://never-made-before}
  other: {cloud: aws, account: "999999999999", region: us-east-1, state: s3://of-account-nine}
"""


def list_verbs(typed: typer.Typer, before: str = "") -> Iterator[tuple[str, list[str]]]:
    """Every verb and its parameters' names."""
    for command in typed.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__
        yield f"{before}{name}", list(inspect.signature(command.callback).parameters)
    for group in typed.registered_groups:
        assert group.typer_instance is not None
        yield from list_verbs(group.typer_instance, f"{before}{group.name} ")


VERBS = dict(list_verbs(application()))
AT_A_CLOUD = sorted(set(VERBS) - set(NOT_AT_A_CLOUD))
READING = [verb for verb in AT_A_CLOUD if verb not in WRITING]


def test_the_lists_name_verbs_that_there_are() -> None:
    assert WRITING | set(NOT_AT_A_CLOUD) | set(ARGUMENTS) <= set(VERBS)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    root = tmp_path_factory.mktemp("home")
    local = LocalCloud(Home(root, root / "cache"), host=SPEAKING)
    local.ensure()
    yield local
    local.stop()


@pytest.fixture
def project(cloud: LocalCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that the command line takes up in this process, whose AWS variables lead to the local cloud."""
    (tmp_path / "ecomdeploy.yaml").write_text(SPEC)
    (tmp_path / "orders.csv").write_text("household\n1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ECOMDEPLOY_HOME", str(cloud.home.root))
    monkeypatch.setenv("ECOMDEPLOY_CACHE", str(cloud.home.cache))
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    return tmp_path


def type_in(verb: str, environment: str) -> int:
    """Type it for that environment, agreeing to everything; the exit code."""
    line = [*verb.split(), *ARGUMENTS.get(verb, [])]
    if "environment" in VERBS[verb]:
        line += ["--environment", environment] if verb in NAMED else [environment]
    return app.run([*line, *(["--yes"] if "yes" in VERBS[verb] else [])])


@pytest.mark.parametrize("environment", ["local", "qa"])
@pytest.mark.parametrize("verb", READING)
def test_a_reading_verb_makes_no_mutating_call(
    verb: str, environment: str, cloud: LocalCloud, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = cloud.operations()
    mutating = cloud.counts()["mutating"]
    code = type_in(verb, environment)
    made = {name for name, count in cloud.operations().items() if count > before.get(name, 0)}
    assert cloud.counts()["mutating"] == mutating, made
    said = capsys.readouterr().err
    assert "ecomdeploy.yaml:" not in said, "it came as far as the cloud"
    assert code in (0, 1, 2, 5), "2: nothing is deployed yet; 5: this machine has no Pulumi CLI or plug-in"


@pytest.mark.parametrize("verb", [verb for verb in AT_A_CLOUD if "environment" in VERBS[verb]])
def test_nothing_is_asked_of_another_account(
    verb: str, cloud: LocalCloud, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever the credentials belong to is the first question; the answer ends it."""
    before = cloud.operations()
    code = type_in(verb, "other")
    made = {name for name, count in cloud.operations().items() if count > before.get(name, 0)}
    assert made == {"sts:GetCallerIdentity"}
    assert "the spec is for account 999999999999" in capsys.readouterr().err
    assert code == 5
