"""Quotas as the local cloud has them, read by what reads AWS's."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.aws_session import AwsSession
from infra.quotas.catalogue import ELASTIC_IPS, NAT_GATEWAYS, VPCS, KnownQuota, vcpu_quota
from infra.quotas.platform import demand_of
from infra.quotas.quota import QuotaDemand, QuotaReading
from infra.quotas.reading import AwsQuotas
from infra.rehearsal.cloud.aws.quotas import KNOWN, WIDE
from infra.rehearsal.cloud.client import LocalCloud
from modelpack.errors import BadInput, CloudRefused

pytestmark = pytest.mark.usefixtures("empty")
NAME = "ml.g5.xlarge for endpoint usage"


@pytest.fixture
def quotas(cloud: LocalCloud) -> AwsQuotas:
    return AwsQuotas(AwsSession(cloud.environment()))


def read(quotas: AwsQuotas, quota: KnownQuota | str, **more: Any) -> QuotaReading:
    if isinstance(quota, str):
        demand = QuotaDemand(service="sagemaker", name=quota, amount=1, why="a release")
    else:
        demand = demand_of(quota, 1, "a platform", **more)
    (found,) = quotas.read([demand])
    assert found is not None
    return found


def test_a_quota_nobody_set_has_its_default_found_by_name(quotas: AwsQuotas) -> None:
    found = read(quotas, NAME)
    assert (found.name, found.limit, found.used, found.is_short) == (NAME, WIDE, 0, False)


def test_one_that_was_set_is_the_accounts_own(quotas: AwsQuotas, cloud: LocalCloud, aws: Any) -> None:
    told = cloud.set_quota(NAME, 2)
    found = read(quotas, NAME)
    assert (found.code, found.limit, found.name) == (told["code"], 2, told["name"])
    client = aws("service-quotas")
    (own,) = client.list_service_quotas(ServiceCode="sagemaker")["Quotas"]
    assert (own["QuotaName"], own["Value"]) == (NAME, 2)
    asked = client.request_service_quota_increase(
        ServiceCode="sagemaker", QuotaCode=found.code, DesiredValue=5.0
    )["RequestedQuota"]
    assert (asked["Status"], asked["DesiredValue"]) == ("APPROVED", 5)
    assert read(quotas, NAME).limit == 5


def test_all_defaults_come_in_pages(aws: Any) -> None:
    paginator = aws("service-quotas").get_paginator("list_aws_default_service_quotas")
    pages = list(paginator.paginate(ServiceCode="sagemaker"))
    names = [one["QuotaName"] for page in pages for one in page["Quotas"]]
    assert len(pages) > 1
    assert NAME in names
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", ["ml.g99.xlarge for endpoint usage", ""])
def test_what_is_in_no_list_is_none(quotas: AwsQuotas, name: str) -> None:
    assert list(quotas.read([QuotaDemand(service="sagemaker", name=name, amount=1, why="")])) == [None]


def test_instances_of_endpoints_are_counted_by_their_type(
    quotas: AwsQuotas, cloud: LocalCloud, aws: Any
) -> None:
    for name in ("one", "two"):
        aws.release(name)
        aws.endpoint(f"shop-{name}", name)
    aws("sagemaker").update_endpoint_weights_and_capacities(
        EndpointName="shop-two",
        DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 3}],
    )
    assert read(quotas, NAME).used == 4
    assert read(quotas, "ml.g6.xlarge for endpoint usage").used == 0
    cloud.set_quota(NAME, 4)
    found = read(quotas, NAME)
    assert found.is_short
    assert found.describe().startswith(f"0 of 1 {NAME}: quota {found.code} is 4, 4 in use; ")
    aws.release("three")
    with pytest.raises(ClientError, match="is 4 Instances, with current utilization of 4 Inst") as caught:
        aws("sagemaker").create_endpoint(EndpointName="shop-three", EndpointConfigName="three")
    assert caught.value.response["Error"]["Code"] == "ResourceLimitExceeded"
    with pytest.raises(ClientError, match="request delta of 3 Instances"):
        aws("sagemaker").update_endpoint(
            EndpointName="shop-two", EndpointConfigName="three", RetainAllVariantProperties=True
        )


def test_a_networks_parts_are_counted(quotas: AwsQuotas, aws: Any) -> None:
    before = {
        quota: read(quotas, quota, zone="us-east-1a").used for quota in (VPCS, ELASTIC_IPS, NAT_GATEWAYS)
    }
    ec2 = aws("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/24", AvailabilityZone="us-east-1a")["Subnet"][
        "SubnetId"
    ]
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address)
    after = {quota: read(quotas, quota, zone="us-east-1a").used for quota in before}
    assert after == {quota: count + 1 for quota, count in before.items()}
    assert read(quotas, NAT_GATEWAYS, zone="us-east-1b").used == 0


def test_vcpus_are_those_of_the_family_that_run(quotas: AwsQuotas, aws: Any) -> None:
    on_demand, spot = vcpu_quota("g6.xlarge", spot=False), vcpu_quota("g6.xlarge", spot=True)
    assert on_demand is not None
    assert spot is not None
    image = aws("ec2").describe_images()["Images"][0]["ImageId"]
    aws("ec2").run_instances(ImageId=image, MinCount=2, MaxCount=2, InstanceType="g4dn.xlarge")
    aws("ec2").run_instances(ImageId=image, MinCount=1, MaxCount=1, InstanceType="m5.large")
    assert read(quotas, on_demand).used == 8
    assert read(quotas, spot).used == 0


def test_names_and_codes_are_the_same_on_both_sides() -> None:
    types = ("m5.large", "g6.xlarge", "p5.48xlarge")
    of_instances = {vcpu_quota(name, spot=spot) for name in types for spot in (True, False)} - {None}
    assert len(of_instances) == 5
    for one in {VPCS, ELASTIC_IPS, NAT_GATEWAYS, *of_instances}:
        assert one is not None
        assert KNOWN[one.service][one.code] == one.name


def test_moto_knows_the_vpcs_quotas_under_the_same_codes() -> None:
    from moto.servicequotas.resources.default_quotas.vpc import VPC_DEFAULT_QUOTAS

    known = {one["QuotaCode"]: one["QuotaName"] for one in VPC_DEFAULT_QUOTAS}
    assert {code: known[code] for code in KNOWN["vpc"]} == KNOWN["vpc"]


def test_who_may_not_read_them_is_told_so(quotas: AwsQuotas, cloud: LocalCloud) -> None:
    cloud.plant(
        {"kind": "api-error", "operation": "ListServiceQuotas", "code": "AccessDeniedException", "count": 9}
    )
    with pytest.raises(CloudRefused, match="asking for the account's quotas"):
        read(quotas, NAME)
    cloud.clear_faults()


@pytest.mark.parametrize(
    ("name", "value"), [("ml.none for endpoint usage", 1), (NAME, -1), (NAME, WIDE + 1), (NAME, True)]
)
def test_only_quotas_that_there_are_can_be_set(cloud: LocalCloud, name: str, value: Any) -> None:
    with pytest.raises(BadInput):
        cloud.set_quota(name, value)
