"""Whose model servers stand in a network, and what of it is not there, by what AWS's APIs say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from infra.aws_session import AwsSession
from infra.ground.residents import Resident, find_lacks, find_residents
from infra.hosting import ServingNetwork

NETWORK = ServingNetwork(subnets=("subnet-a", "subnet-b"), security_groups=("sg-a",))
HERE = {"Subnets": ["subnet-a", "subnet-b"], "SecurityGroupIds": ["sg-a"]}
ELSEWHERE = {"Subnets": ["subnet-c"], "SecurityGroupIds": ["sg-c"]}


@dataclass
class Cloud:
    """The few calls that are asked of it. `models`: their VpcConfig by name; `endpoints`: configurations, the second is
    where it is on its way to; a configuration has the name of its Model; `vpcs`: by subnet or group."""

    models: Mapping[str, Any] = field(default_factory=dict)
    endpoints: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    owners: Mapping[str, str] = field(default_factory=dict)
    vpcs: Mapping[str, str] = field(default_factory=dict)

    def client(self, service: str, **options: Any) -> Any:
        return self

    def get_paginator(self, operation: str) -> Any:
        assert operation == "get_resources"
        return self

    def paginate(self, **asked: Any) -> Iterator[Any]:
        """A thing a page."""
        kinds = (("model", self.models), ("endpoint", self.endpoints))
        for kind, name in ((kind, name) for kind, things in kinds for name in things):
            tags = {"ecomdeploy:project": self.owners.get(name, "shop"), "ecomdeploy:environment": "prod"}
            pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
            yield {
                "ResourceTagMappingList": [
                    {"ResourceARN": f"arn:aws:sagemaker:eu-west-1:123456789012:{kind}/{name}", "Tags": pairs}
                ]
            }

    def describe_model(self, *, ModelName: str) -> Any:
        if self.models[ModelName] == "gone":
            error = {"Code": "ValidationException", "Message": f'Could not find model "{ModelName}".'}
            raise ClientError({"Error": error}, "DescribeModel")
        return {"VpcConfig": self.models[ModelName]} if self.models[ModelName] else {}

    def describe_endpoint(self, *, EndpointName: str) -> Any:
        now, *then = self.endpoints[EndpointName]
        pending = {"PendingDeploymentSummary": {"EndpointConfigName": then[0]}} if then else {}
        return {"EndpointConfigName": now, **pending}

    def describe_endpoint_config(self, *, EndpointConfigName: str) -> Any:
        return {"ProductionVariants": [{"ModelName": EndpointConfigName}]}

    def describe_subnets(self, *, Filters: Any) -> Any:
        return {"Subnets": [{"SubnetId": one, "VpcId": vpc} for one, vpc in self.found(Filters)]}

    def describe_security_groups(self, *, Filters: Any) -> Any:
        return {"SecurityGroups": [{"GroupId": one, "VpcId": vpc} for one, vpc in self.found(Filters)]}

    def found(self, filters: Any) -> list[tuple[str, str]]:
        return [(one, self.vpcs[one]) for one in filters[0]["Values"] if one in self.vpcs]


def residents(**cloud: Any) -> tuple[Resident, ...]:
    return find_residents(cast("AwsSession", Cloud(**cloud)), NETWORK)


def test_who_serves_from_there_and_who_has_earlier_releases_there() -> None:
    models = {"new": HERE, "old": None, "other": HERE, "free": None, "far": ELSEWHERE, "left": "gone"}
    owners = {"other": "search", "search-prod": "search", "free": "search", "far": "fraud"}
    endpoints = {"shop-prod": ("new",), "search-prod": ("free",)}
    assert residents(models=models, owners=owners, endpoints=endpoints) == (
        Resident(service="search-prod", models=("other",), serves=False),
        Resident(service="shop-prod", models=("new",), serves=True),
    )


def test_who_is_on_the_way_there_serves_from_there() -> None:
    (one,) = residents(models={"new": HERE, "old": None}, endpoints={"shop-prod": ("old", "new")})
    assert one.serves


def test_one_subnet_is_enough_to_stand_there() -> None:
    placed = {"Subnets": ["subnet-b", "subnet-z"], "SecurityGroupIds": ["sg-z"]}
    assert [one.models for one in residents(models={"new": placed})] == [("new",)]


@pytest.mark.parametrize(
    ("vpcs", "lacks"),
    [
        ({"subnet-a": "vpc-1", "subnet-b": "vpc-1", "sg-a": "vpc-1"}, ()),
        ({"subnet-a": "vpc-1", "sg-a": "vpc-1"}, ("there is no subnet subnet-b",)),
        ({"subnet-a": "vpc-1", "subnet-b": "vpc-1"}, ("there is no security group sg-a",)),
        (
            {"subnet-a": "vpc-1", "subnet-b": "vpc-1", "sg-a": "vpc-2"},
            ("they are of different VPCs: subnet-a of vpc-1, subnet-b of vpc-1, sg-a of vpc-2",),
        ),
    ],
)
def test_what_is_not_there_or_does_not_belong_together(vpcs: dict[str, str], lacks: tuple[str, ...]) -> None:
    assert find_lacks(cast("AwsSession", Cloud(vpcs=vpcs)), NETWORK) == lacks
