"""What whoever brings a platform up needs of IAM: its network, its cluster, their roles, key and logs, and no others'.

What can be narrowed by name is, by ARN (EKS, IAM, logs, SQS, EventBridge). EC2 draws its ids itself: there what is made
must be given our tags, and what is changed or removed must have them; EKS's CreateCluster is on no resource, so that it
is the tags that narrow it. Resource types and condition keys of each action:
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html,
list_amazonelastickubernetesservice.html, list_awsidentityandaccessmanagementiam.html, list_awskeymanagementservice.html
(tests/infra/test_platform_policy.py holds actions and resource types against them).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.deployer.state import DeployerPlace, Statement, allow, list_state_reading, list_state_shipping


@dataclass(frozen=True, kw_only=True)
class PlatformScope(DeployerPlace):
    """The platform of one environment, brought up from the project of `service`, beside whose records it is noted."""

    service: str

    @property
    def name(self) -> str:
        return f"ecomdeploy-{self.environment}"

    @property
    def project(self) -> str:
        return "platform"

    @property
    def stacks(self) -> tuple[tuple[str, str], ...]:
        return (("ecomdeploy-platform", self.environment),)

    @property
    def own_state(self) -> list[str]:
        users = (f"platforms/{self.environment}", f"{self.service}-{self.environment}")
        return [*super().own_state[1:], *(f"{self.state_objects}{one}/*" for one in users)]

    @property
    def cluster(self) -> list[str]:
        """The cluster and all that is part of one."""
        parts = ("nodegroup", "addon", "access-entry", "podidentityassociation")
        return [
            self.arn("eks", f"cluster/{self.name}"),
            *(self.arn("eks", f"{one}/{self.name}/*") for one in parts),
        ]

    @property
    def roles(self) -> list[str]:
        head = f"arn:{self.partition}:iam::{self.account}:role/{self.name}"
        return [f"{head}-{self.region}-*", f"{head}-flows-*"]

    @property
    def logs(self) -> list[str]:
        groups = (f"/aws/eks/{self.name}/cluster", f"/ecomdeploy/{self.name}-flows")
        return [self.arn("logs", f"log-group:{one}{end}") for one in groups for end in ("", ":*")]

    @property
    def queue(self) -> str:
        """Karpenter's, of what EC2 takes away."""
        return self.arn("sqs", f"{self.name}-karpenter")

    @property
    def rules(self) -> str:
        """EventBridge's, that fill it."""
        return self.arn("events", f"rule/{self.name}-karpenter-*")

    def ec2(self, *kinds: str) -> list[str]:
        return [self.arn("ec2", f"{kind}/*") for kind in kinds]


