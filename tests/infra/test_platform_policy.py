"""What `ci policy --for platform` allows and what it does not, by IAM's rules; and that every policy that is written is
about actions and things that AWS knows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from authorization_reference import find_faults
from iam_policies import Request, is_allowed
from platform_calls import list_platform_requests

from cli.ci.policy import list_tasks, write_policy
from cli.wiring import load_spec
from infra.deployer.platform import CLUSTER, KEPT, LOG, MADE, QUEUE, RULE

Document = Mapping[str, Any]
ACCOUNT, REGION = "123456789012", "eu-west-1"
BOUND = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
OURS = {"aws:ResourceTag/ecomdeploy:project": "platform", "aws:ResourceTag/ecomdeploy:environment": "prod"}
NEW = {key.replace("ResourceTag", "RequestTag"): value for key, value in OURS.items()}
STAGING = {**OURS, "aws:ResourceTag/ecomdeploy:environment": "staging"}
A_SERVICE = {**OURS, "aws:ResourceTag/ecomdeploy:project": "shop"}
OTHERS: tuple[Mapping[str, str], ...] = ({}, STAGING, A_SERVICE)
"""Of nobody, of another environment's platform, of a service."""


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


def role(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


NODE, ADMIN = role(f"ecomdeploy-prod-{REGION}-node"), role("admin")
WITHIN = {"iam:PermissionsBoundary": BOUND}


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Document]:
    """By task."""
    file: Path = tmp_path_factory.mktemp("printed") / "ecomdeploy.yaml"
    file.write_text(
        "version: 1\nservice: shop\nusecase: recommendation\n"
        f"governance: {{permissions_boundary: '{BOUND}'}}\nenvironments:\n"
        f'  prod: {{cloud: aws, account: "{ACCOUNT}", region: {REGION}, state: s3://of-shop/ml, secrets: "awskms://alias/of-state"}}\n'
    )
    return {task: write_policy(load_spec(file.parent, "prod"), task) for task in list_tasks()}


CALLED = (
    *(f"ec2:{one}" for one in (*MADE, *KEPT)),
    *(f"eks:{one}" for one in ("CreateCluster", *CLUSTER)),
    *(f"logs:{one}" for one in LOG),
    *(f"sqs:{one}" for one in QUEUE),
    *(f"events:{one}" for one in RULE),
    *(
        "iam:CreateRole",
        "iam:PutRolePolicy",
        "iam:AttachRolePolicy",
        "iam:DetachRolePolicy",
        "iam:DeleteRole",
    ),
    *(
        "kms:CreateKey",
        "kms:CreateAlias",
        "kms:EnableKeyRotation",
        "kms:TagResource",
        "kms:ScheduleKeyDeletion",
    ),
    *("kms:DeleteAlias", "kms:CreateGrant", "s3:GetObject", "servicequotas:GetServiceQuota"),
)
"""Of a whole life; which of them are made, the local cloud tells (tests/scenarios/test_platform.py)."""
LAUNCHES = (
    Request("ec2:RunInstances", arn("ec2", "launch-template/lt-1"), OURS),
    *(
        Request(
            "ec2:RunInstances",
            arn("ec2", f"{kind}/x-1"),
            {"ec2:LaunchTemplate": arn("ec2", "launch-template/lt-1")},
        )
        for kind in ("instance", "volume", "network-interface", "subnet", "security-group")
    ),
)
PASSED = tuple(
    Request("iam:PassRole", NODE, {"iam:PassedToService": f"{one}.amazonaws.com"})
    for one in ("ec2", "eks", "pods.eks", "vpc-flow-logs")
)


def test_a_whole_life_is_allowed(printed: dict[str, Document]) -> None:
    asked = list_platform_requests(CALLED, "prod", ACCOUNT, REGION)
    wanted = [
        *(Request(one.action, one.resource, {**one.context, **WITHIN}) for one in asked),
        *LAUNCHES,
        *PASSED,
    ]
    assert [(one.action, one.resource) for one in wanted if not is_allowed(one, printed["platform"])] == []


