"""`ci policy`: the least that IAM must allow whoever deploys one service, or the platform of its environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from infra.deployer.platform import PlatformScope, list_platform_reading, list_platform_shipping
from infra.deployer.service import (
    DeployerScope,
    find_issuer,
    list_reading,
    list_removing,
    list_shipping,
)
from infra.deployer.state import Statement, keys_of, split_state
from infra.names import partition_of
from infra.spec import GovernanceSpec
from stacks.spec import Spec

TASKS: Mapping[str, tuple[Callable[[DeployerScope], list[Statement]], ...]] = {
    "plan": (list_reading,),
    "deploy": (list_reading, list_shipping),
    "remove": (list_reading, list_shipping, list_removing),
}
"""What each may: each more than the one before."""
PLATFORM_TASKS: Mapping[str, tuple[Callable[[PlatformScope], list[Statement]], ...]] = {
    "platform-plan": (list_platform_reading,),
    "platform": (list_platform_reading, list_platform_shipping),
}


def list_tasks() -> list[str]:
    return [*TASKS, *PLATFORM_TASKS]


def write_policy(spec: Spec, task: str) -> dict[str, Any]:
    """A policy document, its statements' names unique."""
    asked, place = spec.governance, place_of(spec)
    parts: list[tuple[str, list[Statement]]]
    if task in PLATFORM_TASKS:
        platform = PlatformScope(service=spec.service, **place)
        parts = [(part.__name__, part(platform)) for part in PLATFORM_TASKS[task]]
    else:
        more = {**list_governance(asked), "network": spec.serve.network is not None}
        more["training"] = spec.model.trained_elsewhere
        scope = DeployerScope(service=spec.service, **more, **place)
        parts = [(part.__name__, part(scope)) for part in TASKS[task]]
    return {"Version": "2012-10-17", "Statement": list(name_statements(parts))}


def name_statements(parts: Sequence[tuple[str, list[Statement]]]) -> list[Statement]:
    words = {"list_reading": "Read", "list_shipping": "Ship", "list_removing": "Remove"}
    named = (
        (words.get(name, name.removeprefix("list_").title().replace("_", "")), each) for name, each in parts
    )
    return [{**one, "Sid": f"{name}{one['Sid']}"} for name, each in named for one in each]


def list_governance(asked: GovernanceSpec) -> dict[str, Any]:
    """The fields of DeployerScope that follow from what a base has besides."""
    pipeline, made = asked.pipeline, asked.pipeline and asked.pipeline.make_provider
    return {
        "pipeline": pipeline is not None,
        "issuer": find_issuer(pipeline.issuer) if pipeline and made else "",
        "budget": asked.monthly_budget is not None,
    }


def place_of(spec: Spec) -> dict[str, Any]:
    """The fields of DeployerPlace."""
    place, boundary = spec.environment, spec.governance.permissions_boundary
    bucket, prefix = split_state(place.state or "")
    return {
        "environment": place.name,
        "account": place.account,
        "region": place.region,
        "partition": partition_of(place.region),
        "state": bucket,
        "prefix": prefix,
        "secrets": keys_of(place.secrets or ""),
        "boundaries": (boundary,) if boundary else (),
    }
