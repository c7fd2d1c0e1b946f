"""A record of a network's connections, kept for a while."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pulumi

from infra.component import Component
from infra.components.role import NAME_LENGTH, ServiceRole, policy
from infra.names import fit
from infra.tags import Tags

if TYPE_CHECKING:
    from pulumi_aws import cloudwatch, ec2

TRAFFIC = {"rejected": "REJECT", "all": "ALL"}


@dataclass(frozen=True, kw_only=True)
class FlowLogsResources:
    """What FlowLogs is made of."""

    group: cloudwatch.LogGroup
    role: ServiceRole
    flow_log: ec2.FlowLog


class FlowLogs(Component):
    """`traffic`: what was refused, or all of it, which is much; `days` until it is forgotten."""

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        region: str,
        account: str,
        vpc_id: pulumi.Input[str],
        traffic: Literal["rejected", "all"],
        days: int,
        partition: str = "aws",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(name, project_tags=project_tags, opts=opts)
        self.resources = self._create(region, account, vpc_id, traffic, days, partition)
        self.register_outputs({"log_group": self.resources.group.name})

    def _create(
        self, region: str, account: str, vpc_id: pulumi.Input[str], traffic: str, days: int, partition: str
    ) -> FlowLogsResources:
        from pulumi_aws import cloudwatch, ec2

        log_group = f"/ecomdeploy/{self.name}"
        group = cloudwatch.LogGroup(
            self.name, name=log_group, retention_in_days=days, tags=self.tags(), opts=self.options()
        )
        arn = f"arn:{partition}:logs:{region}:{account}:log-group:{log_group}"
        role = ServiceRole(
            self.child("role"),
            project_tags=self.project_tags,
            role_name=fit(f"{self.name}-{region}", NAME_LENGTH),
            service="vpc-flow-logs.amazonaws.com",
            account=account,
            inline={"write": writing_policy(arn)},
            partition=partition,
            opts=self.options(),
        )
        flow_log = ec2.FlowLog(
            self.name,
            vpc_id=vpc_id,
            traffic_type=TRAFFIC[traffic],
            iam_role_arn=role.arn,
            log_destination_type="cloud-watch-logs",
            log_destination=group.arn,
            max_aggregation_interval=600,
            tags=self.tags(Name=self.name),
            opts=self.options(depends_on=list(role.ready)),
        )
        return FlowLogsResources(group=group, role=role, flow_log=flow_log)


def writing_policy(log_group_arn: str) -> str:
    """https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-iam-role.html, for this group alone."""
    return policy(
        {
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"],
            "Resource": [log_group_arn, f"{log_group_arn}:*"],
        },
    )
