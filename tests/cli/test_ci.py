"""Pipelines as they are written, judged by the providers' own linters, and the comment that they leave."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from allowed_actions import allowed_actions
from comment_server import CommentServer, serve_comments
from ruamel.yaml import YAML

from cli.app import run
from cli.ci.comments import describe, find_discussion, post
from cli.ci.pipelines import find_services, list_providers, render
from modelpack.errors import BadInput, CloudRefused
from tests.cli.actionlint.build import ACTIONLINT

SPEC = """\
version: 1
service: {service}
usecase: recommendation
environments:
  staging: {{cloud: aws, account: "111111111111", region: eu-west-1, state: s3://shop-staging}}
  prod: {{cloud: aws, account: "222222222222", region: us-east-1, state: s3://shop-prod}}
"""
PINNED = re.compile(r"uses: (?!\./)(\S+)(.*)")


@pytest.fixture(
    params=[{".": "shop"}, {"services/recs": "recs", "services/fraud": "fraud"}], ids=["one", "many"]
)
def repository_of_shop(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / ".git").mkdir()
    for folder, service in request.param.items():
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "ecomdeploy.yaml").write_text(SPEC.format(service=service))
    return tmp_path


def written(root: Path, provider: str) -> list[Path]:
    assert run(["ci", "init", provider, "-C", str(root)]) == 0
    return [one.path for one in render(provider, find_services(root, "staging", "prod"), root)]


def load(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text())


@pytest.fixture(scope="session")
def actionlint() -> Path:
    if not ACTIONLINT.can_be_had():
        pytest.skip("actionlint is built from Go modules, and there is no go")
    return ACTIONLINT.build()


def test_github_accepts_the_workflows(repository_of_shop: Path, actionlint: Path) -> None:
    workflows = [
        one
        for provider in ("github", "pulumi")
        for one in written(repository_of_shop, provider)
        if one.parent.name == "workflows"
    ]
    done = subprocess.run(
        [actionlint, "-no-color", *workflows],
        cwd=repository_of_shop,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_linter_would_complain(repository_of_shop: Path, actionlint: Path) -> None:
    workflow = next(one for one in written(repository_of_shop, "github") if one.parent.name == "workflows")
    workflow.write_text(workflow.read_text().replace("needs: rehearse", "needs: nothing"))
    assert subprocess.run([actionlint, workflow], cwd=repository_of_shop, capture_output=True).returncode == 1


def test_gitlab_accepts_the_pipelines(repository: Path, repository_of_shop: Path) -> None:
    schema = json.loads((repository / "tests/cli/gitlab_schema/ci.json").read_text())
    pipelines = [one for one in written(repository_of_shop, "gitlab") if one.suffix == ".yml"]
    assert len(pipelines) >= 2
    checker = jsonschema.validators.validator_for(schema)(schema)
    for one in pipelines:
        assert [error.message for error in checker.iter_errors(load(one))] == []
    broken = load(pipelines[1])
    next(job for job in broken.values() if "stage" in job)["stage"] = 7
    assert list(checker.iter_errors(broken))


@pytest.mark.parametrize("provider", ["codepipeline", "roles"])
def test_cloudformation_accepts_the_template(repository_of_shop: Path, provider: str) -> None:
    from cfnlint.api import lint_file

    templates = [one for one in written(repository_of_shop, provider) if one.suffix == ".yml"]
    assert templates
    for one in templates:
        assert [str(found) for found in lint_file(one)] == []
    templates[0].write_text(templates[0].read_text().replace("Type: AWS::IAM::Role", "Type: AWS::IAM::Roll"))
    assert lint_file(templates[0])


@pytest.mark.parametrize("provider", [one for one in list_providers() if one != "roles"])
def test_no_job_compiles_what_it_does_not_import(repository_of_shop: Path, provider: str) -> None:
    """pulumi-aws alone is 3,000 files: pip would compile all of them, in each job."""
    lines = [line for one in written(repository_of_shop, provider) for line in one.read_text().splitlines()]
    installs = [line for line in lines if "pip install" in line]
    assert installs
    assert [line for line in installs if "--no-compile" not in line] == []


READING = re.compile(
    r"[a-z0-9-]+:(Get|List|Describe|BatchGet|BatchCheck)\w*\*?|kms:Decrypt|sagemaker:InvokeEndpoint"
    r"|budgets:ViewBudget"
)


def test_the_role_that_plans_can_only_read_and_no_role_may_everything(repository_of_shop: Path) -> None:
    template = next(one for one in written(repository_of_shop, "roles") if one.suffix == ".yml")
    assert [one for one in allowed_actions(template, "plan") if not READING.fullmatch(one)] == []
    shipping = allowed_actions(template, "deploy") - allowed_actions(template, "plan")
    assert not any(re.fullmatch(r"(\w|-)*:?\*", one) for one in shipping)
    assert {one for one in shipping if one.startswith("iam:")} == {
        "iam:CreateRole", "iam:CreateServiceLinkedRole", "iam:DeleteRolePolicy", "iam:PassRole", "iam:PutRolePolicy",
        "iam:TagRole", "iam:UntagRole",
    }  # fmt: skip


def test_github_jobs_have_few_rights_and_pinned_actions(repository_of_shop: Path) -> None:
    for path in written(repository_of_shop, "github"):
        text = path.read_text()
        wrong = [
            name for name, note in PINNED.findall(text)
            if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name) or "# v" not in note
        ]  # fmt: skip
        assert wrong == []
        document = load(path) if path.parent.name == "workflows" else {"jobs": {}, "permissions": {}}
        assert document["permissions"] == {}
        for name, job in document["jobs"].items():
            uses = [step.get("uses", "") for step in job["steps"]]
            has_role = any("configure-aws-credentials" in one for one in uses)
            assert ("id-token" in job["permissions"]) == has_role, name
            assert set(job["permissions"].values()) <= {"read", "write"}
            assert job["permissions"]["contents"] == "read"
            assert has_role or name == "rehearse"
            assert job["timeout-minutes"]
            # what somebody wrote into a branch or a title never becomes a command
            assert not any("${{" in step.get("run", "") for step in job["steps"]), name


def test_no_two_ship_to_one_place_at_once(repository_of_shop: Path) -> None:
    groups = []
    for path in written(repository_of_shop, "github"):
        if path.parent.name == "workflows":
            jobs = load(path)["jobs"]
            for name in ("staging", "production"):
                assert jobs[name]["concurrency"]["cancel-in-progress"] is False
                assert jobs[name]["environment"]
                groups.append(jobs[name]["concurrency"]["group"])
    assert len(groups) == len(set(groups))
    for path in written(repository_of_shop, "gitlab"):
        shipping = [
            job for job in (load(path) if path.parent.name == ".gitlab" else {}).values()
            if any("ecomdeploy up " in line and "up --yes" not in line for line in job.get("script", ()))
        ]  # fmt: skip
        assert all(job["resource_group"] and job["environment"] for job in shipping)


def test_each_service_looks_at_its_own_folder(repository_of_shop: Path) -> None:
    for path in written(repository_of_shop, "github"):
        if path.parent.name == "workflows":
            document, service = load(path), path.stem.removeprefix("ecomdeploy-")
            folder = document["defaults"]["run"]["working-directory"]
            below = "" if folder == "." else f"{folder}/"
            assert folder in (".", f"services/{service}")
            assert document["on"]["push"]["paths"][0] == f"{below}**"


def test_another_account_is_read_by_its_own_role(repository_of_shop: Path) -> None:
    for provider in ("github", "gitlab"):
        text = "".join(one.read_text() for one in written(repository_of_shop, provider))
        assert re.search(
            r"--from staging --from-role arn:aws:iam::111111111111:role/ecomdeploy-\w+-staging-plan", text
        )
    spec = next(repository_of_shop.rglob("ecomdeploy.yaml"))
    spec.write_text(spec.read_text().replace("222222222222", "111111111111"))
    service = next(
        one for one in find_services(repository_of_shop, "staging", "prod")
        if repository_of_shop / one.folder == spec.parent
    )  # fmt: skip
    assert "--from-role" not in "".join(one.text for one in render("github", [service], repository_of_shop))


@pytest.mark.parametrize("provider", list_providers())
def test_what_was_written_is_compared(
    repository_of_shop: Path, provider: str, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = written(repository_of_shop, provider)
    assert run(["ci", "check", "-C", str(repository_of_shop)]) == 0
    own = paths[0].parent / "requirements.txt"
    own = next((one for one in paths if one.name == "requirements.txt"), own)
    own.write_text("ecomdeploy @ git+https://git.example.com/ml/ecomdeploy\n")
    assert run(["ci", "check", "-C", str(repository_of_shop)]) == 0
    changed = next(one for one in paths if "ci init" in one.read_text())
    changed.write_text(changed.read_text() + "# by hand\n")
    capsys.readouterr()
    assert run(["ci", "check", "-C", str(repository_of_shop)]) == 1
    told = capsys.readouterr()
    assert "-# by hand" in told.out
    assert f"ecomdeploy ci init {provider} --staging staging --production prod --force" in told.err
    assert run(["ci", "init", provider, "-C", str(repository_of_shop)]) == 2
    assert "by hand" in changed.read_text()
    assert run(["ci", "init", provider, "--force", "-C", str(repository_of_shop)]) == 0
    assert "by hand" not in changed.read_text()
    assert "git.example.com" in own.read_text()


def test_what_cannot_be_written_is_refused(
    repository_of_shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, told in (
        (["init", "nonsense"], "unknown provider 'nonsense'"),
        (["init", "githob", "--production", "nowhere"], "did you mean 'github'?"),
        (["init", "github", "--production", "nowhere"], "or name another: --production ENV"),
        (["check"], "no pipeline that ecomdeploy wrote"),
    ):
        assert run(["ci", *words, "-C", str(repository_of_shop)]) == 2
        assert told in capsys.readouterr().err
    assert not (repository_of_shop / ".github").exists()


def test_two_services_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "ecomdeploy.yaml").write_text(SPEC.format(service="shop"))
    with pytest.raises(BadInput, match="two services are called shop"):
        find_services(tmp_path, "staging", "prod")


PLAN: dict[str, Any] = {
    "format": "ecomdeploy plan 1",
    "service": "shop",
    "environment": "staging",
    "live": 3,
    "release": 4,
    "pack": "sha256:abc",
    "notes": ["release 4 takes over | <!-- from --> `3`"],
    "changes": [
        {
            "urn": "urn:pulumi:s::p::aws:sagemaker/model:Model::a|b",
            "op": "create",
            "keys": ["image"],
            "replaces": [],
        }
    ],
}


def test_a_plan_is_told_in_markdown() -> None:
    text = describe([PLAN, {**PLAN, "environment": "prod", "release": None, "changes": []}])
    assert text.startswith("<!-- ecomdeploy plan of shop -->\n### shop\n")
    assert "**staging**: release 4 takes over from 3; 1 created" in text
    assert "| create | `aws:sagemaker/model:Model` | `a\\|b` | image |" in text
    assert "**prod**: release 3 stays; no resource changes" in text
    many = describe([{**PLAN, "changes": PLAN["changes"] * 500}])
    assert "440 more" in many
    assert len(many) < 60_000, "GitHub takes 65,536 characters"


@pytest.fixture
def server() -> Iterator[CommentServer]:
    with serve_comments() as found:
        yield found


def variables(provider: str, server: CommentServer) -> dict[str, str]:
    if provider == "github":
        return {
            "GITHUB_REF": "refs/pull/7/merge",
            "GITHUB_API_URL": server.url,
            "GITHUB_REPOSITORY": "shop/models",
            "GITHUB_TOKEN": server.token,
        }
    return {
        "CI_MERGE_REQUEST_IID": "7",
        "CI_API_V4_URL": server.url,
        "CI_PROJECT_ID": "3",
        "ECOMDEPLOY_COMMENT_TOKEN": server.token,
    }


@pytest.mark.parametrize("strangers", [0, 1, 100, 230])
@pytest.mark.parametrize("provider", ["github", "gitlab"])
def test_a_comment_is_updated_and_not_repeated(server: CommentServer, provider: str, strangers: int) -> None:
    """However many others wrote before it: lists come in pages."""
    server.comments = dict.fromkeys(range(1, strangers + 1), "nice")
    place = find_discussion(variables(provider, server))
    with httpx.Client() as client:
        first = post(client, place, describe([PLAN]))
        server.comments |= {strangers + 2: "thanks", strangers + 3: describe([{**PLAN, "service": "other"}])}
        again = post(client, place, describe([{**PLAN, "release": 5}]))
    assert first == again == str(strangers + 1)
    assert len(server.comments) == strangers + 3
    assert "release 5 takes over" in server.comments[strangers + 1]
    assert "other" in server.comments[strangers + 3]


@pytest.mark.parametrize("provider", ["github", "gitlab"])
def test_a_token_that_may_not_is_told(server: CommentServer, provider: str) -> None:
    place = find_discussion(
        {name: value.replace("t0ken", "no") for name, value in variables(provider, server).items()}
    )
    with httpx.Client() as client, pytest.raises(CloudRefused, match="401"):
        post(client, place, describe([PLAN]))


def test_without_a_request_or_a_token_there_is_nowhere_to_write(server: CommentServer) -> None:
    with pytest.raises(BadInput, match="no pipeline of a pull or merge request"):
        find_discussion({"GITHUB_REF": "refs/heads/main"})
    for provider in ("github", "gitlab"):
        given = {name: value for name, value in variables(provider, server).items() if "TOKEN" not in name}
        with pytest.raises(BadInput, match="TOKEN is not set"):
            find_discussion(given)
