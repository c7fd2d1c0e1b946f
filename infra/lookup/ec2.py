"""EC2: what is tagged at birth is found by its tags; routes and associations in the route table that they are of."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any

from infra.aws_session import AwsSession
from infra.lookup.base import PendingCreate
from infra.lookup.row import Find, LookupRow, ask, await_settled
from infra.tags import tag_map

DYING = frozenset({"deleted", "deleting", "Deleted", "Deleting", "failed", "Failed"})
BY_TAGS = "by its tags"
DESTINATIONS = ("destinationCidrBlock", "destinationIpv6CidrBlock", "destinationPrefixListId")


def by_tags(nouns: str, answer: str, key: str) -> Find:
    """describe_<nouns> with a filter for each tag; the id is in `key` of each thing in `answer`."""

    def find(session: AwsSession, wanted: PendingCreate) -> Iterable[str]:
        if not wanted.mark:
            return
        filters = [{"Name": f"tag:{name}", "Values": [value]} for name, value in wanted.mark.items()]
        for thing in getattr(session.client("ec2"), f"describe_{nouns}")(Filters=filters)[answer]:
            if thing.get("State") not in DYING and wanted.owns(tag_map(thing.get("Tags"))):
                yield thing[key]

    return find


def find_nat(session: AwsSession, wanted: PendingCreate) -> Iterable[str]:
    for found in by_tags("nat_gateways", "NatGateways", "NatGatewayId")(session, wanted):
        await_settled(session.client("ec2"), "nat_gateway_available", NatGatewayIds=[found])
        yield found


def find_flow_log(session: AwsSession, wanted: PendingCreate) -> Iterable[str]:
    """Their filter has another name than those of all others (API_DescribeFlowLogs)."""
    if wanted.mark:
        filters = [{"Name": f"tag:{name}", "Values": [value]} for name, value in wanted.mark.items()]
        for log in session.client("ec2").describe_flow_logs(Filter=filters)["FlowLogs"]:
            if wanted.owns(tag_map(log.get("Tags"))):
                yield log["FlowLogId"]


def table_of(session: AwsSession, wanted: PendingCreate) -> Any:
    table = wanted.text("routeTableId")
    answer = ask(session.client("ec2").describe_route_tables, RouteTableIds=[table])
    return answer["RouteTables"][0] if answer and answer["RouteTables"] else {}


def find_route(session: AwsSession, wanted: PendingCreate) -> Iterable[str]:
    """Its id is made of the table's and a checksum of where it leads (terraform-provider-aws, RouteCreateID)."""
    to = next((wanted.text(name) for name in DESTINATIONS if wanted.text(name)), "")
    for route in table_of(session, wanted).get("Routes", ()):
        there = (route.get(name[0].upper() + name[1:]) for name in DESTINATIONS)
        ways = (wanted.text("gatewayId"), wanted.text("natGatewayId"))
        if to and to in there and (route.get("GatewayId", ""), route.get("NatGatewayId", "")) == ways:
            yield f"r-{wanted.text('routeTableId')}{zlib.crc32(to.encode())}"


def find_association(session: AwsSession, wanted: PendingCreate) -> Iterable[str]:
    for each in table_of(session, wanted).get("Associations", ()):
        if wanted.text("subnetId") and each.get("SubnetId") == wanted.text("subnetId"):
            yield each["RouteTableAssociationId"]


ROWS = (
    LookupRow("aws:ec2/vpc:Vpc", BY_TAGS, by_tags("vpcs", "Vpcs", "VpcId")),
    LookupRow("aws:ec2/subnet:Subnet", BY_TAGS, by_tags("subnets", "Subnets", "SubnetId")),
    LookupRow(
        "aws:ec2/internetGateway:InternetGateway",
        BY_TAGS,
        by_tags("internet_gateways", "InternetGateways", "InternetGatewayId"),
    ),
    LookupRow("aws:ec2/eip:Eip", BY_TAGS, by_tags("addresses", "Addresses", "AllocationId")),
    LookupRow("aws:ec2/natGateway:NatGateway", f"{BY_TAGS}; waited for", find_nat),
    LookupRow(
        "aws:ec2/routeTable:RouteTable", BY_TAGS, by_tags("route_tables", "RouteTables", "RouteTableId")
    ),
    LookupRow(
        "aws:ec2/securityGroup:SecurityGroup",
        BY_TAGS,
        by_tags("security_groups", "SecurityGroups", "GroupId"),
    ),
    LookupRow(
        "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
        BY_TAGS,
        by_tags("security_group_rules", "SecurityGroupRules", "SecurityGroupRuleId"),
    ),
    LookupRow(
        "aws:ec2/vpcEndpoint:VpcEndpoint", BY_TAGS, by_tags("vpc_endpoints", "VpcEndpoints", "VpcEndpointId")
    ),
    LookupRow("aws:ec2/flowLog:FlowLog", BY_TAGS, find_flow_log),
    LookupRow(
        "aws:ec2/launchTemplate:LaunchTemplate",
        BY_TAGS,
        by_tags("launch_templates", "LaunchTemplates", "LaunchTemplateId"),
    ),
    LookupRow(
        "aws:ec2/route:Route", "no tags: in its route table, by where it leads and through what", find_route
    ),
    LookupRow(
        "aws:ec2/routeTableAssociation:RouteTableAssociation",
        "no tags: in its route table, by its subnet",
        find_association,
    ),
)
