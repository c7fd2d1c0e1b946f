"""Amazon EC2: VPC, subnet, route table, routes, VPC endpoint."""

from __future__ import annotations

import zlib
from typing import Any

from infra.rehearsal.providers.aws.ec2.tags import create_tagged, find_by_tags, one, tag
from infra.rehearsal.providers.aws.property_types import flag, policy, text, unordered_list
from infra.rehearsal.providers.aws.resource import Reading, ResourceCall, ResourceType, Update
from infra.tags import tag_map

DNS = {"enableDnsSupport": "EnableDnsSupport", "enableDnsHostnames": "EnableDnsHostnames"}


def _set_dns(call: ResourceCall, names: tuple[str, ...] = tuple(DNS)) -> None:
    for name in names:
        if call.inputs.get(name) is not None:
            call.api.modify_vpc_attribute(VpcId=call.id, **{DNS[name]: {"Value": call.inputs[name]}})


def _read_vpc(call: ResourceCall) -> Reading:
    vpc = call.api.describe_vpcs(VpcIds=[call.id])["Vpcs"][0]
    dns = {
        name: call.api.describe_vpc_attribute(VpcId=call.id, Attribute=attribute)[DNS[attribute]]["Value"]
        for attribute, name in DNS.items()
    }
    main = one(call, "route_tables", {"vpc-id": call.id, "association.main": "true"})
    outputs = {
        "arn": call.account.arn("ec2", f"vpc/{call.id}"),
        "ownerId": vpc.get("OwnerId") or call.account.id,
        "dhcpOptionsId": vpc.get("DhcpOptionsId", ""),
        "mainRouteTableId": main.get("RouteTableId", ""),
        "defaultRouteTableId": main.get("RouteTableId", ""),
        "defaultNetworkAclId": one(call, "network_acls", {"vpc-id": call.id, "default": "true"}).get(
            "NetworkAclId", ""
        ),
        "defaultSecurityGroupId": one(
            call, "security_groups", {"vpc-id": call.id, "group-name": "default"}
        ).get("GroupId", ""),
    }
    return Reading({**vpc, **dns}, outputs, tag_map(vpc.get("Tags")))


VPC = ResourceType(
    type="aws:ec2/vpc:Vpc",
    service="ec2",
    cloudformation="AWS::EC2::VPC",
    properties={
        "cidrBlock": text(computed=True),
        "instanceTenancy": text(default="default"),
        "enableDnsSupport": flag(default=True),
        "enableDnsHostnames": flag(computed=True),
    },
    outputs=(
        *("arn", "ownerId", "dhcpOptionsId", "mainRouteTableId", "defaultRouteTableId"),
        *("defaultNetworkAclId", "defaultSecurityGroupId"),
    ),
    find=find_by_tags("vpcs", "VpcId"),
    create=create_tagged("create_vpc", "vpc", "Vpc", "cidrBlock", "instanceTenancy"),
    finish=_set_dns,
    read=_read_vpc,
    changes=(
        Update(("enableDnsSupport",), lambda call: _set_dns(call, ("enableDnsSupport",))),
        Update(("enableDnsHostnames",), lambda call: _set_dns(call, ("enableDnsHostnames",))),
        Update(
            ("instanceTenancy",),
            lambda call: call.api.modify_vpc_tenancy(VpcId=call.id, **call.body("instanceTenancy")),
        ),
    ),
    delete=lambda call: call.api.delete_vpc(VpcId=call.id),
    tag=tag,
    gone=("InvalidVpcID.NotFound",),
)


def _set_public(call: ResourceCall) -> None:
    call.api.modify_subnet_attribute(
        SubnetId=call.id, MapPublicIpOnLaunch={"Value": bool(call.inputs.get("mapPublicIpOnLaunch"))}
    )


def _read_subnet(call: ResourceCall) -> Reading:
    subnet = call.api.describe_subnets(SubnetIds=[call.id])["Subnets"][0]
    arn = subnet.get("SubnetArn") or call.account.arn("ec2", f"subnet/{call.id}")
    return Reading(subnet, {"arn": arn, "ownerId": subnet["OwnerId"]}, tag_map(subnet.get("Tags")))


