"""What a version leaves in a project is read by all that come after it, the stacks' states and the lock included.

`earlier_projects/<when>/<project>` is as `ecomdeploy` of that day left it on a local cloud, but for its Pulumi history,
all golden requests except the first of each release, and the names of the machine and its user; `state` is
`.ecomdeploy/local`, the passphrase as well. `shop` is on SageMaker, with a platform: two releases, one that failed, a
rollback. `store` is on KServe: two releases and a rollback. A later day's go beside them, and these stay as they are.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typed import Terminal

from cli import app
from infra.lookup.base import FakeResourceLookup
from infra.rehearsal.engine.commands.command import EmbeddedPulumiCommand
from infra.rehearsal.providers.aws.provider import AwsProviders
from modelpack.assembly.assemble import read_packages
from modelpack.errors import BadInput, EcomdeployError
from modelpack.image.parts import Wheel
from modelpack.inputs import lock
from stacks.pulumi_driver.automation import AutomationDriver
from stacks.pulumi_driver.converged import ConvergedStates
from stacks.pulumi_driver.driver import Stack, read_claim
from stacks.records.ledger import Ledger
from stacks.records.owner import read_owner
from stacks.records.store import FolderStore
from tests.stacks.test_ledger import clock

EARLIER = Path(__file__).parent / "earlier_projects"
PROJECTS = sorted(path for path in EARLIER.glob("*/*") if path.is_dir())
HISTORY = {
    "shop": [
        (1, "superseded", None, "sagemaker"),
        (2, "rolled-back", None, "sagemaker"),
        (3, "failed", None, "sagemaker"),
        (4, "live", 1, "sagemaker"),
    ],
    "store": [
        (1, "superseded", None, "kserve"),
        (2, "rolled-back", None, "kserve"),
        (3, "live", 1, "kserve"),
    ],
}
OUTPUTS = {
    "base": {"repository_url", "repository_name", "bucket", "role_arn"},
    "service": {"endpoint", "revisions"},
    "platform": {"cluster", "vpc_id", "private_subnets", "node_groups"},
}


@pytest.fixture(params=PROJECTS, ids=lambda path: f"{path.parent.name}-{path.name}")
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy."""
    return copy_project(request.param, tmp_path)


def copy_project(kept: Path, folder: Path) -> Path:
    shutil.copytree(kept, folder / kept.name)
    (folder / kept.name / ".ecomdeploy").mkdir()
    (folder / kept.name / "state").rename(folder / kept.name / ".ecomdeploy" / "local")
    return folder / kept.name


def stacks_of(project: Path) -> list[Stack]:
    """Those that there is a state of."""
    files = (project / ".ecomdeploy/local/pulumi/.pulumi/stacks").glob("*/*.json")
    return [Stack(file.parent.name.removeprefix("ecomdeploy-"), file.stem) for file in files]  # type: ignore[arg-type]


def test_there_are_both_targets() -> None:
    assert {path.name for path in PROJECTS} == set(HISTORY)


