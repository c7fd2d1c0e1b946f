"""Who model servers in a network may speak to: AWS's services by their private addresses, and nobody speaks to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi

from infra.component import Component, require
from infra.tags import Tags

if TYPE_CHECKING:
    from pulumi_aws import ec2, vpc

HTTPS = 443


@dataclass(frozen=True, kw_only=True)
class ServingGroupResources:
    """What a ServingGroup is made of; each rule is a resource of its own."""

    group: ec2.SecurityGroup
    to_endpoints: vpc.SecurityGroupEgressRule
    to_s3: vpc.SecurityGroupEgressRule


class ServingGroup(Component):
    """A security group without ingress: SageMaker's own way to a container is not through these interfaces.

    `endpoints_group`: of the interface endpoints; `s3_prefix_list`: of the gateway to S3. The VPC's own resolver is
    reached all the same (https://docs.aws.amazon.com/vpc/latest/userguide/vpc-security-groups.html).
    """

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        vpc_id: pulumi.Input[str],
        endpoints_group: pulumi.Input[str],
        s3_prefix_list: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        require("ServingGroup", {"endpoints_group: must not be empty": endpoints_group == ""})
        super().__init__(name, project_tags=project_tags, opts=opts)
        self.resources = self._create(vpc_id, endpoints_group, s3_prefix_list)
        self.register_outputs({"group": self.resources.group.id})

    def _create(
        self, vpc_id: pulumi.Input[str], endpoints_group: pulumi.Input[str], s3_prefix_list: pulumi.Input[str]
    ) -> ServingGroupResources:
        from pulumi_aws import ec2

        group = ec2.SecurityGroup(
            self.name,
            name=self.name,
            description="Model servers: HTTPS to the services of AWS",
            vpc_id=vpc_id,
            tags=self.tags(Name=self.name),
            opts=self.options(),
        )
        return ServingGroupResources(
            group=group,
            to_endpoints=self._rule(group, "endpoints", referenced_security_group_id=endpoints_group),
            to_s3=self._rule(group, "s3", prefix_list_id=s3_prefix_list),
        )

    def _rule(
        self, group: ec2.SecurityGroup, suffix: str, **peer: pulumi.Input[str]
    ) -> vpc.SecurityGroupEgressRule:
        from pulumi_aws import vpc

        return vpc.SecurityGroupEgressRule(
            self.child(suffix),
            security_group_id=group.id,
            ip_protocol="tcp",
            from_port=HTTPS,
            to_port=HTTPS,
            **peer,
            tags=self.tags(suffix, Name=self.child(suffix)),
            opts=self.options(),
        )