LOOKS = [
    "ec2:Describe*",
    "eks:DescribeAddonVersions",
    "eks:DescribeClusterVersions",
    "iam:ListRoles",
    "kms:DescribeKey",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:ListAliases",
    "kms:ListKeys",
    "kms:ListResourceTags",
    "logs:DescribeLogGroups",
    # Whose model servers stand in the network, before it goes.
    "sagemaker:DescribeEndpoint",
    "sagemaker:DescribeEndpointConfig",
    "sagemaker:DescribeModel",
    "sqs:ListQueues",
    "servicequotas:Get*",
    "servicequotas:List*",
    "tag:GetResources",
]
"""These have no resource to be narrowed to, or list what is looked for by its tags."""
MADE = {
    "CreateVpc": "vpc",
    "CreateSubnet": "subnet",
    "CreateInternetGateway": "internet-gateway",
    "AllocateAddress": "elastic-ip",
    "CreateNatGateway": "natgateway",
    "CreateRouteTable": "route-table",
    "CreateSecurityGroup": "security-group",
    "CreateVpcEndpoint": "vpc-endpoint",
    "CreateFlowLogs": "vpc-flow-log",
    "CreateLaunchTemplate": "launch-template",
}
"""Each needs a right to the new thing, and one to what it is made in."""
KEPT = [
    *MADE,
    *("AssociateRouteTable", "AttachInternetGateway", "AuthorizeSecurityGroupEgress"),
    *("AuthorizeSecurityGroupIngress", "CreateLaunchTemplateVersion", "CreateRoute", "CreateTags"),
    *("DeleteTags", "ModifyLaunchTemplate", "ModifySubnetAttribute"),
    *("ModifyVpcAttribute", "ModifyVpcEndpoint", "ReplaceRoute", "ReplaceRouteTableAssociation"),
    *("RevokeSecurityGroupEgress", "RevokeSecurityGroupIngress"),
    *("DeleteFlowLogs", "DeleteInternetGateway", "DeleteLaunchTemplate", "DeleteLaunchTemplateVersions"),
    *("DeleteNatGateway", "DeleteRoute", "DeleteRouteTable", "DeleteSecurityGroup", "DeleteSubnet"),
    *("DeleteVpc", "DeleteVpcEndpoints", "DetachInternetGateway", "DisassociateAddress"),
    *("DisassociateRouteTable", "ReleaseAddress"),
]
CLUSTER = [
    *("AssociateAccessPolicy", "DisassociateAccessPolicy"),
    *("CreateAccessEntry", "CreateAddon", "CreateNodegroup", "CreatePodIdentityAssociation"),
    *("DeleteAccessEntry", "DeleteAddon", "DeleteCluster", "DeleteNodegroup", "DeletePodIdentityAssociation"),
    *("UpdateAccessEntry", "UpdateAddon", "UpdateClusterConfig", "UpdateClusterVersion"),
    *("UpdateNodegroupConfig", "UpdateNodegroupVersion", "UpdatePodIdentityAssociation"),
    *("TagResource", "UntagResource"),
]
LINKED = ("eks", "eks-nodegroup", "spot")
"""Services whose own roles an account's first cluster, node group and spot nodes make."""
TAKERS = ["ec2.amazonaws.com", "eks.amazonaws.com", "pods.eks.amazonaws.com", "vpc-flow-logs.amazonaws.com"]
QUEUE = ["CreateQueue", "DeleteQueue", "SetQueueAttributes", "TagQueue", "UntagQueue"]
RULE = ["PutRule", "DeleteRule", "PutTargets", "RemoveTargets", "TagResource", "UntagResource"]
LOG = ["CreateLogGroup", "DeleteLogGroup", "PutRetentionPolicy", "TagResource", "UntagResource"]


def list_platform_reading(scope: PlatformScope) -> list[Statement]:
    """`platform plan`, and `platform up` before it changes anything."""
    records = f"arn:{scope.partition}:s3:::{scope.service}-{scope.environment}-{scope.account}"
    return [
        *list_state_reading(scope),
        allow("Records", ["s3:GetObject", "s3:ListBucket"], [records, f"{records}/*"]),
        allow("Looks", LOOKS, "*"),
        allow("Cluster", ["eks:Describe*", "eks:List*"], scope.cluster),
        allow("Roles", ["iam:GetRole", "iam:GetRolePolicy", "iam:List*"], scope.roles),
        allow("Logs", "logs:ListTagsForResource", scope.logs),
        allow("Queue", ["sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:ListQueueTags"], scope.queue),
        allow(
            "Rules", ["events:DescribeRule", "events:List*ByRule", "events:ListTagsForResource"], scope.rules
        ),
        *scope.use_keys("Decrypt", ["kms:Decrypt"]),
    ]


def list_platform_shipping(scope: PlatformScope) -> list[Statement]:
    """`platform up` and `platform down`: all of it is made, changed and taken away again."""
    alias = scope.arn("kms", f"alias/ecomdeploy-{scope.name}")
    return [
        *list_state_shipping(scope),
        *list_network(scope),
        allow("NewCluster", "eks:CreateCluster", "*", {"StringEquals": scope.list_tags("RequestTag")}),
        allow("Cluster", [f"eks:{one}" for one in CLUSTER], scope.cluster),
        allow("Logs", [f"logs:{one}" for one in LOG], scope.logs),
        allow("Queue", [f"sqs:{one}" for one in QUEUE], scope.queue),
        allow("EventRules", [f"events:{one}" for one in RULE], scope.rules),
        *list_platform_roles(scope),
        *scope.keep_key(alias),
        # EKS's own grant comes without `kms:GrantIsForAWSResource`, says its user guide of CreateCluster.
        allow("ClusterGrant", "kms:CreateGrant", "*", scope.own),
        *scope.remove_key(alias),
    ]


