"""A VPC for a cluster's nodes: public and private subnets in each zone, the way out through NAT, S3 without it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Literal

import pulumi

from infra.component import Component, require
from infra.ground.addresses import EIGHTHS, blocks, find_slots
from infra.tags import Tags

if TYPE_CHECKING:
    from pulumi_aws import ec2

ANYWHERE = "0.0.0.0/0"
MOST_ZONES = 6


@dataclass(frozen=True, kw_only=True)
class WayOut:
    """A zone's private route table, and what has to be there before its nodes reach anything."""

    table: ec2.RouteTable
    ready: tuple[pulumi.CustomResource, ...]


@dataclass(frozen=True, kw_only=True)
class NetworkResources:
    """What a Network is made of; subnets by zone, in the order of the zones' names."""

    vpc: ec2.Vpc
    internet: ec2.InternetGateway
    nats: Mapping[str, ec2.NatGateway]
    public_subnets: Mapping[str, ec2.Subnet]
    private_subnets: Mapping[str, ec2.Subnet]
    ways_out: Mapping[str, WayOut]
    control_plane_group: ec2.SecurityGroup
    s3_endpoint: ec2.VpcEndpoint


class Network(Component):
    """Nodes live in the private subnets; load balancers and the NAT gateways in the public ones.

    A zone's addresses and names follow its letter, whatever other zones there are (infra/ground/addresses.py); `slots`
    and `form` are for networks that stand. `nat` "one": in `nat_zone`, else in the first zone; "per-zone": in each.
    """

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        region: str,
        cidr: str,
        zones: Sequence[str],
        slots: Mapping[str, int] | None = None,
        form: int = EIGHTHS,
        nat: Literal["one", "per-zone"] = "one",
        nat_zone: str = "",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        check(cidr, zones)
        super().__init__(name, project_tags=project_tags, opts=opts)
        self.cidr, self.form = cidr, form
        self.slots = dict(sorted((slots or by_letter(zones, cidr)).items()))
        self.nat_zone = nat_zone or min(self.slots)
        self.resources = self._create(region, nat == "per-zone")
        self.public_subnet_ids = pulumi.Output.all(
            *[one.id for one in self.resources.public_subnets.values()]
        )
        self.private_subnet_ids = self.private_subnets_in(self.slots)
        self.register_outputs({"vpc_id": self.resources.vpc.id, "private_subnets": self.private_subnet_ids})

    def private_subnets_in(self, zones: Collection[str]) -> pulumi.Output[list[str]]:
        """Ids, known when the way out is there as well: a node that cannot reach the registry never joins."""
        made = self.resources
        ids = [subnet.id for zone, subnet in made.private_subnets.items() if zone in zones]
        ready = [one.id for zone, way in made.ways_out.items() if zone in zones for one in way.ready]
        count = len(ids)
        return pulumi.Output.all(*ids, *ready).apply(lambda found: found[:count])

    def _create(self, region: str, nat_in_each: bool) -> NetworkResources:
        from pulumi_aws import ec2

        vpc = ec2.Vpc(
            self.name,
            cidr_block=self.cidr,
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags=self.tags(Name=self.name),
            opts=self.options(),
        )
        internet = ec2.InternetGateway(
            self.child("internet"),
            vpc_id=vpc.id,
            tags=self.tags("internet", Name=self.child("internet")),
            opts=self.options(),
        )
        public = {zone: self._subnet(vpc, "public", zone) for zone in self.slots}
        private = {zone: self._subnet(vpc, "private", zone) for zone in self.slots}
        with_nat = list(self.slots) if nat_in_each else [self.nat_zone]
        nats = {zone: self._nat(zone, public[zone], internet) for zone in with_nat}
        self._ways_out(vpc, "public", public, {self.nat_zone: {"gateway_id": internet.id}})
        gateways = {zone: {"nat_gateway_id": one.id} for zone, one in nats.items()}
        ways = self._ways_out(vpc, "private", private, gateways)
        return NetworkResources(
            vpc=vpc,
            internet=internet,
            nats=nats,
            public_subnets=public,
            private_subnets=private,
            ways_out=ways,
            control_plane_group=self._control_plane_group(vpc),
            s3_endpoint=self._s3_endpoint(vpc, region, ways),
        )

    def _subnet(self, vpc: ec2.Vpc, side: str, zone: str) -> ec2.Subnet:
        from pulumi_aws import ec2

        suffix = f"{side}-{zone[-1]}"
        block = blocks(self.cidr, self.form, self.slots[zone])
        # EKS and the load balancer controller find their subnets by these tags.
        role = "kubernetes.io/role/elb" if side == "public" else "kubernetes.io/role/internal-elb"
        return ec2.Subnet(
            self.child(suffix),
            vpc_id=vpc.id,
            cidr_block=block.public if side == "public" else block.private,
            availability_zone=zone,
            map_public_ip_on_launch=side == "public",
            tags=self.tags(suffix, **{"Name": self.child(suffix), role: "1"}),
            opts=self.options(),
        )

    def _of(self, word: str, zone: str) -> str:
        """A suffix: the main zone's has no letter, so that a second gateway leaves the first as it is."""
        return word if zone == self.nat_zone else f"{word}-{zone[-1]}"

    def _nat(self, zone: str, subnet: ec2.Subnet, internet: ec2.InternetGateway) -> ec2.NatGateway:
        from pulumi_aws import ec2

        suffix = self._of("nat", zone)
        address = ec2.Eip(
            self.child(suffix),
            domain="vpc",
            tags=self.tags(suffix, Name=self.child(suffix)),
            opts=self.options(),
        )
        return ec2.NatGateway(
            self.child(suffix),
            allocation_id=address.id,
            subnet_id=subnet.id,
            tags=self.tags(suffix, Name=self.child(suffix)),
            opts=self.options(depends_on=[internet]),
        )

    def _ways_out(
        self,
        vpc: ec2.Vpc,
        side: str,
        subnets: Mapping[str, ec2.Subnet],
        gateways: Mapping[str, Mapping[str, pulumi.Output[str]]],
    ) -> dict[str, WayOut]:
        """A route table for each gateway, by its zone, with the way out as its only route; a zone without one of its
        own takes the main zone's."""
        from pulumi_aws import ec2

        tables = {}
        for zone, gateway in gateways.items():
            suffix = self._of(side, zone)
            table = ec2.RouteTable(
                self.child(suffix),
                vpc_id=vpc.id,
                tags=self.tags(suffix, Name=self.child(suffix)),
                opts=self.options(),
            )
            route = ec2.Route(
                self.child(f"{suffix}-out"),
                route_table_id=table.id,
                destination_cidr_block=ANYWHERE,
                **gateway,
                opts=self.options(),
            )
            tables[zone] = (table, route)
        ways = {}
        for zone, subnet in subnets.items():
            table, route = tables.get(zone, tables[self.nat_zone])
            user = ec2.RouteTableAssociation(
                self.child(f"{side}-{self.slots[zone] + 1}"),
                route_table_id=table.id,
                subnet_id=subnet.id,
                opts=self.options(),
            )
            ways[zone] = WayOut(table=table, ready=(route, user))
        return ways

    def _control_plane_group(self, vpc: ec2.Vpc) -> ec2.SecurityGroup:
        """Who may speak to the cluster's private endpoint: the VPC, by HTTPS. Nodes get EKS's own group."""
        from pulumi_aws import ec2

        suffix = "control-plane"
        return ec2.SecurityGroup(
            self.child(suffix),
            name=self.child(suffix),
            description="HTTPS from the VPC to the cluster's API",
            vpc_id=vpc.id,
            ingress=[{"protocol": "tcp", "from_port": 443, "to_port": 443, "cidr_blocks": [self.cidr]}],
            egress=[{"protocol": "-1", "from_port": 0, "to_port": 0, "cidr_blocks": [ANYWHERE]}],
            tags=self.tags(suffix, Name=self.child(suffix)),
            opts=self.options(),
        )

    def _s3_endpoint(self, vpc: ec2.Vpc, region: str, ways: Mapping[str, WayOut]) -> ec2.VpcEndpoint:
        """Image layers come from S3; this endpoint is free of charge."""
        from pulumi_aws import ec2

        tables = {id(way.table): way.table.id for way in ways.values()}
        return ec2.VpcEndpoint(
            self.child("s3"),
            vpc_id=vpc.id,
            service_name=f"com.amazonaws.{region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=list(tables.values()),
            tags=self.tags("s3", Name=self.child("s3")),
            opts=self.options(),
        )


def by_letter(zones: Sequence[str], cidr: str) -> dict[str, int]:
    return find_slots(zones, cidr, {})[1]


def check(cidr: str, zones: Sequence[str]) -> None:
    """EKS wants two zones; a VPC is at most a /16 (https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html)."""
    try:
        length = IPv4Network(cidr).prefixlen
    except ValueError:
        length = -1
    require(
        "Network",
        {
            f'cidr: expected an IPv4 network like "10.42.0.0/16", got {cidr!r}': length < 0,
            f"cidr: expected a /16 to /22, got {cidr}": length >= 0 and not 16 <= length <= 22,
            f"zones: expected 2 to {MOST_ZONES} different zones, got {', '.join(zones) or 'none'}": not (
                len(set(zones)) == len(zones) and 2 <= len(zones) <= MOST_ZONES
            ),
        },
    )