def test_its_releases_are_told_without_a_cloud(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ECOMDEPLOY_HOME", str(tmp_path / "home"))
    assert app.run(["releases", "--json", "--project", str(project)]) == 0
    told = json.loads(capsys.readouterr().out)
    wanted = [(number, state, restores) for number, state, restores, _ in HISTORY[project.name]]
    assert [(each["number"], each["state"], each["restores"]) for each in told] == wanted
    assert not (tmp_path / "home").exists()


def test_its_records_are_read(project: Path) -> None:
    store = FolderStore(project / ".ecomdeploy" / "local")
    ledger = Ledger(store, clock, "ledger/", project.name)
    releases = ledger.releases()
    told = [(each.number, str(each.state), each.restores, each.serving.target) for each in releases]
    assert told == HISTORY[project.name]
    assert all(each.pack.golden and each.pack.tolerance and each.pack.content_digest for each in releases)
    assert [each.number for each in ledger.list_retained()] == [2]
    owner = read_owner(store)
    assert owner is not None
    assert (owner.folder, owner.host) == (f"/home/ada/{project.name}", "desk")
    assert read_claim(store)["kind"] == "embedded"
    for stack in stacks_of(project):
        if stack.program == "platform":
            continue
        record = json.loads((store.root / "stacks" / f"{stack.program}-{stack.name}.json").read_bytes())
        outputs = ConvergedStates(store, lambda: record["generation"]).outputs(stack)  # noqa: B023
        assert outputs is not None
        assert OUTPUTS[stack.program] <= outputs.keys()


def test_the_states_of_its_stacks_are_read_with_its_passphrase(project: Path) -> None:
    folder = project / ".ecomdeploy" / "local" / "pulumi"
    driver = AutomationDriver(
        "embedded engine",
        "embedded",
        folder,
        folder.as_uri(),
        {},
        lambda: EmbeddedPulumiCommand(AwsProviders(), environment={}),
        FakeResourceLookup(),
    )
    stacks = stacks_of(project)
    assert {stack.program for stack in stacks} == {"base", "service"} | (
        {"platform"} if project.name == "shop" else set()
    )
    for stack in stacks:
        outputs = driver.outputs(stack)
        assert outputs is not None
        assert OUTPUTS[stack.program] <= outputs.keys()
    serving = driver.outputs(Stack("service", f"{project.name}-local"))
    releases = Ledger(FolderStore(folder.parent), clock, "ledger/", project.name).releases()
    assert serving is not None
    assert releases[-1].key in serving["revisions"], "keys are computed as they were"


def test_its_lock_is_read(project: Path) -> None:
    found = lock.read(project)
    assert found.verdict is not None
    assert found.debs is not None
    assert found.wheels is not None
    assert {"numpy", "onnxruntime"} <= {one.name for one in read_packages(Wheel, found.wheels.content)}


def test_a_lock_of_a_newer_version_is_refused(project: Path) -> None:
    file = project / "pack.lock"
    file.write_text(file.read_text().replace(f'"format": {lock.FORMAT}', f'"format": {lock.FORMAT + 1}'))
    with pytest.raises(BadInput, match=f"lock of format {lock.FORMAT + 1}") as refused:
        lock.read(project)
    assert str(file) in str(refused.value)
    assert "update this one" in refused.value.hint


@pytest.mark.parametrize(
    ("version", "words"), [(4, "newer Pulumi has written: use the Pulumi CLI"), (2, "recover|cp '")]
)
def test_a_state_of_another_version_is_refused(version: int, words: str, project: Path) -> None:
    folder = project / ".ecomdeploy" / "local" / "pulumi"
    file = folder / f".pulumi/stacks/ecomdeploy-base/{project.name}-local.json"
    file.write_text(file.read_text().replace('"version": 3', f'"version": {version}', 1))
    driver = AutomationDriver(
        "embedded engine",
        "embedded",
        folder,
        folder.as_uri(),
        {},
        lambda: EmbeddedPulumiCommand(AwsProviders(), environment={}),
        FakeResourceLookup(),
    )
    with pytest.raises(EcomdeployError, match=words) as refused:
        driver.outputs(Stack("base", f"{project.name}-local"))
    assert str(file) in str(refused.value)


@pytest.mark.slow
def test_plan_status_rollback_and_down_go_on_from_there(tmp_path: Path) -> None:
    """On a cloud in which nothing of it is: all of it is named as missing, and taken out of the state in the end."""
    kept = next(path for path in PROJECTS if path.name == "shop")
    shop = Terminal(copy_project(kept, tmp_path), tmp_path / "home")
    try:
        ahead = shop.type("plan", "--json").json
        assert {"Role", "Bucket", "Repository", "Key", "Endpoint"} <= {
            change["urn"].split("::")[2].rpartition(":")[2]
            for change in ahead["changes"]
            if change["op"] == "create"
        }
        assert ahead["live"] == 4
        found = shop.type("status", "--json", expect=4).json
        assert (found["release"], found["restores"], found["verified"]) == (4, 1, False)
        refused = shop.type("rollback", "1", "--yes", expect=2)
        assert "release 1 is what serves now" in refused.err
        assert "image" in shop.type("rollback", "2", "--yes", expect=None).err
        platform = shop.type("platform", "plan", "--json").json["changes"]
        assert sum(change["op"] == "create" for change in platform) > 40
        down = shop.type("down", "--all", "--yes", "--json").json
        assert (down["state"], down["remaining"]) == ("removed", [])
        assert shop.type("releases", "--json").json[0]["state"] == "removed"
    finally:
        shop.end()
