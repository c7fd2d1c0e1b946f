"""What every component promises: found by scanning, so that a new one is held to it without an edit here."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pathlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import declared
import pytest

import infra.components
import infra.targets
from infra.component import Component

ROOT = pathlib.Path(__file__).resolve().parents[2]
KEYS = ("project", "stack", "environment", "resource", "managed-by")
OWNER_ID = "0123456789ab"
IMAGE = "registry.test/shop-local@sha256:" + "a" * 64


def modules(package: Any) -> Iterator[str]:
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        yield module.name


def components() -> list[type[Component]]:
    for package in (infra.components, infra.targets):
        for name in modules(package):
            importlib.import_module(name)
    found, waiting = [], [Component]
    while waiting:
        children = [one for one in waiting.pop().__subclasses__() if one.__module__.startswith("infra.")]
        found += children
        waiting += children
    return sorted(found, key=lambda one: one.__name__)


@pytest.fixture(scope="module")
def everything() -> list[declared.Declaration]:
    """All three programs, with everything that settings can ask for, on either target."""
    return declare_all({})


@pytest.fixture(scope="module")
def owned() -> list[declared.Declaration]:
    """The same of an owner who has tags of their own."""
    return declare_all({"owner": OWNER_ID, "tags": {"team": "shop"}})


def declare_all(common: Mapping[str, Any]) -> list[declared.Declaration]:
    release = {"key": "a" * 12, "image": IMAGE, "instance": "ml.g6.xlarge", "count": 1, "initial": True}
    release["environment"] = {"ECOMDEPLOY_SECRET_KEY": "ssm:/ecomdeploy/shop-local/KEY/0123456789abcdef"}
    release["hosting"] = {
        "network": {"subnets": ["subnet-0a1b2c3d"], "security_groups": ["sg-0a1b2c3d"]},
        "capture": {"percent": 5},
    }
    shadow = {**release, "key": "b" * 12, "initial": False, "shadow_of": "a" * 12, "copied": 10}
    sale = {
        "name": "sale",
        "start": "2026-11-10T20:00:00+08:00",
        "end": "2999-11-12T02:00:00+08:00",
        "min": 3,
    }
    return [
        declared.program(
            "base",
            {
                **common,
                "service": "shop",
                "bucket": "shop-local-1",
                "cloud": "aws",
                "target": "sagemaker",
                "log_days": 30,
                "pipeline": {"issuer": "github", "repository": "org/shop"},
                "monthly_budget": {"usd": 500.0, "emails": ["ml@shop.example"]},
            },
        ),
        declared.program(
            "service",
            {
                **common,
                "service": "shop",
                "target": "sagemaker",
                "base": {"role_arn": "arn:aws:iam::123456789012:role/shop"},
                "scale": {"min": 1, "max": 4, "target_rps": 50.0, "schedule": [sale]},
                "alarms": {"error_rate": 0.01, "p99_ms": 50.0},
                "releases": [release],
            },
        ),
        declared.program(
            "platform",
            {
                **common,
                "name": "shop-local",
                "platform": {
                    "serving": True,
                    "gpu_pools": [
                        {"name": "g6", "instances": ["g6.xlarge"]},
                        {"name": "bursts", "instances": ["g6.xlarge"], "by": "karpenter"},
                    ],
                    "access": [{"principal": "arn:aws:iam::123456789012:role/ops", "policy": "admin"}],
                },
            },
        ),
        declared.program(
            "service",
            {
                **common,
                "service": "shop",
                "target": "kserve",
                "watched": True,
                "rules": True,
                "scale": {"min": 2, "max": 4},
                "releases": [{**release, "instance": "g6.xlarge"}],
            },
        ),
        declared.program(
            "service",
            {
                **common,
                "service": "steps",
                "target": "sagemaker",
                "base": {"role_arn": "arn:aws:iam::123456789012:role/shop"},
                "scale": {"min": 1, "max": 4, "steps": [{"over": 100.0, "add": 2}]},
                "releases": [release, shadow],
            },
        ),
    ]


@pytest.mark.parametrize("component", components(), ids=lambda one: one.__name__)
def test_arguments_are_named_and_typed(component: type[Component]) -> None:
    parameters = list(inspect.signature(component.__init__).parameters.values())
    assert [one.name for one in parameters[:2]] == ["self", "name"]
    assert all(one.kind is inspect.Parameter.KEYWORD_ONLY for one in parameters[2:])
    assert all(one.annotation is not inspect.Parameter.empty for one in parameters[1:])
    assert {"project_tags", "opts"} <= {one.name for one in parameters}


@pytest.mark.parametrize("component", components(), ids=lambda one: one.__name__)
def test_resources_are_kept_in_a_frozen_dataclass(component: type[Component]) -> None:
    kept = getattr(sys.modules[component.__module__], f"{component.__name__}Resources")
    assert dataclasses.is_dataclass(kept)
    assert vars(kept)["__dataclass_params__"].frozen
    assert all(one.kw_only for one in dataclasses.fields(kept))


@pytest.mark.parametrize("component", components(), ids=lambda one: one.__name__)
def test_every_component_is_part_of_a_program(
    component: type[Component], everything: list[declared.Declaration]
) -> None:
    """So the promises below are checked for it."""
    types = {one.type for declaration in everything for one in declaration.resources}
    assert f"ecomdeploy:infra:{component.type_name or component.__name__}" in types


def test_type_tokens_follow_one_pattern(everything: list[declared.Declaration]) -> None:
    own = {
        one.type
        for declaration in everything
        for one in declaration.resources
        if not one.custom and not one.type.startswith("pulumi:")
    }
    assert own
    assert all(re.fullmatch(r"ecomdeploy:infra:[A-Z][A-Za-z]+", token) for token in own)


def takes_tags(token: str) -> bool:
    """Whether pulumi-aws lets a resource of this type be tagged."""
    import pulumi_aws

    package, _, kind = token.removeprefix("aws:").partition("/")
    resource = getattr(getattr(pulumi_aws, package), kind.partition(":")[2])
    return "tags" in inspect.signature(resource._internal_init).parameters


def test_everything_that_can_be_is_tagged(everything: list[declared.Declaration]) -> None:
    checked = 0
    for declaration in everything:
        for resource in declaration.custom():
            if resource.type.startswith("kubernetes:"):
                labels = resource.inputs["metadata"]["labels"]
                assert labels["app.kubernetes.io/managed-by"] == "ecomdeploy", resource
                continue
            if not takes_tags(resource.type):
                continue
            tags = resource.inputs["tags"]
            assert [key for key in KEYS if not tags.get(f"ecomdeploy:{key}")] == [], resource
            assert tags["ecomdeploy:resource"] == resource.name
            checked += 1
    assert checked > 25


def test_who_owns_it_and_the_users_own_tags_are_on_everything_and_change_nothing_else(
    everything: list[declared.Declaration], owned: list[declared.Declaration]
) -> None:
    """A tag in a launch template's specifications would start all nodes anew: the owner's is not among them."""
    checked = 0
    for before, after in zip(everything, owned, strict=True):
        by_name = [sorted(one.custom(), key=lambda each: (each.type, each.name)) for one in (before, after)]
        for old, new in zip(*by_name, strict=True):
            assert (old.type, old.name) == (new.type, new.name)
            differing = {
                key for key in {**old.inputs, **new.inputs} if old.inputs.get(key) != new.inputs.get(key)
            }
            if not new.type.startswith("kubernetes:") and takes_tags(new.type):
                assert new.inputs["tags"] == {
                    **old.inputs["tags"],
                    "ecomdeploy:owner": OWNER_ID,
                    "team": "shop",
                }
                differing.remove("tags")
                checked += 1
            if new.type == "aws:ec2/launchTemplate:LaunchTemplate":
                differing.remove("tagSpecifications")
                for mine in new.inputs["tagSpecifications"]:
                    assert mine["tags"].pop("team") == "shop"
                assert new.inputs["tagSpecifications"] == old.inputs["tagSpecifications"]
            assert differing == set(), new
    assert checked > 25


def test_the_accounts_boundary_is_on_every_role_and_on_nothing_else(
    everything: list[declared.Declaration],
) -> None:
    bound = "arn:aws:iam::123456789012:policy/boundary"
    bounded = [one for each in declare_all({"permissions_boundary": bound}) for one in each.custom()]
    roles = [one for one in bounded if one.type == "aws:iam/role:Role"]
    assert len(roles) >= 5
    assert {one.inputs.get("permissionsBoundary") for one in roles} == {bound}
    assert sum("permissionsBoundary" in one.inputs for one in bounded) == len(roles)
    assert not any("permissionsBoundary" in one.inputs for each in everything for one in each.custom())


def test_everything_has_a_component_above_it_and_an_explicit_provider(
    everything: list[declared.Declaration],
) -> None:
    for declaration in everything:
        for resource in declaration.custom():
            assert "ecomdeploy:infra:" in resource.parent.split("::")[2].rpartition("$")[2], resource
            package = resource.type.partition(":")[0]
            assert f"pulumi:providers:{package}::{package}::" in resource.provider, resource


def test_names_are_unique_within_a_type(everything: list[declared.Declaration]) -> None:
    """Pulumi's identity leaves the names of parents out, and what a kill left is found by type and name."""
    for declaration in everything:
        names = [(one.type, one.name) for one in declaration.resources]
        assert len(set(names)) == len(names)


