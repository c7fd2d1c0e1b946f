"""The pipelines that `ci init` writes, run: every line of their shell, each job in a fresh clone of a repository.

The local cloud is in the place of both accounts. A pull request with a model that is not worth shipping, one with a
good one, the merge, the promotion on a machine that never saw the model, a quiet night, and a night after somebody
changed something by hand.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from allowed_actions import allowed_actions, find_refused
from comment_server import CommentServer, serve_comments
from pipelines import GitHub, GitLab, Provider, Ran, Runner
from typed import Terminal

pytestmark = [pytest.mark.slow, pytest.mark.network]


@pytest.mark.nightly(like="tests/cli/test_ci.py::test_github_accepts_the_workflows")
@pytest.mark.parametrize("provider", [GitHub("shop"), GitLab("shop")], ids=["github", "gitlab"])
def test_from_a_pull_request_to_a_night_with_drift(
    shop: Terminal, provider: Provider, tmp_path: Path
) -> None:
    shop.edit(r"^  # prod:(.|\n)*", "  staging: {cloud: local}\n  prod: {cloud: local}\n")
    for name in (type(provider).__name__.lower(), "roles"):
        shop.type("ci", "init", name)
    a_lock_that_is_not_committed_is_told(shop)
    origin = publish(shop)
    runner = Runner(origin=origin, root=tmp_path / "ci", state=tmp_path / "state", variables=shop.environment)
    for folder in (runner.root, runner.state):
        folder.mkdir()
    with serve_comments() as comments:

        def run(event: str, branch: str = "main") -> dict[str, Ran]:
            """All jobs of an event, until one fails."""
            ended: dict[str, Ran] = {}
            jobs = provider.jobs(runner.clone(branch, "read"), event)
            assert jobs
            for job in jobs:
                if "production" in job.name:
                    forget(shop)
                if not any(ended[one].code for one in ended if one in job.needs):
                    ended[job.name] = runner.run(job, branch, provider.variables(event, comments.url))
            return ended

        if isinstance(provider, GitHub):  # GitLab's job types the very same commands
            a_bad_model_stops_before_anybody_has_a_role(run, comments)
        a_good_one_is_planned_in_one_comment(run, comments)
        before = operations(shop)
        promoted = the_merge_is_staged_and_promoted(runner, run)
        asked = {name for name, count in operations(shop).items() if count > before.get(name, 0)}
        roles = shop.folder / "ecomdeploy-roles.yml"
        assert find_refused(asked, allowed_actions(roles, "deploy")) == []
        assert "sagemaker:CreateEndpoint" in find_refused(asked, allowed_actions(roles, "plan"))
        if isinstance(provider, GitHub):
            a_quiet_night(run)
        a_night_after_somebody_changed_something(shop, run, promoted)


def a_lock_that_is_not_committed_is_told(shop: Terminal) -> None:
    """And written, so that it can be."""
    lock = shop.folder / "pack.lock"
    committed = lock.read_bytes()
    lock.unlink()
    told = shop.type("pack", "--check", expect=2).err
    assert "pack.lock: was not there; it is written now" in told
    assert lock.read_bytes() == committed
    lock.write_text(committed.decode().replace("{", "{ ", 1))
    assert "is not what these inputs give" in shop.type("pack", "--check", expect=2).err
    shop.type("pack", "--check")


def forget(shop: Terminal) -> None:
    """What was packed here was packed on another machine: the registry has it, and nobody else."""
    for name in ("images", "packs", "locked"):
        if (shop.home / name).exists():
            (shop.home / name).rename(tempfile.mkdtemp(dir=shop.home.parent) + "/away")


def operations(shop: Terminal) -> dict[str, int]:
    """What the local cloud was asked, and how often."""
    from infra.rehearsal.cloud.client import LocalCloud
    from modelpack.home import Home

    return LocalCloud(Home(shop.home, shop.home / "cache")).operations()


def publish(shop: Terminal) -> Path:
    """The project as a repository with two branches: what main has, and a model that knows nothing."""
    (shop.folder / "requirements.txt").write_text("ecomdeploy\n")
    git(shop.folder, "init", "--quiet", "--initial-branch", "main")
    commit(shop.folder, "A recommender")
    git(shop.folder, "checkout", "--quiet", "-b", "bad")
    write_bad_model(shop)
    shop.edit(r"^  train: .*", "  path: bad.safetensors")
    commit(shop.folder, "A model that knows nothing")
    git(shop.folder, "checkout", "--quiet", "main")
    return shop.folder


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "--all")
    git(
        folder,
        "-c",
        "user.name=Shop",
        "-c",
        "user.email=shop@example.com",
        "commit",
        "--quiet",
        "-m",
        message,
    )


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


def write_bad_model(shop: Terminal) -> None:
    """The trained model's tables, filled with noise."""
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    trained = find_trained(shop)
    with safe_open(trained, "pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    torch.manual_seed(7)
    worse = {name: torch.randn_like(one) if one.is_floating_point() else one for name, one in weights.items()}
    save_file(worse, shop.folder / "bad.safetensors", metadata)


def find_trained(shop: Terminal) -> Path:
    from modelpack.home import Home
    from modelpack.inputs.resolve import PackRequest, resolve
    from modelpack.inputs.spec import ModelSpec, PackSpec, TrainSpec

    model = ModelSpec(train=TrainSpec(epochs=1, architecture="one-stage"))
    inputs = resolve(PackRequest("recommendation", model, PackSpec(), "ml.c7i.xlarge", shop.folder))
    trained = Home(shop.home, Path(shop.environment["ECOMDEPLOY_CACHE"])).models
    return trained / f"{inputs.training_digest.removeprefix('sha256:')}.safetensors"


def a_bad_model_stops_before_anybody_has_a_role(run: Any, comments: CommentServer) -> None:
    ended = run("pull", "bad")
    (rehearsal,) = ended.values()
    assert rehearsal.code == 1, rehearsal.said
    assert "the model is not ahead of what it must beat" in rehearsal.said, rehearsal.said
    assert comments.comments == {}


def a_good_one_is_planned_in_one_comment(run: Any, comments: CommentServer) -> None:
    ended = run("pull")
    assert [(one.name, one.code) for one in ended.values() if one.code] == [], said(ended)
    assert len(ended) == 2
    (comment,) = comments.comments.values()
    assert "**staging**: release 1 is the first" in comment
    assert "aws:sagemaker/endpoint:Endpoint" in comment


def the_merge_is_staged_and_promoted(runner: Runner, run: Any) -> dict[str, Any]:
    """The machines that promote never saw the model: no image, no pack."""
    ended = run("push")
    assert len(ended) == 3, said(ended)
    assert all(one.code == 0 for one in ended.values()), said(ended)
    staged, promoted = (
        json.loads(next((runner.root / "artifacts").rglob(f"release-{name}.json")).read_text())
        for name in ("staging", "prod")
    )
    assert (staged["verified"], promoted["verified"]) == (True, True)
    assert promoted["image"].partition("@")[2] == staged["image"].partition("@")[2]
    assert promoted["image"] != staged["image"]
    (release,) = json.loads(read(runner, "releases", "prod", "--json"))
    assert release["proven"]["environment"] == "staging"
    assert release["proven"]["image"] == staged["image"]
    return dict(promoted)


def a_quiet_night(run: Any) -> None:
    quiet = run("schedule")
    assert len(quiet) == 2
    assert all(one.code == 0 for one in quiet.values()), said(quiet)


def a_night_after_somebody_changed_something(shop: Terminal, run: Any, promoted: dict[str, Any]) -> None:
    alarms = shop.client("cloudwatch")
    names = [one["AlarmName"] for one in alarms.describe_alarms()["MetricAlarms"]]
    gone = [name for name in names if promoted["endpoint"] in name]
    assert gone
    alarms.delete_alarms(AlarmNames=gone)
    found = run("schedule")
    assert {("prod" in one.name): one.code for one in found.values()} == {False: 0, True: 10}, said(found)
    assert "aws:cloudwatch/metricAlarm:MetricAlarm" in said(found)


def read(runner: Runner, *words: str) -> str:
    """What a command says in a clone."""
    done = subprocess.run(
        [Path(sys.executable).with_name("ecomdeploy"), *words],
        cwd=runner.clone("main", "look"),
        env={**os.environ, **runner.variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def said(ended: dict[str, Ran]) -> str:
    return "\n".join(f"{one.name}: {one.code}\n{one.said}" for one in ended.values())
