"""A NAT gateway that goes leaves its address, which is free for another."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError


@pytest.mark.usefixtures("empty")
def test_the_address_of_a_deleted_gateway_is_kept_and_free(aws: Any) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteNatGateway.html"""
    ec2 = aws("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/24")["Subnet"]["SubnetId"]
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]

    def make() -> str:
        made = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address)
        return str(made["NatGateway"]["NatGatewayId"])

    first = make()
    assert "AssociationId" in ec2.describe_addresses(AllocationIds=[address])["Addresses"][0]
    with pytest.raises(ClientError, match="AlreadyAssociated"):
        make()
    ec2.delete_nat_gateway(NatGatewayId=first)
    assert "AssociationId" not in ec2.describe_addresses(AllocationIds=[address])["Addresses"][0]
    assert make() != first
