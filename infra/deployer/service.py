"""What whoever deploys a service needs of IAM, and no more: to look, to ship, to take everything down.

The statements follow from the calls that the stacks make (tests/stacks/test_ship_local_cloud.py judges a whole `up`,
`rollback` and `down` at the local cloud). `ci init roles` and `ci policy` write them. Actions:
https://docs.aws.amazon.com/service-authorization/latest/reference/
"""

from __future__ import annotations

from dataclasses import dataclass

from infra.deployer.state import DeployerPlace, Statement, allow, list_state_reading, list_state_shipping

ISSUERS = {"github": "token.actions.githubusercontent.com", "gitlab": "gitlab.com"}


def find_issuer(word: str) -> str:
    """The host that signs a pipeline's tokens."""
    return ISSUERS.get(word, word)


@dataclass(frozen=True, kw_only=True)
class DeployerScope(DeployerPlace):
    """One service in one environment of one account. What its base has besides: `pipeline`, roles for one; `issuer`,
    the host of the identity provider that it makes, "": none; `budget`, one. `network`: its servers stand in one.
    `training`: jobs train its models.
    """

    service: str
    pipeline: bool = False
    issuer: str = ""
    budget: bool = False
    network: bool = False
    training: bool = False

    @property
    def name(self) -> str:
        return f"{self.service}-{self.environment}"

    @property
    def stacks(self) -> tuple[tuple[str, str], ...]:
        return ("ecomdeploy-base", self.name), ("ecomdeploy-service", self.name)

    @property
    def records(self) -> list[str]:
        """The bucket of the release records, and what is in it."""
        return [f"arn:{self.partition}:s3:::{self.name}-{self.account}{end}" for end in ("", "/*")]

    @property
    def logs(self) -> str:
        return self.arn("logs", f"log-group:/aws/sagemaker/Endpoints/{self.name}")

    @property
    def repository(self) -> str:
        return self.arn("ecr", f"repository/{self.name}")

    @property
    def serving_role(self) -> str:
        return f"arn:{self.partition}:iam::{self.account}:role/{self.name}-serving"

    @property
    def service_roles(self) -> str | list[str]:
        """The roles that SageMaker takes."""
        trains = f"arn:{self.partition}:iam::{self.account}:role/{self.name}-training"
        return [self.serving_role, trains] if self.training else self.serving_role

    @property
    def pipeline_roles(self) -> list[str]:
        head = f"arn:{self.partition}:iam::{self.account}:role/ecomdeploy-{self.name}"
        return [f"{head}-plan", f"{head}-deploy"]

    @property
    def parameters(self) -> str:
        return self.arn("ssm", f"parameter/ecomdeploy/{self.name}/*")

    @property
    def topic(self) -> str:
        return self.arn("sns", f"{self.name}-alarms")

    @property
    def project(self) -> str:
        return self.service

    @property
    def issuer_arn(self) -> str:
        return f"arn:{self.partition}:iam::{self.account}:oidc-provider/{self.issuer}"

    @property
    def budget_arn(self) -> str:
        return f"arn:{self.partition}:budgets::{self.account}:budget/ecomdeploy-{self.name}"


LISTS = [
    "application-autoscaling:Describe*",
    "application-autoscaling:ListTagsForResource",
    "cloudwatch:DescribeAlarm*",
    "cloudwatch:GetMetric*",
    "cloudwatch:ListTagsForResource",
    "ecr:GetAuthorizationToken",
    "kms:DescribeKey",
    "kms:GetKey*",
    "kms:List*",
    # What a lost state has left is looked for; roles and providers cannot be asked for by tags.
    "iam:ListOpenIDConnectProviders",
    "iam:ListRoles",
    "logs:DescribeLogGroups",
    "sagemaker:Describe*",
    "sagemaker:ListEndpoints",
    "sagemaker:ListTags",
    "servicequotas:Get*",
    "servicequotas:List*",
    "sns:ListTopics",
    "ssm:DescribeParameters",
    "tag:GetResources",
]
"""These have no resource to be narrowed to, or list what is looked for by its tags."""


