"""Amazon EC2: internet gateway, elastic IP, NAT gateway."""

from __future__ import annotations

from infra.rehearsal.engine.provider import ProviderError, Values
from infra.rehearsal.providers.aws.ec2.tags import create_tagged, find_by_tags, tag
from infra.rehearsal.providers.aws.property_types import text
from infra.rehearsal.providers.aws.resource import Reading, ResourceCall, ResourceType, Update
from infra.tags import tag_map


def _find_attached(call: ResourceCall) -> str:
    gateway = call.api.describe_internet_gateways(InternetGatewayIds=[call.id])["InternetGateways"][0]
    return next((attachment["VpcId"] for attachment in gateway.get("Attachments", ())), "")


def _attach(call: ResourceCall) -> None:
    """Attached to the wanted VPC and no other (a gateway has one VPC at most)."""
    wanted, there = call.inputs.get("vpcId", ""), _find_attached(call)
    if there and there != wanted:
        call.api.detach_internet_gateway(InternetGatewayId=call.id, VpcId=there)
    if wanted and there != wanted:
        call.api.attach_internet_gateway(InternetGatewayId=call.id, VpcId=wanted)


def _read_gateway(call: ResourceCall) -> Reading:
    gateway = call.api.describe_internet_gateways(InternetGatewayIds=[call.id])["InternetGateways"][0]
    outputs = {"arn": call.account.arn("ec2", f"internet-gateway/{call.id}"), "ownerId": gateway["OwnerId"]}
    return Reading({"VpcId": _find_attached(call) or None}, outputs, tag_map(gateway.get("Tags")))


def _delete_gateway(call: ResourceCall) -> None:
    there = _find_attached(call)
    if there:
        call.api.detach_internet_gateway(InternetGatewayId=call.id, VpcId=there)
    call.api.delete_internet_gateway(InternetGatewayId=call.id)


GATEWAY = ResourceType(
    type="aws:ec2/internetGateway:InternetGateway",
    service="ec2",
    # In CloudFormation the attachment is a type of its own; here it changes in place.
    cloudformation="AWS::EC2::InternetGateway",
    properties={"vpcId": text(computed=True)},
    outputs=("arn", "ownerId"),
    find=find_by_tags("internet_gateways", "InternetGatewayId"),
    create=create_tagged("create_internet_gateway", "internet-gateway", "InternetGateway"),
    finish=_attach,
    read=_read_gateway,
    changes=(Update(("vpcId",), _attach),),
    delete=_delete_gateway,
    tag=tag,
    gone=("InvalidInternetGatewayID.NotFound",),
)


def _read_address(call: ResourceCall) -> Reading:
    address = call.api.describe_addresses(AllocationIds=[call.id])["Addresses"][0]
    dashed = address["PublicIp"].replace(".", "-")
    zone = "compute-1" if call.account.region == "us-east-1" else f"{call.account.region}.compute"
    outputs = {
        "allocationId": call.id,
        "arn": call.account.arn("ec2", f"elastic-ip/{call.id}"),
        "publicIp": address["PublicIp"],
        "publicDns": f"ec2-{dashed}.{zone}.amazonaws.com",
    }
    return Reading(address, outputs, tag_map(address.get("Tags")))


ADDRESS = ResourceType(
    type="aws:ec2/eip:Eip",
    service="ec2",
    cloudformation="AWS::EC2::EIP",
    properties={"domain": text(computed=True, replaces=True, source="internal/service/ec2/ec2_eip.go")},
    # What it is associated with is left out: the NAT gateway's create would make it look like drift.
    outputs=("allocationId", "arn", "publicIp", "publicDns"),
    find=find_by_tags("addresses", "AllocationId"),
    create=create_tagged("allocate_address", "elastic-ip", "", key="AllocationId", Domain="vpc"),
    read=_read_address,
    delete=lambda call: call.api.release_address(AllocationId=call.id),
    tag=tag,
    gone=("InvalidAllocationID.NotFound",),
)


def _read_nat(call: ResourceCall) -> Reading | None:
    nat = call.api.describe_nat_gateways(NatGatewayIds=[call.id])["NatGateways"]
    if not nat or nat[0]["State"] == "deleted":
        return None
    address: Values = next(iter(nat[0].get("NatGatewayAddresses", ())), {})
    answer = {
        **nat[0],
        "AllocationId": address.get("AllocationId"),
        "PrivateIpAddress": address.get("PrivateIp"),
    }
    outputs = {
        "publicIp": address.get("PublicIp", ""),
        "networkInterfaceId": address.get("NetworkInterfaceId", ""),
        "associationId": address.get("AssociationId", ""),
    }
    return Reading(answer, outputs, tag_map(nat[0].get("Tags")))


def _nat_is_available(call: ResourceCall) -> bool:
    nat = call.api.describe_nat_gateways(NatGatewayIds=[call.id])["NatGateways"][0]
    if nat["State"] == "failed":
        raise ProviderError(
            nat.get("FailureCode", "NatGatewayFailed"), nat.get("FailureMessage", f"{call.id} failed")
        )
    return bool(nat["State"] == "available")


NAT = ResourceType(
    type="aws:ec2/natGateway:NatGateway",
    service="ec2",
    cloudformation="AWS::EC2::NatGateway",
    properties={
        "allocationId": text(),
        "subnetId": text(),
        "connectivityType": text(default="public"),
        "privateIp": text(computed=True, api="PrivateIpAddress"),
    },
    outputs=("publicIp", "networkInterfaceId", "associationId"),
    # An address serves one gateway: a successor with the same one has to wait for its end.
    identity=("allocationId",),
    find=find_by_tags("nat_gateways", "NatGatewayId", ("pending", "available")),
    create=create_tagged("create_nat_gateway", "natgateway", "NatGateway", whole=True),
    ready=_nat_is_available,
    read=_read_nat,
    delete=lambda call: call.api.delete_nat_gateway(NatGatewayId=call.id),
    tag=tag,
    gone=("NatGatewayNotFound", "InvalidNatGatewayID.NotFound"),
)

RESOURCES = (GATEWAY, ADDRESS, NAT)
