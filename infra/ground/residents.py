"""Which model servers stand in a network, and whether there is all of it that they need. Reading calls only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from infra.aws_session import AwsSession, error_code, refusals
from infra.hosting import ServingNetwork

OURS = "ecomdeploy:managed-by"
PROJECT, ENVIRONMENT = "ecomdeploy:project", "ecomdeploy:environment"
KINDS = ["sagemaker:model", "sagemaker:endpoint"]


@dataclass(frozen=True, kw_only=True)
class Resident:
    """A service whose Models are placed in a network. `serves`: its endpoint is on one of them, or on its way there."""

    service: str
    models: tuple[str, ...]
    serves: bool


def find_residents(session: AwsSession, network: ServingNetwork) -> tuple[Resident, ...]:
    """Of ours, by their tags: those with a subnet or a group of the network, by name ("shop-prod").

    Raises:
        CloudRefused, EcomdeployError: the cloud did not say.
    """
    with refusals("looking for the model servers in the platform's network"):
        tagged = list(list_tagged(session))
        names = {kind: [one for one in tagged if one[0] == kind] for kind in ("model", "endpoint")}
        api = session.client("sagemaker")
        placed: dict[str, list[str]] = {}
        for _, model, service in names["model"]:
            if stands_in(ask(api.describe_model, ModelName=model), network):
                placed.setdefault(service, []).append(model)
        serving = {
            service
            for _, endpoint, service in names["endpoint"]
            if placed.get(service) and not placed_models(api, endpoint).isdisjoint(placed[service])
        }
    return tuple(
        Resident(service=service, models=tuple(sorted(models)), serves=service in serving)
        for service, models in sorted(placed.items())
    )


def list_tagged(session: AwsSession) -> Iterator[tuple[str, str, str]]:
    """Kind, name and service of our Models and endpoints."""
    pages = session.client("resourcegroupstaggingapi").get_paginator("get_resources")
    ours = [{"Key": OURS, "Values": ["ecomdeploy"]}]
    for page in pages.paginate(TagFilters=ours, ResourceTypeFilters=KINDS):
        for one in page["ResourceTagMappingList"]:
            kind, _, name = one["ResourceARN"].split(":", 5)[5].partition("/")
            tags = {each["Key"]: each["Value"] for each in one["Tags"]}
            yield kind, name, f"{tags.get(PROJECT, name)}-{tags.get(ENVIRONMENT, '')}".rstrip("-")


def ask(call: Any, **arguments: str) -> Mapping[str, Any]:
    """What a Describe call answers; nothing of what is gone by now, which SageMaker says in words."""
    from botocore.exceptions import ClientError

    try:
        answer: Mapping[str, Any] = call(**arguments)
        return answer
    except ClientError as error:
        if error_code(error) == "ValidationException" and "could not find" in str(error).lower():
            return {}
        raise


def stands_in(model: Mapping[str, Any], network: ServingNetwork) -> bool:
    placed = model.get("VpcConfig") or {}
    return bool(
        set(placed.get("Subnets", ())) & set(network.subnets)
        or set(placed.get("SecurityGroupIds", ())) & set(network.security_groups)
    )


def placed_models(api: Any, endpoint: str) -> set[str]:
    """The Models of the configurations that it is on and on its way to."""
    seen = ask(api.describe_endpoint, EndpointName=endpoint)
    both = (seen, seen.get("PendingDeploymentSummary") or {})
    configurations = [one["EndpointConfigName"] for one in both if one.get("EndpointConfigName")]
    return {
        variant["ModelName"]
        for name in configurations
        for variant in ask(api.describe_endpoint_config, EndpointConfigName=name).get(
            "ProductionVariants", ()
        )
    }


def find_lacks(session: AwsSession, network: ServingNetwork) -> tuple[str, ...]:
    """What of it is not there, or does not belong together, in words.

    Raises:
        CloudRefused, EcomdeployError: the cloud did not say.
    """
    ec2 = session.client("ec2")
    with refusals("looking at the subnets and security groups of serve.network"):
        subnets = ec2.describe_subnets(Filters=by("subnet-id", network.subnets))["Subnets"]
        groups = ec2.describe_security_groups(Filters=by("group-id", network.security_groups))[
            "SecurityGroups"
        ]
    vpcs = {one["SubnetId"]: one["VpcId"] for one in subnets} | {
        one["GroupId"]: one["VpcId"] for one in groups
    }
    lacking = [f"there is no subnet {one}" for one in network.subnets if one not in vpcs]
    lacking += [f"there is no security group {one}" for one in network.security_groups if one not in vpcs]
    if len(set(vpcs.values())) > 1:
        lacking.append(
            f"they are of different VPCs: {', '.join(f'{one} of {vpc}' for one, vpc in vpcs.items())}"
        )
    return tuple(lacking)


def by(name: str, values: Iterable[str]) -> list[dict[str, Any]]:
    return [{"Name": name, "Values": list(values)}]
