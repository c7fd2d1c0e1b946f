"""How much of a quota is used now, counted by what stands. What is on its way is not counted: AWS refuses that itself.

Never more than AWS counts: a number that is too high would refuse what AWS would not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from infra.aws_session import AwsSession
from infra.quotas.catalogue import ELASTIC_IPS, ENDPOINT_USAGE, NAT_GATEWAYS, VCPUS, VPCS, family_of
from infra.quotas.quota import QuotaDemand
from infra.targets.sagemaker.observe import describe

AT_ONCE = 8
TYPES_AT_ONCE = 100
"""https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceTypes.html"""


def count_used(session: AwsSession, demand: QuotaDemand) -> int:
    """Raises botocore's errors, and `KeyError` for a quota that nobody counts."""
    if demand.service == "sagemaker":
        return count_instances(session.client("sagemaker"), demand.name.removesuffix(ENDPOINT_USAGE))
    return COUNTS[demand.code](session.client("ec2"), demand)


def count_instances(api: Any, instance: str) -> int:
    """Instances of that type behind the region's endpoints."""
    names = [
        one["EndpointName"]
        for page in api.get_paginator("list_endpoints").paginate(PaginationConfig={"PageSize": 100})
        for one in page["Endpoints"]
        if one["EndpointStatus"] not in ("Failed", "Deleting")
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return sum(pool.map(lambda name: count_at(api, name, instance), names))


def count_at(api: Any, endpoint: str, instance: str) -> int:
    """Instances of that type behind one endpoint; it may be gone by now."""
    seen = describe(api, "describe_endpoint", EndpointName=endpoint) or {}
    variants = [*seen.get("ProductionVariants", ()), *seen.get("ShadowProductionVariants", ())]
    if not variants:
        return 0
    name = seen["EndpointConfigName"]
    configuration = describe(api, "describe_endpoint_config", EndpointConfigName=name) or {}
    types = {
        one["VariantName"]: one.get("InstanceType")
        for key in ("ProductionVariants", "ShadowProductionVariants")
        for one in configuration.get(key, ())
    }
    return sum(
        int(one.get("CurrentInstanceCount") or 0)
        for one in variants
        if types.get(one["VariantName"]) == instance
    )


def count_vpcs(ec2: Any, demand: QuotaDemand) -> int:
    return sum(1 for _ in pages(ec2, "describe_vpcs", "Vpcs"))


def count_addresses(ec2: Any, demand: QuotaDemand) -> int:
    return len(ec2.describe_addresses()["Addresses"])


def count_gateways(ec2: Any, demand: QuotaDemand) -> int:
    """NAT gateways of the demand's zone."""
    subnets = {one["SubnetId"]: one["AvailabilityZone"] for one in pages(ec2, "describe_subnets", "Subnets")}
    return sum(
        1
        for one in pages(ec2, "describe_nat_gateways", "NatGateways")
        if one["State"] in ("pending", "available") and subnets.get(one["SubnetId"]) == demand.zone
    )


def count_vcpus(ec2: Any, demand: QuotaDemand) -> int:
    """vCPUs of what runs of the families that the quota is for."""
    families, spot = VCPUS[demand.code]
    running = Counter(
        one["InstanceType"]
        for reservation in pages(ec2, "describe_instances", "Reservations")
        for one in reservation["Instances"]
        if one["State"]["Name"] in ("pending", "running")
        and family_of(one["InstanceType"]) in families
        and one.get("InstanceLifecycle") == ("spot" if spot else None)
        # Dedicated hosts have quotas of their own, as capacity blocks have.
        and one.get("Placement", {}).get("Tenancy") != "host"
    )
    names = sorted(running)
    types = [
        one
        for begin in range(0, len(names), TYPES_AT_ONCE)
        for one in ec2.describe_instance_types(InstanceTypes=names[begin : begin + TYPES_AT_ONCE])[
            "InstanceTypes"
        ]
    ]
    return sum(running[one["InstanceType"]] * one["VCpuInfo"]["DefaultVCpus"] for one in types)


def pages(ec2: Any, operation: str, field: str) -> Iterator[Mapping[str, Any]]:
    for page in ec2.get_paginator(operation).paginate():
        yield from page[field]


COUNTS: Mapping[str, Callable[[Any, QuotaDemand], int]] = {
    VPCS.code: count_vpcs,
    ELASTIC_IPS.code: count_addresses,
    NAT_GATEWAYS.code: count_gateways,
    **dict.fromkeys(VCPUS, count_vcpus),
}