USERS: tuple[str, ...] = (
    "CreateUser",
    "CreateAccessKey",
    "CreateLoginProfile",
    "AttachUserPolicy",
    "PutUserPolicy",
    "AddUserToGroup",
)
USERS += ("UpdateLoginProfile", "DeactivateMFADevice")
ROLES: tuple[str, ...] = (
    "CreateRole",
    "PutRolePolicy",
    "AttachRolePolicy",
    "UpdateAssumeRolePolicy",
    "DeleteRole",
    "TagRole",
)
ROLES += ("DeleteRolePermissionsBoundary", "PutRolePermissionsBoundary", "DeleteRolePolicy")
POLICIES = ("CreatePolicyVersion", "SetDefaultPolicyVersion", "CreatePolicy", "DeletePolicy")
EDITED: tuple[str, ...] = (
    "DeleteVpc",
    "DeleteSubnet",
    "DeleteSecurityGroup",
    "DeleteNatGateway",
    "DeleteRouteTable",
    "DeleteRoute",
)
EDITED += (
    "CreateRoute",
    "ReplaceRoute",
    "AuthorizeSecurityGroupIngress",
    "RevokeSecurityGroupIngress",
    "CreateTags",
)
EDITED += ("DeleteTags", "ModifyVpcEndpoint", "DeleteVpcEndpoints", "ReleaseAddress", "DisassociateAddress")
EDITED += ("DetachInternetGateway", "DeleteFlowLogs", "DeleteLaunchTemplate", "CreateLaunchTemplateVersion")
MACHINES: tuple[str, ...] = (
    "TerminateInstances",
    "StopInstances",
    "ModifyInstanceAttribute",
    "CreateImage",
    "GetPasswordData",
)
MACHINES += (
    "AssociateIamInstanceProfile",
    "ReplaceIamInstanceProfileAssociation",
    "AttachVolume",
    "DeleteVolume",
)
SHARES: tuple[str, ...] = (
    "CreateVpcPeeringConnection",
    "AcceptVpcPeeringConnection",
    "CreateVpnConnection",
    "CreateNetworkAclEntry",
)
SHARES += (
    "ModifySnapshotAttribute",
    "ModifyImageAttribute",
    "DisableEbsEncryptionByDefault",
    "CreateKeyPair",
)
CLUSTERS: tuple[str, ...] = (
    "DeleteCluster",
    "UpdateClusterConfig",
    "CreateAccessEntry",
    "CreateNodegroup",
    "CreateAddon",
)
CLUSTERS += ("CreatePodIdentityAssociation", "TagResource", "DescribeCluster")
KEYS = (
    "ScheduleKeyDeletion",
    "DisableKey",
    "PutKeyPolicy",
    "CreateGrant",
    "CreateAlias",
    "TagResource",
    "Decrypt",
)
AWS = "arn:aws:iam::aws:policy"
NEVER = (
    *(Request(f"iam:{one}", f"arn:aws:iam::{ACCOUNT}:user/u") for one in USERS),
    *(Request(f"iam:{one}", name, WITHIN) for one in ROLES for name in (ADMIN, role("ecomdeploy-staging-x"))),
    *(Request(f"iam:{one}", f"arn:aws:iam::{ACCOUNT}:policy/boundary") for one in POLICIES),
    # Its own roles: without the boundary, with a policy of AWS's that gives all, or by taking the boundary off.
    *(
        Request(f"iam:{one}", NODE)
        for one in ("CreateRole", "PutRolePolicy", "DeleteRolePermissionsBoundary")
    ),
    Request("iam:PutRolePolicy", NODE, {"iam:PermissionsBoundary": f"{AWS}/AdministratorAccess"}),
    *(
        Request("iam:AttachRolePolicy", NODE, {**WITHIN, "iam:PolicyARN": policy})
        for policy in (
            f"{AWS}/AdministratorAccess",
            f"{AWS}/IAMFullAccess",
            f"arn:aws:iam::{ACCOUNT}:policy/mine",
        )
    ),
    Request("iam:AttachRolePolicy", NODE, WITHIN),
    *(
        Request("iam:PassRole", name, {"iam:PassedToService": f"{service}.amazonaws.com"})
        for name, service in ((ADMIN, "ec2"), (ADMIN, "eks"), (NODE, "lambda"), (NODE, "sagemaker"))
    ),
    Request("iam:PassRole", NODE),
    Request("iam:CreateServiceLinkedRole", role("aws-service-role/rds.amazonaws.com/x")),
    Request("iam:UpdateAccountPasswordPolicy"),
    Request("iam:CreateOpenIDConnectProvider", f"arn:aws:iam::{ACCOUNT}:oidc-provider/evil.example"),
    *(Request("sts:AssumeRole", name) for name in ("*", ADMIN, NODE)),
    Request("sts:GetFederationToken"),
    *(Request(f"ec2:{one}", arn("ec2", "vpc/x-1"), tags) for one in EDITED for tags in OTHERS),
    *(
        Request(f"ec2:{one}", arn("ec2", "instance/i-1"), tags)
        for one in MACHINES
        for tags in (*OTHERS, OURS)
    ),
    *(Request(f"ec2:{one}", arn("ec2", "x/x-1"), OURS) for one in SHARES),
    # What is made is tagged, what stands is not made ours by a tag, and nothing is made in a network of others.
    *(Request(f"ec2:{one}", arn("ec2", f"{kind}/x-1")) for one, kind in MADE.items()),
    *(Request("ec2:CreateTags", arn("ec2", "vpc/vpc-1"), {**NEW, **tags}) for tags in OTHERS),
    *(
        Request(f"ec2:{one}", arn("ec2", "vpc/vpc-1"), A_SERVICE)
        for one in ("CreateSubnet", "CreateRouteTable")
    ),
    # A machine is of a template of ours, or it is not launched.
    Request("ec2:RunInstances", arn("ec2", "instance/*"), NEW),
    Request("ec2:RunInstances", arn("ec2", "launch-template/lt-9"), STAGING),
    *(
        Request(f"eks:{one}", arn("eks", f"cluster/{name}"))
        for one in CLUSTERS
        for name in ("payments", "ecomdeploy-staging", "ecomdeploy-production")
    ),
    Request("eks:DeleteNodegroup", arn("eks", "nodegroup/ecomdeploy-staging/a/1")),
    Request("eks:AssociateAccessPolicy", arn("eks", "access-entry/payments/role/x/1")),
    Request("eks:CreateCluster"),
    Request(
        "eks:CreateCluster", context={key: value.replace("prod", "staging") for key, value in NEW.items()}
    ),
    *(Request(f"kms:{one}", arn("kms", "key/2"), tags) for one in KEYS for tags in OTHERS),
    *(
        Request(f"kms:{one}", arn("kms", "key/1"), OURS)
        for one in ("DisableKey", "PutKeyPolicy", "ReEncryptFrom")
    ),
    Request("kms:TagResource", arn("kms", "key/2"), {**NEW, "kms:ResourceAliases": ["alias/payroll"]}),
    Request("kms:CreateAlias", arn("kms", "alias/payroll")),
    *(
        Request(f"logs:{one}", arn("logs", f"log-group:{name}"))
        for one in LOG
        for name in ("/payroll", "/aws/eks/payments/cluster", "/aws/cloudtrail")
    ),
    *(
        Request(f"sqs:{one}", arn("sqs", name))
        for one in (*QUEUE, "SendMessage", "ReceiveMessage")
        for name in ("orders", "ecomdeploy-staging-karpenter")
    ),
    Request("sqs:ReceiveMessage", arn("sqs", "ecomdeploy-prod-karpenter")),
    *(
        Request(f"events:{one}", arn("events", f"rule/{name}"))
        for one in RULE
        for name in ("nightly", "ecomdeploy-staging-karpenter-spot")
    ),
    *(
        Request(f"s3:{one}", f"arn:aws:s3:::{name}")
        for one in ("GetObject", "PutObject", "DeleteObject")
        for name in ("payroll/a", "of-shop/ml/.pulumi/stacks/ecomdeploy-service/shop-prod.json")
    ),
    *(
        Request(f"s3:{one}", "arn:aws:s3:::of-shop")
        for one in ("DeleteBucket", "PutBucketPolicy", "PutBucketAcl")
    ),
    *(Request(f"autoscaling:{one}") for one in ("DeleteAutoScalingGroup", "CreateAutoScalingGroup")),
    *(Request(f"organizations:{one}") for one in ("LeaveOrganization", "DetachPolicy", "CreateAccount")),
    *(Request(f"cloudtrail:{one}") for one in ("StopLogging", "DeleteTrail")),
    *map(Request, ("guardduty:DeleteDetector", "config:StopConfigurationRecorder", "account:CloseAccount")),
    *map(
        Request,
        ("lambda:CreateFunction", "cloudformation:CreateStack", "ssm:SendCommand", "ssm:StartSession"),
    ),
    *map(
        Request,
        ("secretsmanager:GetSecretValue", "route53:ChangeResourceRecordSets", "route53:CreateHostedZone"),
    ),
    *map(Request, ("servicequotas:RequestServiceQuotaIncrease", "ec2-instance-connect:SendSSHPublicKey")),
    *map(
        Request,
        ("sagemaker:CreateEndpoint", "ecr:PutImage", "budgets:ModifyBudget", "ram:CreateResourceShare"),
    ),
)