def list_reading(scope: DeployerScope) -> list[Statement]:
    """`plan`, `status`, `releases`: what is there and whether it serves."""
    objects = ["s3:GetObject", "s3:GetBucket*", "s3:GetEncryptionConfiguration", "s3:ListBucket"]
    image = [
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:Describe*",
        "ecr:Get*",
        "ecr:ListTagsForResource",
    ]
    parameters = ["ssm:GetParameter", "ssm:GetParameters", "ssm:ListTagsForResource"]
    own = [scope.service_roles] if isinstance(scope.service_roles, str) else scope.service_roles
    roles = [*own, *scope.pipeline_roles]
    return [
        *list_state_reading(scope),
        allow("Records", objects, scope.records),
        allow("Image", image, scope.repository),
        allow("Lists", LISTS, "*"),
        # The values too: Pulumi's provider reads a parameter decrypted whenever it looks at what stands.
        allow("Secrets", parameters, scope.parameters),
        allow(
            "Logs",
            ["logs:DescribeLogStreams", "logs:GetLogEvents", "logs:ListTagsForResource"],
            [scope.logs, f"{scope.logs}:*"],
        ),
        allow("Topic", ["sns:GetTopicAttributes", "sns:ListTagsForResource"], scope.topic),
        allow("Roles", ["iam:GetRole", "iam:GetRolePolicy", "iam:List*"], roles),
        *list_governance_reading(scope),
        # Those that a Model names are looked at before; their interfaces are the serving role's.
        *(
            [allow("Network", ["ec2:DescribeSecurityGroups", "ec2:DescribeSubnets"], "*")]
            if scope.network
            else []
        ),
        # Golden requests, by `status`.
        allow("Ask", "sagemaker:InvokeEndpoint", scope.arn("sagemaker", f"endpoint/{scope.name}")),
        *scope.use_keys("Decrypt", ["kms:Decrypt"]),
    ]


def list_governance_reading(scope: DeployerScope) -> list[Statement]:
    issuer = ["iam:GetOpenIDConnectProvider", "iam:ListOpenIDConnectProviderTags"]
    budget = ["budgets:ListTagsForResource", "budgets:ViewBudget"]
    return [
        *([allow("Issuer", issuer, scope.issuer_arn)] if scope.issuer else []),
        *([allow("Budget", budget, scope.budget_arn)] if scope.budget else []),
    ]


PUSH = [
    "ecr:CompleteLayerUpload",
    "ecr:CreateRepository",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage*",
    "ecr:PutLifecyclePolicy",
    "ecr:TagResource",
    "ecr:UntagResource",
    "ecr:UploadLayerPart",
]
SCALE = [
    "application-autoscaling:Delete*",
    "application-autoscaling:DeregisterScalableTarget",
    "application-autoscaling:Put*",
    "application-autoscaling:RegisterScalableTarget",
    "application-autoscaling:*agResource",
]
ALARM = ["DeleteAlarms", "PutMetricAlarm", "SetAlarmState", "TagResource", "UntagResource"]
TOPIC = ["CreateTopic", "DeleteTopic", "SetTopicAttributes", "TagResource", "UntagResource"]
SERVE = ["Create*", "Delete*", "UpdateEndpoint*", "AddTags", "DeleteTags"]
LOG = ["CreateLogGroup", "PutRetentionPolicy", "TagResource", "UntagResource"]
KEEP = ["AddTagsToResource", "DeleteParameter", "PutParameter", "RemoveTagsFromResource"]
DELETE_ROLE = ["iam:DeleteRole", "iam:DeleteRolePolicy", "iam:DetachRolePolicy"]
STORE = ["CreateBucket", "DeleteObject", "PutObject", "PutBucket*", "PutEncryptionConfiguration"]


def list_shipping(scope: DeployerScope) -> list[Statement]:
    """`up`, `rollback`, `down`: everything that a release needs is made, changed and taken away again; the base, with
    its records and images, is made and stays."""
    served = ("model/{}-*", "endpoint-config/{}-*", "endpoint/{}")
    scaling = {
        "StringEquals": {"application-autoscaling:service-namespace": "sagemaker"},
        # One that is made has no tags yet.
        "StringEqualsIfExists": {"aws:ResourceTag/ecomdeploy:project": scope.service},
    }
    return [
        *list_state_shipping(scope),
        *(list_platform_users(scope) if scope.network else []),
        allow("Records", [f"s3:{one}" for one in STORE], scope.records),
        allow("Image", PUSH, scope.repository),
        allow(
            "Serving",
            [f"sagemaker:{one}" for one in SERVE],
            [scope.arn("sagemaker", one.format(scope.name)) for one in served],
        ),
        *list_training(scope),
        allow(
            "Alarms",
            [f"cloudwatch:{one}" for one in ALARM],
            scope.arn("cloudwatch", f"alarm:{scope.name}-*"),
        ),
        allow("Topic", [f"sns:{one}" for one in TOPIC], scope.topic),
        allow("Scaling", SCALE, scope.arn("application-autoscaling", "scalable-target/*"), scaling),
        allow("Secrets", [f"ssm:{one}" for one in KEEP], scope.parameters),
        allow("Logs", [f"logs:{one}" for one in LOG], [scope.logs, f"{scope.logs}:*"]),
        *list_role_shipping(scope),
        *scope.keep_key(scope.arn("kms", f"alias/ecomdeploy-{scope.name}")),
    ]


