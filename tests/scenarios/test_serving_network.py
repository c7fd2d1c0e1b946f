"""A service in the platform's own network: what is missing is said at its line, it moves in and out as a release does,
and the platform does not go from under it."""

from __future__ import annotations

from typing import Any

import pytest
from iam_policies import is_allowed
from platform_calls import list_platform_requests
from typed import Terminal

pytestmark = pytest.mark.slow

OURS = [{"Name": "tag:ecomdeploy:managed-by", "Values": ["ecomdeploy"]}]
SERVICES = {"ecr.api", "ecr.dkr", "logs", "monitoring", "s3", "sagemaker.runtime", "secretsmanager", "ssm"}


@pytest.mark.nightly(
    like="tests/stacks/test_serving_network.py::test_out_is_a_release_and_back_is_a_rollback"
)
def test_a_service_moves_into_the_platforms_network_and_out_again(shop: Terminal) -> None:
    spec = shop.folder / "ecomdeploy.yaml"
    spec.write_text(f"{spec.read_text()}\nplatform: {{flow_logs: rejected}}\n")
    shop.edit(r"^serve:$", "serve:\n  network: platform")
    place = (
        f"ecomdeploy.yaml:{1 + spec.read_text().splitlines().index('  network: platform')}: serve.network: "
    )
    refused_without_a_place_to_stand(shop, place)

    asked = shop.type("ci", "policy", "--for", "platform").json
    placed = bring_up(shop)
    a_gateway_that_was_deleted_comes_back(shop)
    shop.type("up", "--json")
    assert list_places(shop) == [placed]
    assert shop.type("plan", "--json").json["changes"] == []
    before = shop.counts()["mutating"]
    assert shop.type("up", "--json").json["outcome"] == "nothing to do"
    assert shop.counts()["mutating"] == before

    out_and_back(shop, placed)
    the_platform_stays(shop)
    shop.type("down", "--json")
    shop.type("platform", "down", "--yes", "--json")
    assert list_networks(shop) == []
    requests = list_platform_requests(
        set(shop.operations()) & PLATFORMS, "local", "123456789012", "us-east-1"
    )
    assert {(one.action, one.resource) for one in requests if not is_allowed(one, asked)} == set()
    assert "there is no platform of local" in shop.type("plan", expect=2).err


PLATFORMS = {
    *("ec2:AuthorizeSecurityGroupEgress", "ec2:CreateSecurityGroup", "ec2:DeleteSecurityGroup"),
    *("ec2:DescribeSecurityGroupRules", "ec2:RevokeSecurityGroupEgress", "tagging:GetResources"),
    *("sagemaker:DescribeModel", "sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig"),
}
"""What the network for model servers adds to what a platform's deployer asks."""


def list_networks(shop: Terminal) -> list[str]:
    ec2 = shop.client("ec2")
    groups = ec2.describe_security_groups(Filters=OURS)["SecurityGroups"]
    return [one["VpcId"] for one in (*ec2.describe_vpcs(Filters=OURS)["Vpcs"], *groups)]


def refused_without_a_place_to_stand(shop: Terminal, place: str) -> None:
    """By `plan` and by `up`, before anything is made; first without a platform, then without room in it."""
    what = f"{place}there is no platform of local (platform: {{serving: true}}, then ecomdeploy platform up)"
    assert what in shop.type("plan", expect=2).err
    assert what in shop.type("up", expect=2).err
    assert shop.client("ecr").describe_repositories()["repositories"] == []
    shop.type("platform", "up", "--yes", "--json")
    assert f"{place}the platform of local has no network for model servers" in shop.type("plan", expect=2).err