@pytest.mark.parametrize("task", ["platform-plan", "platform"])
def test_nothing_dangerous_is(printed: dict[str, Document], task: str) -> None:
    assert len(NEVER) > 250
    assert [(one.action, one.resource) for one in NEVER if is_allowed(one, printed[task])] == []


def test_who_plans_changes_nothing(printed: dict[str, Document]) -> None:
    reads: tuple[str, ...] = (
        "ec2:Describe",
        "eks:Describe",
        "eks:List",
        "iam:Get",
        "iam:List",
        "kms:Describe",
        "kms:Get",
        "kms:List",
    )
    reads += ("s3:Get", "servicequotas:", "logs:Describe", "logs:List", "kms:Decrypt")
    writes = [one for one in CALLED if not one.startswith(reads)]
    asked = list_platform_requests(writes, "prod", ACCOUNT, REGION)
    assert len(asked) > 80
    assert [one.action for one in asked if is_allowed(one, printed["platform-plan"])] == []


@pytest.mark.parametrize("task", list_tasks())
def test_what_is_printed_can_do_what_it_says(printed: dict[str, Document], task: str) -> None:
    """Every action is one of AWS's, on a thing that it can be on, by tags that such a thing has."""
    assert list(find_faults(printed[task])) == []


FAULTS = {
    "ec2:MakeCoffee": "is no action",
    "eks:CreateCluster": "is on none of",
    "sagemaker:InvokeEndpoint": "is on none of",
    "eks:DescribeCluster": "",
}


@pytest.mark.parametrize("action", FAULTS)
def test_what_could_never_do_it_is_found(action: str) -> None:
    one = {"Effect": "Allow", "Action": action, "Resource": arn("eks", "cluster/x")}
    faults = list(find_faults({"Version": "2012-10-17", "Statement": one}))
    assert bool(faults) == bool(FAULTS[action])
    assert FAULTS[action] in "".join(faults)
