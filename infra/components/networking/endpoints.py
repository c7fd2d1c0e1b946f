"""AWS's services by private addresses in a network: images, tokens, logs and models without NAT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi

from infra.component import Component, require
from infra.tags import Tags

if TYPE_CHECKING:
    from pulumi_aws import ec2

SERVICES = ("ecr.api", "ecr.dkr", "sts", "logs", "eks", "eks-auth", "sagemaker.runtime")
"""https://docs.aws.amazon.com/eks/latest/userguide/private-clusters.html; the last is for those who call models."""
SERVING = ("ecr.api", "ecr.dkr", "logs", "monitoring", "sagemaker.runtime", "secretsmanager", "ssm")
"""What model servers need without NAT. Logs and metrics go through the model's own network
(https://repost.aws/knowledge-center/sagemaker-access-network-isolation), and so do the server's secrets; of images AWS
says nothing, so ECR is among them. S3 has its gateway (https://docs.aws.amazon.com/sagemaker/latest/dg/host-vpc.html).
"""


@dataclass(frozen=True, kw_only=True)
class EndpointsResources:
    """What Endpoints is made of, in the order of the services."""

    group: ec2.SecurityGroup
    endpoints: tuple[ec2.VpcEndpoint, ...]


class Endpoints(Component):
    """One interface in each subnet for each service, reached from `cidr` by HTTPS, under the service's usual name."""

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        region: str,
        vpc_id: pulumi.Input[str],
        cidr: str,
        subnet_ids: pulumi.Input[Sequence[str]],
        services: Sequence[str] = SERVICES,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        require("Endpoints", {"services: each once": len(set(services)) != len(services)})
        super().__init__(name, project_tags=project_tags, opts=opts)
        self.resources = self._create(region, vpc_id, cidr, subnet_ids, services)
        self.register_outputs({"services": list(services)})

    def _create(
        self,
        region: str,
        vpc_id: pulumi.Input[str],
        cidr: str,
        subnet_ids: pulumi.Input[Sequence[str]],
        services: Sequence[str],
    ) -> EndpointsResources:
        from pulumi_aws import ec2

        group = ec2.SecurityGroup(
            self.name,
            name=self.name,
            description="HTTPS from the VPC to the services of AWS",
            vpc_id=vpc_id,
            ingress=[{"protocol": "tcp", "from_port": 443, "to_port": 443, "cidr_blocks": [cidr]}],
            tags=self.tags(Name=self.name),
            opts=self.options(),
        )
        suffixes = {service: service.replace(".", "-") for service in services}
        made = tuple(
            ec2.VpcEndpoint(
                self.child(suffix),
                vpc_id=vpc_id,
                service_name=f"com.amazonaws.{region}.{service}",
                vpc_endpoint_type="Interface",
                subnet_ids=subnet_ids,
                security_group_ids=[group.id],
                private_dns_enabled=True,
                tags=self.tags(suffix, Name=self.child(suffix)),
                opts=self.options(),
            )
            for service, suffix in suffixes.items()
        )
        return EndpointsResources(group=group, endpoints=made)
