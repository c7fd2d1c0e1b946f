"""What the serving role may do beside running a model: interfaces in a VPC, captured requests, a volume's key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi

from infra.component import Component, require
from infra.components.role import policy
from infra.hosting import HostingOptions
from infra.tags import Tags

if TYPE_CHECKING:
    from pulumi_aws import iam

CAPTURED = "captured"
"""The folder of captured requests, in the service's bucket."""
CAN_BE_LIMITED = (
    "ec2:CreateNetworkInterface",
    "ec2:CreateNetworkInterfacePermission",
    "ec2:DeleteNetworkInterface",
    "ec2:DeleteNetworkInterfacePermission",
)
DESCRIBES = (
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
)


@dataclass(frozen=True, kw_only=True)
class RoleAccount:
    """Where the role is: for the ARNs of what it may use. `bucket`, `key_arn`: the service's own."""

    region: str
    account: str
    partition: str
    bucket: str = ""
    key_arn: str = ""


@dataclass(frozen=True, kw_only=True)
class HostingRightsResources:
    """What a HostingRights is made of."""

    policy: iam.RolePolicy


class HostingRights(Component):
    """A policy of the role `role_name`, gone with the last release that needs it."""

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        role_name: str,
        document: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        require("HostingRights", {"document: must not be empty": not document})
        super().__init__(name, project_tags=project_tags, opts=opts)
        self.resources = self._create(role_name, document)
        self.register_outputs({})

    def _create(self, role_name: str, document: str) -> HostingRightsResources:
        from pulumi_aws import iam

        made = iam.RolePolicy(
            self.child("use"), name=self.name, role=role_name, policy=document, opts=self.options()
        )
        return HostingRightsResources(policy=made)


def rights_policy(releases: Iterable[HostingOptions], where: RoleAccount) -> str:
    """What releases with these options take, and no more; "" where that is nothing.

    Source: https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html, section CreateModel: VpcConfig and
    KMS; https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html.
    """
    given = list(releases)
    statements = [
        *network_statements(given, where),
        *capture_statements(given, where),
        *volume_statements(given),
    ]
    return policy(*statements) if statements else ""


def network_statements(given: list[HostingOptions], where: RoleAccount) -> list[dict[str, Any]]:
    networks = [network for one in given if (network := one.placed)]
    if not networks:
        return []
    head = f"arn:{where.partition}:ec2:{where.region}:{where.account}"
    used = sorted(
        {f"{head}:subnet/{one}" for network in networks for one in network.subnets}
        | {f"{head}:security-group/{one}" for network in networks for one in network.security_groups}
    )
    return [
        {
            "Effect": "Allow",
            "Action": list(CAN_BE_LIMITED),
            "Resource": [f"{head}:network-interface/*", *used],
        },
        {"Effect": "Allow", "Action": list(DESCRIBES), "Resource": "*"},
    ]


def capture_statements(given: list[HostingOptions], where: RoleAccount) -> list[dict[str, Any]]:
    captures = [one.capture for one in given if one.capture]
    if not captures:
        return []
    keys = sorted({key for one in captures if (key := one.key or where.key_arn)})
    folder = f"arn:{where.partition}:s3:::{where.bucket}/{CAPTURED}/*"
    writing = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": folder}
    encrypting = {"Effect": "Allow", "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": keys}
    return [writing, *([encrypting] if keys else [])]


def volume_statements(given: list[HostingOptions]) -> list[dict[str, Any]]:
    keys = sorted({one.volume_key for one in given if one.volume_key})
    if not keys:
        return []
    on_behalf = {"Condition": {"Bool": {"kms:GrantIsForAWSResource": "true"}}}
    return [{"Effect": "Allow", "Action": "kms:CreateGrant", "Resource": keys, **on_behalf}]