PLACE = {
    "vpcId": text(required=True),
    "cidrBlock": text(),
    "availabilityZone": text(computed=True),
    "availabilityZoneId": text(computed=True),
}
SUBNET = ResourceType(
    type="aws:ec2/subnet:Subnet",
    service="ec2",
    cloudformation="AWS::EC2::Subnet",
    properties={
        **PLACE,
        "mapPublicIpOnLaunch": flag(default=False),
    },
    outputs=("arn", "ownerId"),
    find=find_by_tags("subnets", "SubnetId"),
    create=create_tagged("create_subnet", "subnet", "Subnet", *PLACE),
    finish=lambda call: _set_public(call) if call.inputs["mapPublicIpOnLaunch"] else None,
    read=_read_subnet,
    changes=(Update(("mapPublicIpOnLaunch",), _set_public),),
    delete=lambda call: call.api.delete_subnet(SubnetId=call.id),
    tag=tag,
    gone=("InvalidSubnetID.NotFound",),
)


def _table(call: ResourceCall, table: str) -> dict[str, Any]:
    return dict(call.api.describe_route_tables(RouteTableIds=[table])["RouteTables"][0])


def _read_table(call: ResourceCall) -> Reading:
    table = _table(call, call.id)
    outputs = {"arn": call.account.arn("ec2", f"route-table/{call.id}"), "ownerId": table["OwnerId"]}
    return Reading(table, outputs, tag_map(table.get("Tags")))


TABLE = ResourceType(
    type="aws:ec2/routeTable:RouteTable",
    service="ec2",
    cloudformation="AWS::EC2::RouteTable",
    properties={"vpcId": text(required=True)},
    outputs=("arn", "ownerId"),
    find=find_by_tags("route_tables", "RouteTableId"),
    create=create_tagged("create_route_table", "route-table", "RouteTable", "vpcId"),
    read=_read_table,
    delete=lambda call: call.api.delete_route_table(RouteTableId=call.id),
    tag=tag,
    gone=("InvalidRouteTableID.NotFound",),
)

DESTINATIONS = ("destinationCidrBlock", "destinationIpv6CidrBlock", "destinationPrefixListId")
WAYS = ("gatewayId", "natGatewayId", "networkInterfaceId", "transitGatewayId", "egressOnlyGatewayId")


def _destination(call: ResourceCall) -> str:
    return next((call.inputs[name] for name in DESTINATIONS if call.inputs.get(name)), "")


def _create_route(call: ResourceCall) -> str:
    call.api.create_route(**call.body())
    return _route_id(call)


def _route_id(call: ResourceCall) -> str:
    return f"r-{call.inputs['routeTableId']}{zlib.crc32(_destination(call).encode())}"


def _read_route(call: ResourceCall) -> Reading | None:
    table = _table(call, call.inputs["routeTableId"])
    for route in table["Routes"]:
        found = route.get("DestinationCidrBlock") or route.get("DestinationIpv6CidrBlock")
        if (found or route.get("DestinationPrefixListId")) == _destination(call):
            outputs = {"origin": route.get("Origin", ""), "state": route.get("State", "")}
            return Reading({**route, "RouteTableId": table["RouteTableId"]}, outputs)
    return None


def _find_route(call: ResourceCall) -> list[str]:
    """The very route that is wanted; one to elsewhere is left to the API's refusal."""
    reading = _read_route(call)
    there = reading is not None and all(
        reading.answer.get(name[:1].upper() + name[1:]) == call.inputs.get(name) for name in WAYS
    )
    return [_route_id(call)] if there else []


ROUTE = ResourceType(
    type="aws:ec2/route:Route",
    service="ec2",
    cloudformation="AWS::EC2::Route",
    properties={
        "routeTableId": text(required=True),
        **{name: text() for name in DESTINATIONS},
        **{name: text(api="EgressOnlyInternetGatewayId" if "egress" in name else "") for name in WAYS},
    },
    outputs=("origin", "state"),
    identity=("routeTableId", *DESTINATIONS),
    find=_find_route,
    create=_create_route,
    read=_read_route,
    changes=(Update(WAYS, lambda call: call.api.replace_route(**call.body())),),
    delete=lambda call: call.api.delete_route(**call.body("routeTableId", *DESTINATIONS)),
    gone=("InvalidRouteTableID.NotFound", "InvalidRoute.NotFound"),
)


def _association(call: ResourceCall, **wanted: str) -> dict[str, Any]:
    filters = {f"association.{name.replace('_', '-')}": value for name, value in wanted.items()}
    for association in one(call, "route_tables", filters).get("Associations", ()):
        values = {
            "subnet_id": association.get("SubnetId"),
            "route_table_association_id": association["RouteTableAssociationId"],
        }
        if all(values[name] == value for name, value in wanted.items()):
            return dict(association)
    return {}


