"""What is deleted of a network is gone, with its tags."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError


def tag(kind: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": "for", "Value": "a test"}]}]


@pytest.mark.usefixtures("empty")
def test_tags_go_with_what_has_them(aws: Any) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html"""
    ec2 = aws("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16", TagSpecifications=tag("vpc"))["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/24", TagSpecifications=tag("subnet"))
    table = ec2.create_route_table(VpcId=vpc, TagSpecifications=tag("route-table"))["RouteTable"]
    group = ec2.create_security_group(
        GroupName="one", Description="one", VpcId=vpc, TagSpecifications=tag("security-group")
    )
    gateway = ec2.create_internet_gateway(TagSpecifications=tag("internet-gateway"))["InternetGateway"]
    address = ec2.allocate_address(Domain="vpc", TagSpecifications=tag("elastic-ip"))["AllocationId"]
    template = ec2.create_launch_template(
        LaunchTemplateName="one",
        LaunchTemplateData={"InstanceType": "g6.xlarge"},
        TagSpecifications=tag("launch-template"),
    )["LaunchTemplate"]
    endpoint = ec2.create_vpc_endpoint(
        VpcId=vpc,
        ServiceName="com.amazonaws.us-east-1.s3",
        VpcEndpointType="Gateway",
        RouteTableIds=[table["RouteTableId"]],
        TagSpecifications=tag("vpc-endpoint"),
    )["VpcEndpoint"]["VpcEndpointId"]
    ours = [{"Name": "key", "Values": ["for"]}]
    assert len(ec2.describe_tags(Filters=ours)["Tags"]) == 8

    ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint])
    ec2.release_address(AllocationId=address)
    ec2.delete_launch_template(LaunchTemplateId=template["LaunchTemplateId"])
    ec2.delete_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"])
    ec2.delete_security_group(GroupId=group["GroupId"])
    ec2.delete_route_table(RouteTableId=table["RouteTableId"])
    ec2.delete_subnet(SubnetId=subnet["Subnet"]["SubnetId"])
    ec2.delete_vpc(VpcId=vpc)
    assert ec2.describe_tags(Filters=ours)["Tags"] == []


@pytest.mark.usefixtures("empty")
def test_an_endpoint_that_was_deleted_is_gone(aws: Any) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteVpcEndpoints.html"""
    ec2 = aws("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    made = ec2.create_vpc_endpoint(
        VpcId=vpc, ServiceName="com.amazonaws.us-east-1.s3", VpcEndpointType="Gateway"
    )["VpcEndpoint"]["VpcEndpointId"]
    ec2.delete_vpc_endpoints(VpcEndpointIds=[made])
    with pytest.raises(ClientError, match=r"InvalidVpcEndpointId\.NotFound"):
        ec2.describe_vpc_endpoints(VpcEndpointIds=[made])
    assert ec2.describe_vpc_endpoints()["VpcEndpoints"] == []