def bring_up(shop: Terminal) -> dict[str, Any]:
    """The place that the platform makes, as a Model names it; its rules are as promised."""
    shop.edit("platform: {", "platform: {serving: true, ")
    shop.type("platform", "up", "--yes", "--json")
    assert shop.type("platform", "plan", "--json").json["changes"] == []
    ec2 = shop.client("ec2")
    (group,) = [
        one
        for one in ec2.describe_security_groups(Filters=OURS)["SecurityGroups"]
        if one["GroupName"] == "ecomdeploy-local-serving"
    ]
    assert group["IpPermissions"] == []
    out = {(one["IpProtocol"], one["FromPort"], one["ToPort"]) for one in group["IpPermissionsEgress"]}
    assert out == {("tcp", 443, 443)}
    assert all(not one["IpRanges"] for one in group["IpPermissionsEgress"])
    (gateway,) = ec2.describe_prefix_lists(
        Filters=[{"Name": "prefix-list-name", "Values": ["com.amazonaws.us-east-1.s3"]}]
    )["PrefixLists"]
    lists = [each["PrefixListId"] for one in group["IpPermissionsEgress"] for each in one["PrefixListIds"]]
    peers = [each["GroupId"] for one in group["IpPermissionsEgress"] for each in one["UserIdGroupPairs"]]
    assert lists == [gateway["PrefixListId"]]
    endpoints = ec2.describe_vpc_endpoints(Filters=OURS)["VpcEndpoints"]
    assert {one["ServiceName"].removeprefix("com.amazonaws.us-east-1.") for one in endpoints} == SERVICES
    interfaces = [one for one in endpoints if one["VpcEndpointType"] == "Interface"]
    assert {tuple(each["GroupId"] for each in one["Groups"]) for one in interfaces} == {tuple(peers)}
    subnets = [
        one["SubnetId"]
        for one in ec2.describe_subnets(Filters=OURS)["Subnets"]
        if not one["MapPublicIpOnLaunch"]
    ]
    assert len(subnets) == 2
    assert {tuple(sorted(one["SubnetIds"])) for one in interfaces} == {tuple(sorted(subnets))}
    found = {"Subnets": sorted(subnets), "SecurityGroupIds": [group["GroupId"]]}
    (told,) = [note for note in shop.type("plan", "--json").json["notes"] if "network" in note]
    assert told.startswith("model servers stand in the platform's network: ")
    assert all(one in told for one in (*subnets, group["GroupId"]))
    return found


def a_gateway_that_was_deleted_comes_back(shop: Terminal) -> None:
    """With the address that it had."""
    ec2 = shop.client("ec2")
    (address,) = ec2.describe_addresses()["Addresses"]
    (gateway,) = ec2.describe_nat_gateways()["NatGateways"]
    ec2.delete_nat_gateway(NatGatewayId=gateway["NatGatewayId"])
    changes = shop.type("platform", "plan", "--json").json["changes"]
    assert {one["urn"].rpartition("::")[2] for one in changes} >= {"ecomdeploy-local-network-nat"}
    shop.type("platform", "up", "--yes", "--json")
    assert shop.type("platform", "plan", "--json").json["changes"] == []
    (now,) = [one for one in ec2.describe_nat_gateways()["NatGateways"] if one["State"] == "available"]
    assert now["NatGatewayAddresses"][0]["AllocationId"] == address["AllocationId"]


def list_places(shop: Terminal) -> list[dict[str, Any] | None]:
    """Where the Model of what serves is."""
    api = shop.client("sagemaker")
    name = api.describe_endpoint(EndpointName="shop-local")["EndpointConfigName"]
    variants = api.describe_endpoint_config(EndpointConfigName=name)["ProductionVariants"]
    found = [api.describe_model(ModelName=one["ModelName"]).get("VpcConfig") for one in variants]
    return [one and {**one, "Subnets": sorted(one["Subnets"])} for one in found]


def out_and_back(shop: Terminal, placed: dict[str, Any]) -> None:
    """A release each, and a rollback between; nothing else of the service changes."""
    shop.edit(r"  network: platform", "  network: null")
    foreseen = shop.type("plan", "--json").json
    assert "model servers leave the network that they are in" in foreseen["notes"]
    assert foreseen["release"] == 2
    shop.type("up", "--json")
    assert list_places(shop) == [None]
    back = shop.type("rollback", "--json").json
    assert (back["outcome"], back["restores"]) == ("rolled back", 1)
    assert list_places(shop) == [placed]
    shop.edit(r"  network: null", "  network: platform")
    assert shop.type("plan", "--json").json["release"] is None
    assert shop.type("status", "--json").json["verified"]


def the_platform_stays(shop: Terminal) -> None:
    """AWS would refuse it halfway, when the way to its services is gone."""
    said = "model servers stand in it: shop-local (serves from there)"
    before = shop.counts()["mutating"]
    assert said in shop.type("platform", "down", "--yes", expect=2).err
    assert said in shop.type("platform", "down", "--yes", "--shared", expect=2).err
    shop.edit("serving: true", "serving: false")
    assert "(platform.serving)" in shop.type("platform", "plan", expect=2).err
    assert said in shop.type("platform", "up", "--yes", expect=2).err
    shop.edit("serving: false", "zones: [us-east-1a, us-east-1c], serving: true")
    assert "us-east-1b would go (platform.zones)" in shop.type("platform", "up", "--yes", expect=2).err
    shop.edit(r"zones: \[us-east-1a, us-east-1c\], ", "")
    assert shop.counts()["mutating"] == before
    assert shop.type("status", "--json").json["verified"]