def list_network(scope: PlatformScope) -> list[Statement]:
    made: Mapping[str, Any] = {"StringEquals": scope.list_tags("RequestTag")}
    making = [*MADE, "AuthorizeSecurityGroupEgress"]
    creating = {"StringEquals": {**scope.list_tags("RequestTag"), "ec2:CreateAction": making}}
    rules = ["ec2:AuthorizeSecurityGroupEgress", "ec2:AuthorizeSecurityGroupIngress"]
    kinds = tuple(dict.fromkeys(MADE.values()))
    # A node group is taken from whoever may launch the machines of its template.
    launched = ("instance", "volume", "network-interface", "subnet", "security-group")
    ours = {"ArnLike": {"ec2:LaunchTemplate": scope.arn("ec2", "launch-template/*")}}
    images = f"arn:{scope.partition}:ec2:{scope.region}::image/*"
    return [
        allow("MakeNetwork", [f"ec2:{one}" for one in MADE], scope.ec2(*kinds), made),
        allow("TagNetwork", "ec2:CreateTags", scope.ec2(*kinds, "security-group-rule"), creating),
        allow("Network", [f"ec2:{one}" for one in KEPT], scope.ec2("*"), scope.own),
        allow("Rules", rules, scope.ec2("security-group-rule")),
        # An interface endpoint's private names are a zone of AWS's, by the reference's dependent actions.
        allow("Names", "route53:AssociateVPCWithHostedZone", f"arn:{scope.partition}:route53:::hostedzone/*"),
        allow("Template", "ec2:RunInstances", scope.ec2("launch-template"), scope.own),
        allow("Nodes", "ec2:RunInstances", [*scope.ec2(*launched), images], ours),
    ]


def list_platform_roles(scope: PlatformScope) -> list[Statement]:
    """Of the policies that a role may be given by name, AWS's for clusters, nodes and storage."""
    bounded = {"iam:PermissionsBoundary": list(scope.boundaries)} if scope.boundaries else {}
    only = {"StringEquals": bounded} if bounded else None
    head = f"arn:{scope.partition}:iam::aws:policy"
    names = (
        *("AmazonEKSClusterPolicy", "AmazonEKSWorkerNodePolicy", "AmazonEKSWorkerNodeMinimalPolicy"),
        *("AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistry*", "service-role/AmazonEBSCSIDriverPolicy"),
        "AmazonSSMManagedInstanceCore",
    )
    attached = {"ArnLike": {"iam:PolicyARN": [f"{head}/{one}" for one in names]}}
    linked = f"arn:{scope.partition}:iam::{scope.account}:role/aws-service-role"
    made = ["iam:CreateRole", "iam:PutRolePolicy", *(["iam:PutRolePermissionsBoundary"] if bounded else [])]
    kept = ["iam:DeleteRole", "iam:DeleteRolePolicy", "iam:TagRole", "iam:UntagRole"]
    services = [f"{one}.amazonaws.com" for one in LINKED]
    return [
        allow("MakeRoles", made, scope.roles, only),
        allow("Roles", [*kept, "iam:UpdateAssumeRolePolicy"], scope.roles),
        allow("AttachRoles", ["iam:AttachRolePolicy", "iam:DetachRolePolicy"], scope.roles, attached),
        allow("PassRoles", "iam:PassRole", scope.roles, {"StringEquals": {"iam:PassedToService": TAKERS}}),
        allow(
            "LinkedRoles",
            "iam:CreateServiceLinkedRole",
            [f"{linked}/{one}/*" for one in services],
            {"StringEquals": {"iam:AWSServiceName": services}},
        ),
    ]