def _read_association(call: ResourceCall) -> Reading | None:
    association = _association(call, route_table_association_id=call.id)
    return Reading(association) if association else None


def _find_association(call: ResourceCall) -> list[str]:
    there = _association(call, subnet_id=call.inputs["subnetId"])
    same = there.get("RouteTableId") == call.inputs["routeTableId"]
    return [there["RouteTableAssociationId"]] if same else []


ASSOCIATION = ResourceType(
    type="aws:ec2/routeTableAssociation:RouteTableAssociation",
    service="ec2",
    # terraform moves an association to another table in place, which changes its id; here it is replaced.
    cloudformation="AWS::EC2::SubnetRouteTableAssociation",
    properties={"subnetId": text(required=True), "routeTableId": text(required=True)},
    identity=("subnetId",),
    find=_find_association,
    create=lambda call: str(call.api.associate_route_table(**call.body())["AssociationId"]),
    read=_read_association,
    delete=lambda call: call.api.disassociate_route_table(AssociationId=call.id),
    gone=("InvalidAssociationID.NotFound",),
)


def _prefix_list(call: ResourceCall, endpoint: dict[str, Any]) -> str:
    """What routes and rules call a gateway's service; "" of an interface (internal/service/ec2/vpc_endpoint.go)."""
    if endpoint["VpcEndpointType"] != "Gateway":
        return ""
    return str(
        one(call, "prefix_lists", {"prefix-list-name": endpoint["ServiceName"]}).get("PrefixListId", "")
    )


def _read_endpoint(call: ResourceCall) -> Reading | None:
    endpoint = call.api.describe_vpc_endpoints(VpcEndpointIds=[call.id])["VpcEndpoints"][0]
    if endpoint["State"].lower() in ("deleted", "deleting"):
        return None
    outputs = {
        "arn": call.account.arn("ec2", f"vpc-endpoint/{call.id}"),
        "state": endpoint["State"],
        "ownerId": endpoint.get("OwnerId", ""),
        "prefixListId": _prefix_list(call, endpoint),
    }
    groups = [group["GroupId"] for group in endpoint.get("Groups", ())]
    return Reading({**endpoint, "SecurityGroupIds": groups}, outputs, tag_map(endpoint.get("Tags")))


PARTS = {"routeTableIds": "RouteTableIds", "subnetIds": "SubnetIds", "securityGroupIds": "SecurityGroupIds"}


def _change_parts(call: ResourceCall) -> None:
    """What is to be added and what removed, of tables, subnets and groups."""
    body: dict[str, Any] = {}
    for name, member in PARTS.items():
        old, new = set(call.outputs.get(name) or ()), set(call.inputs.get(name) or ())
        parts = {f"Add{member}": sorted(new - old), f"Remove{member}": sorted(old - new)}
        body |= {key: value for key, value in parts.items() if value and name in call.inputs}
    call.api.modify_vpc_endpoint(VpcEndpointId=call.id, **body)


ENDPOINT = ResourceType(
    type="aws:ec2/vpcEndpoint:VpcEndpoint",
    service="ec2",
    cloudformation="AWS::EC2::VPCEndpoint",
    properties={
        "vpcId": text(required=True),
        "serviceName": text(),
        "vpcEndpointType": text(default="Gateway"),
        **{name: unordered_list(computed=True) for name in PARTS},
        "privateDnsEnabled": flag(computed=True),
        "policy": policy(computed=True, api="PolicyDocument"),
    },
    outputs=("arn", "state", "ownerId", "prefixListId"),
    find=find_by_tags("vpc_endpoints", "VpcEndpointId"),
    create=create_tagged("create_vpc_endpoint", "vpc-endpoint", "VpcEndpoint", whole=True),
    read=_read_endpoint,
    changes=(
        Update(tuple(PARTS), _change_parts),
        Update(
            ("privateDnsEnabled",),
            lambda call: call.api.modify_vpc_endpoint(
                VpcEndpointId=call.id, **call.body("privateDnsEnabled")
            ),
        ),
        Update(
            ("policy",),
            lambda call: call.api.modify_vpc_endpoint(VpcEndpointId=call.id, **call.body("policy")),
        ),
    ),
    delete=lambda call: call.api.delete_vpc_endpoints(VpcEndpointIds=[call.id]),
    tag=tag,
    gone=("InvalidVpcEndpointId.NotFound",),
)

RESOURCES = (VPC, SUBNET, TABLE, ROUTE, ASSOCIATION, ENDPOINT)
