"""A VPC for GPU nodes: public and private subnets in two or three zones, one NAT gateway, S3 without NAT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

import pulumi

from infra.component import Component, require
from infra.tags import Tags

if TYPE_CHECKING:
    from pulumi_aws import ec2

ANYWHERE = "0.0.0.0/0"


@dataclass(frozen=True, kw_only=True)
class NetworkResources:
    """What a Network is made of; subnets in the order of the zones."""

    vpc: ec2.Vpc
    internet: ec2.InternetGateway
    nat: ec2.NatGateway
    public_subnets: tuple[ec2.Subnet, ...]
    private_subnets: tuple[ec2.Subnet, ...]
    private_way_out: tuple[pulumi.CustomResource, ...]
    control_plane_group: ec2.SecurityGroup
    s3_endpoint: ec2.VpcEndpoint


@dataclass(frozen=True, kw_only=True)
class CidrBlocks:
    """Address ranges of the subnets, one per zone."""

    public: tuple[str, ...]
    private: tuple[str, ...]


def split(cidr: str, zones: int) -> CidrBlocks:
    """The first quarter for public subnets (a 16th each), one of the other quarters for each private subnet.

    EKS gives every pod an address of the private subnets, so those are the large ones.
    """
    quarters = list(IPv4Network(cidr).subnets(prefixlen_diff=2))
    small = list(quarters[0].subnets(prefixlen_diff=2))
    return CidrBlocks(
        public=tuple(str(block) for block in small[:zones]),
        private=tuple(str(block) for block in quarters[1 : zones + 1]),
    )


class Network(Component):
    """Nodes live in the private subnets; load balancers and the NAT gateway in the public ones.

    One NAT gateway for all zones: cheaper than one per zone, and one zone's failure may take the way out.
    Image layers come from S3 through a gateway endpoint, which is free of charge.
    """

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        region: str,
        cidr: str,
        zones: Sequence[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        check(cidr, zones)
        super().__init__(name, project_tags=project_tags, opts=opts)
        self.resources = self._create(region, cidr, tuple(zones))
        self.public_subnet_ids = pulumi.Output.all(*[subnet.id for subnet in self.resources.public_subnets])
        self.private_subnet_ids = self._private_subnet_ids()
        self.register_outputs({"vpc_id": self.resources.vpc.id, "private_subnets": self.private_subnet_ids})

    def _create(self, region: str, cidr: str, zones: tuple[str, ...]) -> NetworkResources:
        from pulumi_aws import ec2

        blocks = split(cidr, len(zones))
        vpc = ec2.Vpc(
            self.name,
            cidr_block=cidr,
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
        public = tuple(self._subnet(vpc, "public", *pair) for pair in zip(zones, blocks.public, strict=True))
        private = tuple(
            self._subnet(vpc, "private", *pair) for pair in zip(zones, blocks.private, strict=True)
        )
        nat = self._nat(public[0], internet)
        self._routes(vpc, "public", public, gateway_id=internet.id)
        table, *way_out = self._routes(vpc, "private", private, nat_gateway_id=nat.id)
        return NetworkResources(
            vpc=vpc,
            internet=internet,
            nat=nat,
            public_subnets=public,
            private_subnets=private,
            private_way_out=tuple(way_out),
            control_plane_group=self._control_plane_group(vpc, cidr),
            s3_endpoint=self._s3_endpoint(vpc, region, table.id),
        )

    def _private_subnet_ids(self) -> pulumi.Output[list[str]]:
        """Known when the way out is there as well: a node that cannot reach the registry never joins."""
        made = self.resources
        count = len(made.private_subnets)
        ids = [subnet.id for subnet in made.private_subnets]
        return pulumi.Output.all(*ids, *[one.id for one in made.private_way_out]).apply(
            lambda found: found[:count]
        )

    def _subnet(self, vpc: ec2.Vpc, side: str, zone: str, block: str) -> ec2.Subnet:
        from pulumi_aws import ec2

        suffix = f"{side}-{zone[-1]}"
        # EKS and the load balancer controller find their subnets by these tags.
        role = "kubernetes.io/role/elb" if side == "public" else "kubernetes.io/role/internal-elb"
        return ec2.Subnet(
            self.child(suffix),
            vpc_id=vpc.id,
            cidr_block=block,
            availability_zone=zone,
            map_public_ip_on_launch=side == "public",
            tags=self.tags(suffix, **{"Name": self.child(suffix), role: "1"}),
            opts=self.options(),
        )

    def _nat(self, subnet: ec2.Subnet, internet: ec2.InternetGateway) -> ec2.NatGateway:
        from pulumi_aws import ec2

        address = ec2.Eip(
            self.child("nat"),
            domain="vpc",
            tags=self.tags("nat", Name=self.child("nat")),
            opts=self.options(),
        )
        return ec2.NatGateway(
            self.child("nat"),
            allocation_id=address.id,
            subnet_id=subnet.id,
            tags=self.tags("nat", Name=self.child("nat")),
            opts=self.options(depends_on=[internet]),
        )

    def _routes(
        self,
        vpc: ec2.Vpc,
        side: str,
        subnets: tuple[ec2.Subnet, ...],
        *,
        gateway_id: pulumi.Input[str] | None = None,
        nat_gateway_id: pulumi.Input[str] | None = None,
    ) -> tuple[pulumi.CustomResource, ...]:
        """One table for all subnets of a side, the way out as its only route, and who uses it."""
        from pulumi_aws import ec2

        table = ec2.RouteTable(
            self.child(side), vpc_id=vpc.id, tags=self.tags(side, Name=self.child(side)), opts=self.options()
        )
        route = ec2.Route(
            self.child(f"{side}-out"),
            route_table_id=table.id,
            destination_cidr_block=ANYWHERE,
            gateway_id=gateway_id,
            nat_gateway_id=nat_gateway_id,
            opts=self.options(),
        )
        users = [
            ec2.RouteTableAssociation(
                self.child(f"{side}-{number}"),
                route_table_id=table.id,
                subnet_id=subnet.id,
                opts=self.options(),
            )
            for number, subnet in enumerate(subnets, start=1)
        ]
        return (table, route, *users)

    def _control_plane_group(self, vpc: ec2.Vpc, cidr: str) -> ec2.SecurityGroup:
        """Who may speak to the cluster's private endpoint: the VPC, by HTTPS. Nodes get EKS's own group."""
        from pulumi_aws import ec2

        suffix = "control-plane"
        return ec2.SecurityGroup(
            self.child(suffix),
            name=self.child(suffix),
            description="HTTPS from the VPC to the cluster's API",
            vpc_id=vpc.id,
            ingress=[{"protocol": "tcp", "from_port": 443, "to_port": 443, "cidr_blocks": [cidr]}],
            egress=[{"protocol": "-1", "from_port": 0, "to_port": 0, "cidr_blocks": [ANYWHERE]}],
            tags=self.tags(suffix, Name=self.child(suffix)),
            opts=self.options(),
        )

    def _s3_endpoint(self, vpc: ec2.Vpc, region: str, table_id: pulumi.Input[str]) -> ec2.VpcEndpoint:
        from pulumi_aws import ec2

        return ec2.VpcEndpoint(
            self.child("s3"),
            vpc_id=vpc.id,
            service_name=f"com.amazonaws.{region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=[table_id],
            tags=self.tags("s3", Name=self.child("s3")),
            opts=self.options(),
        )


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
            f"zones: expected 2 or 3 different zones, got {', '.join(zones) or 'none'}": not (
                len(set(zones)) == len(zones) and len(zones) in (2, 3)
            ),
        },
    )
