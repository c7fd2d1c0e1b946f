"""IAM roles: a service's role with policies, and what SageMaker may do to run a model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi

from infra.component import Component, require
from infra.secrets import references
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


def trust(service: str, account: str | None = None, actions: str | list[str] = "sts:AssumeRole") -> str:
    """Who may take the role. With `account`, only on behalf of that account.

    Source: https://docs.aws.amazon.com/sagemaker/latest/dg/security-confused-deputy-prevention.html
    """
    condition = {"Condition": {"StringEquals": {"aws:SourceAccount": account}}} if account else {}
    return policy({"Effect": "Allow", "Principal": {"Service": service}, "Action": actions, **condition})


class ServiceRole(Component):
    """A role that one AWS service takes.

    `managed` are names of AWS's own policies ("AmazonEKSClusterPolicy"); `inline` documents by policy name;
    `tags_sessions`: the service tags what it does as the role (EKS's pods). What others attach to it goes with it.
    """

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        role_name: str,
        service: str,
        account: str | None = None,
        tags_sessions: bool = False,
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
            trust(
                service, account, ["sts:AssumeRole", "sts:TagSession"] if tags_sessions else "sts:AssumeRole"
            ),
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
            self.name,
            name=role_name,
            assume_role_policy=trusted,
            # IAM deletes no role that has a policy, and somebody's hand may have attached one.
            force_detach_policies=True,
            tags=self.tags(),
            opts=self.options(),
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
    """What SageMaker needs to run one image: pull it, write its endpoint's log, publish its metrics, and look at the
    alarms that a deployment is turned back by; no more.

    Sources: https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html, section CreateModel, less S3
    (the model is in the image), and
    https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-configuration.html.
    """
    logs = f"arn:{partition}:logs:{region}:{account}:log-group:/aws/sagemaker/Endpoints/*"
    alarms = f"arn:{partition}:cloudwatch:{region}:{account}:alarm:*"
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
        {"Effect": "Allow", "Action": "cloudwatch:DescribeAlarms", "Resource": alarms},
        {
            "Effect": "Allow",
            "Action": "cloudwatch:PutMetricData",
            "Resource": "*",
            "Condition": {
                "StringEquals": {"cloudwatch:namespace": ["/aws/sagemaker/Endpoints", "ecomdeploy"]}
            },
        },
    )


def training_policy(
    *, repository_arn: str, folder: str, key_arn: str, region: str, account: str, partition: str = "aws"
) -> str:
    """What a training job of SageMaker needs: pull its image, read and write below `folder` (`bucket/key`) with the
    bucket's key, write its log and metrics; no more.

    Source: https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html, section CreateTrainingJob.
    """
    bucket, _, key = folder.partition("/")
    logs = f"arn:{partition}:logs:{region}:{account}:log-group:/aws/sagemaker/TrainingJobs"
    pull = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    write = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    return policy(
        {"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
        {"Effect": "Allow", "Action": pull, "Resource": repository_arn},
        {
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": f"arn:{partition}:s3:::{bucket}",
            "Condition": {"StringLike": {"s3:prefix": [f"{key}/*"]}},
        },
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": f"arn:{partition}:s3:::{folder}/*",
        },
        {"Effect": "Allow", "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": key_arn},
        {"Effect": "Allow", "Action": write, "Resource": [logs, f"{logs}:*"]},
        {
            "Effect": "Allow",
            "Action": "cloudwatch:PutMetricData",
            "Resource": "*",
            "Condition": {"StringEquals": {"cloudwatch:namespace": "/aws/sagemaker/TrainingJobs"}},
        },
    )


def reading_policy(
    environments: Iterable[Mapping[str, str]], region: str, account: str, partition: str
) -> str:
    """What the serving role may look up: these parameters and secrets and no other. "" where there are none.

    A secret's ARN ends in six characters that its name does not tell (docs.aws.amazon.com/secretsmanager/latest/
    userguide/auth-and-access_iam-policies.html). A key of one's own must be allowed by its own policy.
    """
    named = sorted({value for one in environments for value in references(one).values()})
    statements: list[dict[str, Any]] = []
    for service, action in (("ssm", "ssm:GetParameter"), ("secretsmanager", "secretsmanager:GetSecretValue")):
        wanted = [value.removeprefix(f"{service}:") for value in named if value.startswith(f"{service}:")]
        arns = [arn_of(service, one, f"arn:{partition}:{service}:{region}:{account}") for one in wanted]
        if arns:
            statements.append({"Effect": "Allow", "Action": action, "Resource": arns})
    return policy(*statements) if statements else ""


def arn_of(service: str, where: str, head: str) -> str:
    """The ARN, or the pattern of ARNs, of a parameter or a secret."""
    if where.startswith("arn:"):
        return where
    if service == "ssm":
        return f"{head}:parameter/{where.removeprefix('/')}"
    return f"{head}:secret:{where}-??????"


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


def training_role(
    name: str,
    *,
    project_tags: Tags,
    role_name: str,
    repository_arn: pulumi.Input[str],
    key_arn: pulumi.Input[str],
    folder: str,
    region: str,
    account: str,
    partition: str = "aws",
    opts: pulumi.ResourceOptions | None = None,
) -> ServiceRole:
    """SageMaker's role for the training jobs of one service, whose data lies below `folder` (`bucket/key`)."""
    document = pulumi.Output.all(repository_arn, key_arn).apply(
        lambda arns: training_policy(
            repository_arn=arns[0],
            key_arn=arns[1],
            folder=folder,
            region=region,
            account=account,
            partition=partition,
        )
    )
    return ServiceRole(
        name,
        project_tags=project_tags,
        role_name=role_name,
        service="sagemaker.amazonaws.com",
        account=account,
        inline={"train": document},
        partition=partition,
        opts=opts,
    )
