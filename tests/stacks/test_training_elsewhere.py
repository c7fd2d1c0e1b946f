"""A model that a job trains: what the spec may say, what the base has for it, and when the base comes up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import declared
import jsonschema
import pytest
from iam_policies import Request, is_allowed
from ruamel.yaml import YAML

from cli.catalogs import known_names
from cli.ci.policy import write_policy
from infra.components.role import training_policy
from modelpack.errors import BadInput
from modelpack.inputs.spec import ModelSpec, TrainSpec
from modelpack.progress import Progress
from stacks import ship
from stacks.adapters.builder import PackBuilder
from stacks.collaborators import FakeBuilder
from stacks.reading.load import load, schema
from stacks.records.release import Packed
from stacks.run import Run
from stacks.settings import base_settings
from stacks.wanted import Wanted

HEAD = "version: 1\nservice: shop\nusecase: fraud\nmodel:\n  train: "
ACCOUNT = "123456789012"
PLACE = {"environment": "prod", "cloud": "aws", "region": "eu-west-1", "account": ACCOUNT}


def read(folder: Path, train: str, more: str = "", environment: str = "local") -> TrainSpec | None:
    (folder / "ecomdeploy.yaml").write_text(f"{HEAD}{train}\n{more}")
    return load(folder / "ecomdeploy.yaml", environment, known_names()).model.train


def test_a_job_is_asked_for_in_one_line(tmp_path: Path) -> None:
    text = (
        "{epochs: 2, on: sagemaker, instance: ml.c7i.2xlarge, spot: true, max_seconds: 3600, max_wait: 7200}"
    )
    found = read(tmp_path, text)
    assert found == TrainSpec(
        epochs=2, on="sagemaker", instance="ml.c7i.2xlarge", spot=True, max_seconds=3600, max_wait=7200
    )
    assert found.options == TrainSpec(epochs=2).options, "where it is trained decides nothing"
    jsonschema.validate(YAML(typ="safe", pure=True).load(f"{HEAD}{text}\n"), schema())


def test_an_environment_trains_elsewhere(tmp_path: Path) -> None:
    more = "environments:\n  there: {cloud: local, model: {train: {on: sagemaker}}}\n"
    assert read(tmp_path, "{epochs: 2}", more) == TrainSpec(epochs=2)
    assert read(tmp_path, "{epochs: 2}", more, "there") == TrainSpec(epochs=2, on="sagemaker")


@pytest.mark.parametrize(
    ("train", "more", "words"),
    [
        ("{spot: true}", "", "5: model.train.spot: is of a training job, and this trains here"),
        ("{on: local, instance: ml.c7i.large}", "", "model.train.instance: is of a training job"),
        ("{on: kubernetes}", "", "model.train.on: expected"),
        (
            "{on: sagemaker, instance: c7i.large}",
            "",
            "model.train.instance: is no instance type of SageMaker",
        ),
        ("{on: sagemaker, max_seconds: 5}", "", "model.train.max_seconds"),
        ("{on: sagemaker, max_wait: 3600}", "", "model.train.max_wait: is of a spot training"),
        (
            "{on: sagemaker, spot: true, max_seconds: 3600, max_wait: 600}",
            "",
            "model.train.max_wait: is less than model.train.max_seconds",
        ),
        ("{on: sagemaker}", "data: {from: orders}\n", "model.train.on: brings data.path to the job"),
        (
            "{on: sagemaker}",
            "serve: {target: kserve}\nenvironments: {local: {cloud: cluster, context: c, registry: r.example/x}}\n",
            "model.train.on: needs AWS",
        ),
    ],
)
def test_what_the_file_may_not_say(tmp_path: Path, train: str, more: str, words: str) -> None:
    with pytest.raises(BadInput) as refused:
        read(tmp_path, train, more)
    assert words in str(refused.value)


@dataclass
class NotingBuilder(FakeBuilder):
    """Notes what of the base it is given."""

    given: list[Mapping[str, Any] | None] = field(default_factory=list)

    def build(
        self, wanted: Wanted, progress: Progress, *, regate: bool, base: Mapping[str, Any] | None = None
    ) -> Packed:
        self.given.append(base)
        return super().build(wanted, progress, regate=regate, base=base)


@pytest.mark.parametrize("on", ["local", "sagemaker"])
def test_the_base_comes_first_where_a_job_trains(world: Any, spec_of: Any, on: Any) -> None:
    deps = world.process("one")
    builder = NotingBuilder(deps.builder.pack)
    spec = replace(spec_of(), model=ModelSpec(train=TrainSpec(on=on)))
    outcome = ship.up(replace(deps, builder=builder), spec)
    assert outcome.verified
    [base] = builder.given
    assert bool(base) is (on == "sagemaker")
    assert base_settings(Run.of(deps, spec).wanted, None).get("training") == (
        "training" if on == "sagemaker" else None
    )


def test_without_a_base_the_error_says_what_makes_one(world: Any, spec_of: Any, tmp_path: Path) -> None:
    spec = replace(spec_of(), model=ModelSpec(train=TrainSpec(on="sagemaker")))
    wanted = Run.of(world.process("one"), spec).wanted
    builder = PackBuilder(home=Any, project=tmp_path)  # type: ignore[arg-type]
    for base in (None, {}, {"bucket": "of-an-earlier-release"}):
        with pytest.raises(BadInput, match="needs a repository") as refused:
            builder.find_place(wanted, base)
        assert "ecomdeploy up" in refused.value.hint
    here = replace(spec, model=ModelSpec())
    assert builder.find_place(Run.of(world.process("one"), here).wanted, None) is None


def test_the_base_has_a_role_for_jobs_where_one_trains() -> None:
    settings = {**PLACE, "service": "shop", "bucket": "shop-prod-1", "target": "sagemaker", "log_days": 30}
    without = declared.program("base", settings, stack="shop-prod")
    assert "shop-prod-training" not in [one.inputs.get("name") for one in without.custom()]
    given = declared.program("base", {**settings, "training": "training"}, stack="shop-prod")
    [role] = [one for one in given.of("Role") if one.inputs["name"] == "shop-prod-training"]
    assert "sagemaker.amazonaws.com" in str(role.inputs["assumeRolePolicy"])


def test_the_role_reaches_the_jobs_folder_and_no_more() -> None:
    document = json.loads(
        training_policy(
            repository_arn=f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/shop-prod",
            folder="records/training",
            key_arn=f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1",
            region="eu-west-1",
            account=ACCOUNT,
        )
    )

    def may(action: str, resource: str) -> bool:
        return is_allowed(Request(action, resource), document)

    for action in ("s3:GetObject", "s3:PutObject"):
        assert may(action, "arn:aws:s3:::records/training/abc/output/job/output/model.tar.gz")
        assert not may(action, "arn:aws:s3:::records/releases/shop/1.json")
    assert not may("s3:DeleteObject", "arn:aws:s3:::records/training/abc")
    assert may("ecr:BatchGetImage", f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/shop-prod")
    assert not may("ecr:BatchGetImage", f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/other")
    assert not may("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/shop-prod-training")


def test_whoever_ships_may_make_such_jobs(tmp_path: Path) -> None:
    more = f"environments:\n  prod: {{cloud: aws, account: '{ACCOUNT}', region: eu-west-1, state: s3://of-shop}}\n"
    job = f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:training-job/shop-prod-train-0123456789ab-1"
    role = f"arn:aws:iam::{ACCOUNT}:role/shop-prod-training"
    passed = {"iam:PassedToService": "sagemaker.amazonaws.com"}
    for train, may in (("{epochs: 1}", False), ("{on: sagemaker}", True)):
        (tmp_path / "ecomdeploy.yaml").write_text(f"{HEAD}{train}\n{more}")
        spec = load(tmp_path / "ecomdeploy.yaml", "prod", known_names())
        document = write_policy(spec, "deploy")
        assert is_allowed(Request("sagemaker:CreateTrainingJob", job), document) is may
        assert is_allowed(Request("iam:PassRole", role, passed), document) is may
        assert not is_allowed(Request("sagemaker:CreateTrainingJob", job.replace("shop-prod", "x")), document)