def list_training(scope: DeployerScope) -> list[Statement]:
    """Jobs of this service's own name, and what they write; their data is in the bucket of its records."""
    made = ["sagemaker:AddTags", "sagemaker:CreateTrainingJob"]
    where = scope.arn("sagemaker", f"training-job/{scope.name}-train-*")
    group = scope.arn("logs", "log-group:/aws/sagemaker/TrainingJobs")
    written = allow("TrainingLog", ["logs:DescribeLogStreams", "logs:GetLogEvents"], [group, f"{group}:*"])
    return [allow("Training", made, where), written] if scope.training else []


def list_platform_users(scope: DeployerScope) -> list[Statement]:
    """Who uses the platform, or does no more, is written beside it."""
    users = [f"{scope.state_objects}platforms/{scope.environment}/{one}.json" for one in ("lease", "users")]
    return [allow("Platform", ["s3:DeleteObject", "s3:PutObject"], users)] if scope.state else []


def list_role_shipping(scope: DeployerScope) -> list[Statement]:
    """Whoever may write a role's policies and hand it to a container may do what they say: hence the boundary."""
    bounded = (
        {"StringEquals": {"iam:PermissionsBoundary": list(scope.boundaries)}} if scope.boundaries else None
    )
    to_sagemaker = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    made = ["iam:CreateRole", "iam:DeleteRolePolicy", "iam:PutRolePolicy"]
    made += ["iam:PutRolePermissionsBoundary"] if bounded else []
    scaling = "sagemaker.application-autoscaling.amazonaws.com"
    return [
        allow("ServingRole", made, scope.service_roles, bounded),
        # Application Auto Scaling's own, with an account's first endpoint that scales.
        allow(
            "ScalingRole",
            "iam:CreateServiceLinkedRole",
            f"arn:{scope.partition}:iam::{scope.account}:role/aws-service-role/{scaling}/*",
            {"StringEquals": {"iam:AWSServiceName": scaling}},
        ),
        allow("TagServingRole", ["iam:TagRole", "iam:UntagRole"], scope.service_roles),
        allow("PassServingRole", "iam:PassRole", scope.service_roles, to_sagemaker),
    ]


def list_removing(scope: DeployerScope) -> list[Statement]:
    """What `down --all` needs besides: the base goes, with its records, images and key."""
    return [
        *list_platform_users(scope),
        allow(
            "Records",
            [
                "s3:DeleteBucket",
                "s3:DeleteBucketPolicy",
                "s3:DeleteObject",
                "s3:DeleteObjectVersion",
                "s3:ListBucketVersions",
            ],
            scope.records,
        ),
        allow(
            "Repository", ["ecr:BatchDeleteImage", "ecr:DeleteRepository", "ecr:ListImages"], scope.repository
        ),
        allow(
            "ServingRole",
            DELETE_ROLE,
            scope.service_roles,
        ),
        allow("Logs", "logs:DeleteLogGroup", [scope.logs, f"{scope.logs}:*"]),
        *scope.remove_key(scope.arn("kms", f"alias/ecomdeploy-{scope.name}")),
        *list_governance_removing(scope),
    ]


def list_governance_removing(scope: DeployerScope) -> list[Statement]:
    """What the base has for its account and its pipeline. Making them is an administrator's (docs/ci.md)."""
    budget = ["budgets:ModifyBudget", "budgets:UntagResource"]
    return [
        *([allow("PipelineRoles", DELETE_ROLE, scope.pipeline_roles)] if scope.pipeline else []),
        *([allow("Issuer", "iam:DeleteOpenIDConnectProvider", scope.issuer_arn)] if scope.issuer else []),
        # Of budgets this is what deleting takes: list_awsbudgetservice.html there.
        *([allow("Budget", budget, scope.budget_arn)] if scope.budget else []),
    ]
