"""IAM roles: a service's role with policies, and what SageMaker may do to run a model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi

from infra.component import Component, require
from infra.tags import Tags

if TYPE_CHECKING:
    from pulumi_aws import iam

POLICY_VERSION = "2012-10-17"
NAME_LENGTH = 64
"""IAM's limit (https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html)."""


@dataclass(frozen=True, kw_only=True)
class ServiceRoleResources:
    """What a ServiceRole is made of."""

    role: iam.Role
    attachments: tuple[iam.RolePolicyAttachment, ...]
    policies: tuple[iam.RolePolicy, ...]


def policy(*statements: Mapping[str, Any]) -> str:
    """A policy document with its keys in order, so that the same policy is the same text."""
    return json.dumps({"Version": POLICY_VERSION, "Statement": list(statements)}, sort_keys=True)


def trust(service: str, account: str | None = None) -> str:
    """Who may take the role. With `account`, only on behalf of that account.

    Source: https://docs.aws.amazon.com/sagemaker/latest/dg/security-confused-deputy-prevention.html
    """
    condition = {"Condition": {"StringEquals": {"aws:SourceAccount": account}}} if account else {}
    return policy(
        {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole", **condition}
    )


class ServiceRole(Component):
    """A role that one AWS service takes.

    `managed` are names of AWS's own policies ("AmazonEKSClusterPolicy"); `inline` documents by policy name.
    """

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        role_name: str,
        service: str,
        account: str | None = None,
        managed: Sequence[str] = (),
        inline: Mapping[str, pulumi.Input[str]] | None = None,
        partition: str = "aws",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        require(
            "ServiceRole",
            {
                f"role_name: at most {NAME_LENGTH} characters, got {role_name!r}": len(role_name)
                > NAME_LENGTH,
                f'service: expected a principal like "eks.amazonaws.com", got {service!r}': "."
                not in service,
            },
        )
        super().__init__(name, project_tags=project_tags, opts=opts)
        self.resources = self._create(
            role_name,
            trust(service, account),
            [f"arn:{partition}:iam::aws:policy/{one}" for one in managed],
            inline or {},
        )
        self.arn: pulumi.Output[str] = self.resources.role.arn
        self.ready: tuple[pulumi.Resource, ...] = (*self.resources.attachments, *self.resources.policies)
        """What must exist before the role is of use, for `depends_on`."""
        self.register_outputs({"arn": self.arn})

    def _create(
        self, role_name: str, trusted: str, managed: Sequence[str], inline: Mapping[str, pulumi.Input[str]]
    ) -> ServiceRoleResources:
        from pulumi_aws import iam

        role = iam.Role(
            self.name, name=role_name, assume_role_policy=trusted, tags=self.tags(), opts=self.options()
        )
        attachments = tuple(
            iam.RolePolicyAttachment(
                self.child(arn.rsplit("/", 1)[1]), role=role.name, policy_arn=arn, opts=self.options()
            )
            for arn in managed
        )
        policies = tuple(
            iam.RolePolicy(self.child(name), name=name, role=role.name, policy=text, opts=self.options())
            for name, text in inline.items()
        )
        return ServiceRoleResources(role=role, attachments=attachments, policies=policies)


def serving_policy(*, repository_arn: str, region: str, account: str, partition: str = "aws") -> str:
    """What SageMaker needs to run one image: pull it, write its endpoint's log, publish its metrics; no more.

    Source: https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html, section CreateModel, less S3
    (the model is in the image).
    """
    logs = f"arn:{partition}:logs:{region}:{account}:log-group:/aws/sagemaker/Endpoints/*"
    return policy(
        {"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
        {
            "Effect": "Allow",
            "Action": ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            "Resource": repository_arn,
        },
        {
            "Effect": "Allow",
            "Action": [
                "logs:CreateLogGroup",
                "logs:CreateLogStream",
                "logs:DescribeLogStreams",
                "logs:PutLogEvents",
            ],
            "Resource": logs,
        },
        {
            "Effect": "Allow",
            "Action": "cloudwatch:PutMetricData",
            "Resource": "*",
            "Condition": {
                "StringEquals": {"cloudwatch:namespace": ["/aws/sagemaker/Endpoints", "ecomdeploy"]}
            },
        },
    )


def execution_role(
    name: str,
    *,
    project_tags: Tags,
    role_name: str,
    repository_arn: pulumi.Input[str],
    region: str,
    account: str,
    partition: str = "aws",
    opts: pulumi.ResourceOptions | None = None,
) -> ServiceRole:
    """SageMaker's role for the models of one repository."""
    document = pulumi.Output.from_input(repository_arn).apply(
        lambda arn: serving_policy(repository_arn=arn, region=region, account=account, partition=partition)
    )
    return ServiceRole(
        name,
        project_tags=project_tags,
        role_name=role_name,
        service="sagemaker.amazonaws.com",
        account=account,
        inline={"serve": document},
        partition=partition,
        opts=opts,
    )