def test_importing_components_and_targets_loads_neither_pulumi_aws_nor_botocore() -> None:
    names = [*modules(infra.components), *modules(infra.targets)]
    code = (
        f"import sys, importlib\nfor name in {names!r}: importlib.import_module(name)\n"
        "heavy = {'pulumi_aws', 'pulumi_kubernetes', 'boto3', 'botocore', 'infra.rehearsal'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("program", "packages"),
    [
        ("base", {"kms", "ecr", "s3", "iam", "cloudwatch", "budgets"}),
        ("service", {"sagemaker", "cloudwatch", "appautoscaling", "ssm", "iam"}),
        ("platform", {"ec2", "eks", "iam", "kms", "cloudwatch", "vpc", "sqs", "kubernetes:karpenter.sh"}),
    ],
)
def test_a_program_uses_only_its_own_parts_of_pulumi_aws(
    program: str, packages: set[str], everything: list[declared.Declaration]
) -> None:
    place = ("base", "service", "platform").index(program)
    used = {one.type.removeprefix("aws:").partition("/")[0] for one in everything[place].custom()}
    assert used == packages


def test_a_network_needs_no_cluster() -> None:
    alone = declared.program("platform", {"name": "shop-local", "platform": {}})
    assert len(alone.of("Subnet")) == 4
    assert not alone.of("Cluster")
    assert "cluster" not in alone.outputs


def test_mypy_reads_every_service_that_is_used() -> None:
    """What is not named in pyproject.toml would be `Any`, and no wrong property would be seen."""
    overrides = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"]
    (named,) = [one["module"] for one in overrides if one.get("follow_imports") == "normal"]
    imports = re.compile(r"from pulumi_aws import (\([^)]*\)|.+)|(?:from|import) pulumi_aws\.(\w+)")
    used: set[str] = set()
    for room in ("cli", "stacks", "infra", "modelpack"):
        for file in (ROOT / room).rglob("*.py"):
            for several, one in imports.findall(file.read_text()):
                used |= {word for word in re.findall(r"[a-z]\w+", several) if word != "as"} | {one} - {""}
    assert len(used) > 8
    assert {f"pulumi_aws.{service}.*" for service in used} <= set(named)
