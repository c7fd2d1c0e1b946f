"""All IAM documents that we generate: what the work needs is allowed, what is dangerous is not, nothing is `*` on `*`.

The documents are taken from the programs and the pipelines' template as they are written, and judged by IAM's rules
(tests/support/iam_policies.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import declared
import pytest
from iam_policies import Request, as_list, is_allowed, listed, statements

from cli.ci.pipelines import find_services, render
from cli.ci.policy import TASKS, write_policy
from cli.wiring import load_spec

Document = Mapping[str, Any]
PLACE = {"environment": "prod", "cloud": "aws", "region": "eu-west-1", "account": "123456789012"}
ACCOUNT, ENDPOINT = PLACE["account"], "shop-prod"
BUCKET = f"{ENDPOINT}-{ACCOUNT}"
SERVING = f"arn:aws:iam::{ACCOUNT}:role/{ENDPOINT}-serving"
PARAMETER = f"/ecomdeploy/{ENDPOINT}/DB/0123456789abcdef"
RELEASE = {
    "key": "a" * 12,
    "image": f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/shop-prod@sha256:" + "a" * 64,
    "instance": "ml.c7i.xlarge",
    "count": 1,
    "environment": {
        "ECOMDEPLOY_SECRET_DB": f"ssm:{PARAMETER}",
        "ECOMDEPLOY_SECRET_KEY": "secretsmanager:shop/key",
    },
    "initial": True,
}
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "base": {**PLACE, "service": "shop", "bucket": BUCKET, "target": "sagemaker", "log_days": 30},
    "service": {
        **PLACE,
        "service": "shop",
        "base": {"role_arn": SERVING},
        "target": "sagemaker",
        "scale": {"min": 1, "max": 4, "target_rps": 100.0},
        "releases": [RELEASE],
    },
    "platform": {
        **PLACE,
        "name": "ecomdeploy-prod",
        "platform": {
            "gpu_pools": [{"name": "g6", "instances": ["g6.xlarge"]}],
            "access": [{"principal": f"arn:aws:iam::{ACCOUNT}:role/ops", "policy": "view"}],
        },
    },
}


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:eu-west-1:{ACCOUNT}:{resource}"


def find_documents(value: Any, path: str = "") -> Iterator[tuple[str, Document]]:
    """Every policy document within inputs, written out or as text, with where it stands."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = json.loads(value)
    if isinstance(value, Mapping):
        if "Statement" in value:
            yield path, value
            return
        for key, one in value.items():
            yield from find_documents(one, f"{path}.{key}")
    elif isinstance(value, list):
        for one in value:
            yield from find_documents(one, path)


@pytest.fixture(scope="module")
def generated() -> dict[str, Document]:
    """By "type name.property"."""
    return {
        f"{one.type.rpartition(':')[2]} {one.name}{path}": document
        for name, settings in SETTINGS.items()
        for one in declared.program(name, settings, stack="shop-prod").custom()
        for path, document in find_documents(dict(one.inputs))
    }


def resolve(value: Any, values: Mapping[str, str]) -> Any:
    """A template's value with its parameters filled in; of an !If the fuller side."""
    if isinstance(value, Mapping):
        if "Fn::Sub" in value:
            return re.sub(r"\$\{([\w:]+)\}", lambda found: values[found[1]], value["Fn::Sub"])
        if "Fn::If" in value:
            return resolve(value["Fn::If"][1], values)
        return {key: resolve(one, values) for key, one in value.items()}
    return [resolve(one, values) for one in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Document]:
    """The roles' documents of `ci init roles`, by their place in the template."""
    from cfnlint.decode import decode

    root: Path = tmp_path_factory.mktemp("repository")
    places = "".join(
        f'  {name}: {{cloud: aws, account: "{ACCOUNT}", region: eu-west-1, state: s3://of-shop/ml, secrets: "awskms://alias/of-state"}}\n'
        for name in ("staging", "prod")
    )
    (root / "ecomdeploy.yaml").write_text(
        f"version: 1\nservice: shop\nusecase: recommendation\nenvironments:\n{places}"
    )
    (written,) = [
        one
        for one in render("roles", find_services(root, "staging", "prod"), root)
        if one.path.suffix == ".yml"
    ]
    file = root / "roles.yml"
    file.write_text(written.text)
    given = {
        "AWS::Partition": "aws",
        "AWS::AccountId": ACCOUNT,
        "AWS::Region": "eu-west-1",
        "Environment": "prod",
    }
    more = {
        "StateBucket": "of-shop",
        "StatePrefix": "ml/",
        "Issuer": "token.actions.githubusercontent.com",
        "Reader": "210987654321",
    }
    subjects = {name: f"repo:org/shop:{name}" for name in ("RequestSubject", "MainSubject", "DeploySubject")}
    template: Any = decode(str(file))[0]
    return {
        f"{name}{path}": document
        for name, one in template["Resources"].items()
        for path, document in find_documents(resolve(one["Properties"], {**given, **more, **subjects}))
    }


@pytest.fixture(scope="module", params=["github", "gitlab"])
def federated(request: pytest.FixtureRequest) -> dict[str, Document]:
    """The documents of the pipeline's roles in the base, by "Role plan", "RolePolicy plan" and so on."""
    access = {"issuer": request.param, "repository": "org/shop"}
    access |= {"environment": "production"} if request.param == "github" else {}
    settings = {
        **SETTINGS["base"],
        "pipeline": access,
        "state": "s3://of-shop/ml",
        "secrets": "awskms://alias/of-state",
    }
    made = [
        one for one in declared.program("base", settings, stack=ENDPOINT).custom() if "pipeline" in one.name
    ]
    assert [one.type for one in made].count("aws:iam/openIdConnectProvider:OpenIdConnectProvider") == 1
    return {
        f"{one.type.rpartition(':')[2]} {one.name.removeprefix('pipeline-').removesuffix('-policy')}": document
        for one in made
        for _, document in find_documents(dict(one.inputs))
    }


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Document]:
    """What `ci policy` prints, by task, of an account with a boundary."""
    file: Path = tmp_path_factory.mktemp("printed") / "ecomdeploy.yaml"
    file.write_text(
        "version: 1\nservice: shop\nusecase: recommendation\n"
        f"governance: {{permissions_boundary: '{BOUND}'}}\nenvironments:\n"
        f'  prod: {{cloud: aws, account: "{ACCOUNT}", region: eu-west-1, state: s3://of-shop/ml, secrets: "awskms://alias/of-state?region=eu-west-1"}}\n'
    )
    return {task: write_policy(load_spec(file.parent, "prod"), task) for task in TASKS}


NAMES = (
    *("Role role.assumeRolePolicy", "RolePolicy role-serve.policy", "BucketPolicy bucket-tls-only.policy"),
    *("RolePolicy secrets-reading.policy", "RolePolicy ecomdeploy-prod-flows-role-write.policy"),
    *(
        "Role ecomdeploy-prod-cluster-role.assumeRolePolicy",
        "Role ecomdeploy-prod-cluster-node-role.assumeRolePolicy",
    ),
)


def test_the_documents_are_found(generated: dict[str, Document], pipeline: dict[str, Document]) -> None:
    """So that no other test passes because it looked at nothing."""
    assert set(NAMES) <= set(generated)
    assert len(generated) >= len(NAMES) + 2
    assert set(pipeline) == {
        *("PlanRole.AssumeRolePolicyDocument", "DeployRole.AssumeRolePolicyDocument"),
        *("Reading.PolicyDocument", "Shipping.PolicyDocument"),
    }


def test_nothing_is_allowed_everything_or_everyone(
    generated: dict[str, Document], pipeline: dict[str, Document], printed: dict[str, Document]
) -> None:
    for name, document in {**generated, **pipeline, **printed}.items():
        for one in statements(document):
            if one["Effect"] == "Deny":
                continue
            broad = [action for action in listed(one["Action"]) if re.fullmatch(r"[^:]*:?\*", action)]
            assert not (broad and "*" in listed(one.get("Resource", "*"))), (name, broad)
            principals = as_list(one.get("Principal", {}))
            assert "*" not in principals, name
            assert not any("*" in listed(each) for who in principals for each in who.values()), name


SERVES = {
    Request("ecr:GetAuthorizationToken"),
    Request("ecr:BatchGetImage", "arn:aws:mock:us-east-1:123456789012:registry"),
    Request("ecr:GetDownloadUrlForLayer", "arn:aws:mock:us-east-1:123456789012:registry"),
    Request("logs:CreateLogStream", arn("logs", f"log-group:/aws/sagemaker/Endpoints/{ENDPOINT}")),
    Request("logs:PutLogEvents", arn("logs", f"log-group:/aws/sagemaker/Endpoints/{ENDPOINT}:log-stream:a")),
    Request("cloudwatch:DescribeAlarms", arn("cloudwatch", f"alarm:{ENDPOINT}-error-rate")),
    Request("cloudwatch:PutMetricData", context={"cloudwatch:namespace": "/aws/sagemaker/Endpoints"}),
    Request("ssm:GetParameter", arn("ssm", f"parameter{PARAMETER}")),
    Request("secretsmanager:GetSecretValue", arn("secretsmanager", "secret:shop/key-a1B2c3")),
}
READS = {
    Request("s3:GetObject", "arn:aws:s3:::of-shop/ml/.pulumi/meta.yaml"),
    Request("s3:GetObject", "arn:aws:s3:::of-shop/ml/.pulumi/stacks/ecomdeploy-service/shop-prod.json"),
    Request("s3:GetObject", "arn:aws:s3:::of-shop/ml/.pulumi/stacks/ecomdeploy-platform/prod.json"),
    Request("s3:GetObject", "arn:aws:s3:::of-shop/ml/platforms/prod/users.json"),
    Request("s3:ListBucket", f"arn:aws:s3:::{BUCKET}"),
    Request("ecr:DescribeRepositories", arn("ecr", f"repository/{ENDPOINT}")),
    Request("sagemaker:DescribeEndpoint", arn("sagemaker", f"endpoint/{ENDPOINT}")),
    Request("sagemaker:InvokeEndpoint", arn("sagemaker", f"endpoint/{ENDPOINT}")),
    Request("iam:GetRole", SERVING),
    Request("iam:GetRolePolicy", SERVING),
    Request("kms:Decrypt", arn("kms", "key/1"), {"kms:ResourceAliases": ["alias/ecomdeploy-shop-prod"]}),
    Request("kms:Decrypt", arn("kms", "key/9"), {"kms:ResourceAliases": ["alias/of-state"]}),
    Request("application-autoscaling:DescribeScalableTargets"),
}
SCALABLE = arn("application-autoscaling", "scalable-target/1")
TO_SAGEMAKER = {"iam:PassedToService": "sagemaker.amazonaws.com"}
BOUND = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
WITHIN = {"iam:PermissionsBoundary": BOUND}
OWN = {"aws:ResourceTag/ecomdeploy:project": "shop", "aws:ResourceTag/ecomdeploy:environment": "prod"}
NEW = {key.replace("ResourceTag", "RequestTag"): value for key, value in OWN.items()}
OTHERS = {**OWN, "aws:ResourceTag/ecomdeploy:project": "payroll"}
SHIPS = {
    Request("s3:PutObject", f"arn:aws:s3:::{BUCKET}/releases/shop/1.json"),
    Request("ecr:PutImage", arn("ecr", f"repository/{ENDPOINT}")),
    Request("sagemaker:CreateModel", arn("sagemaker", f"model/{ENDPOINT}-0123456789ab")),
    Request("sagemaker:CreateEndpointConfig", arn("sagemaker", f"endpoint-config/{ENDPOINT}-0123456789ab")),
    Request("sagemaker:UpdateEndpoint", arn("sagemaker", f"endpoint/{ENDPOINT}")),
    Request("sagemaker:UpdateEndpointWeightsAndCapacities", arn("sagemaker", f"endpoint/{ENDPOINT}")),
    Request("cloudwatch:PutMetricAlarm", arn("cloudwatch", f"alarm:{ENDPOINT}-error-rate")),
    Request(
        "application-autoscaling:RegisterScalableTarget",
        SCALABLE,
        {"application-autoscaling:service-namespace": "sagemaker"},
    ),
    Request("iam:PassRole", SERVING, TO_SAGEMAKER),
    Request("iam:PutRolePolicy", SERVING, WITHIN),
    Request("iam:TagRole", SERVING),
    Request("kms:CreateKey", context=NEW),
    # With CreateKey: there is no key yet that a condition could ask.
    Request("kms:TagResource", context=NEW),
    Request("kms:TagResource", arn("kms", "key/1"), OWN),
    Request("s3:PutObject", "arn:aws:s3:::of-shop/ml/.pulumi/stacks/ecomdeploy-base/shop-prod.json"),
    Request("s3:PutObject", "arn:aws:s3:::of-shop/ml/.pulumi/meta.yaml"),
    Request(
        "s3:DeleteObject",
        "arn:aws:s3:::of-shop/ml/.pulumi/locks/organization/ecomdeploy-service/shop-prod/a.json",
    ),
    Request("s3:PutObject", "arn:aws:s3:::of-shop/ml/shop-prod/lease.json"),
    Request("kms:CreateAlias", arn("kms", "key/1"), OWN),
    Request("kms:EnableKeyRotation", arn("kms", "key/1"), OWN),
    Request("kms:CreateGrant", arn("kms", "key/1"), {**OWN, "kms:GrantIsForAWSResource": "true"}),
    Request(
        "kms:GenerateDataKey", arn("kms", "key/1"), {"kms:ResourceAliases": ["alias/ecomdeploy-shop-prod"]}
    ),
    Request("logs:CreateLogGroup", arn("logs", f"log-group:/aws/sagemaker/Endpoints/{ENDPOINT}")),
    Request("logs:PutRetentionPolicy", arn("logs", f"log-group:/aws/sagemaker/Endpoints/{ENDPOINT}")),
    Request("ssm:PutParameter", arn("ssm", f"parameter{PARAMETER}")),
    Request("kms:CreateAlias", arn("kms", "alias/ecomdeploy-shop-prod")),
}
OTHERS_STATE = (
    ".pulumi/stacks/ecomdeploy-base/payroll-prod.json",
    ".pulumi/stacks/ecomdeploy-service/shop-production.json",
    ".pulumi/history/ecomdeploy-service/payroll-prod/payroll-prod-1.checkpoint.json",
    ".pulumi/locks/organization/ecomdeploy-service/payroll-prod/a.json",
    ".pulumi/stacks/ecomdeploy-platform/staging.json",
    *("payroll-prod/lease.json", "shop-production/lease.json", "platforms/staging/users.json"),
)
SHARED = (".pulumi/stacks/ecomdeploy-platform/prod.json", "platforms/prod/owner.json")
"""Read by whoever is on the platform."""
PIPELINES = tuple(f"arn:aws:iam::{ACCOUNT}:role/ecomdeploy-{ENDPOINT}-{task}" for task in ("plan", "deploy"))
OTHER_ROLE = f"arn:aws:iam::{ACCOUNT}:role/admin"
NEVER = {
    *(
        Request(action, OTHER_ROLE)
        for action in ("iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:CreateRole")
    ),
    *(
        Request(action, OTHER_ROLE)
        for action in ("iam:UpdateAssumeRolePolicy", "sts:AssumeRole", "iam:DeleteRole")
    ),
    *(Request(action, SERVING) for action in ("iam:AttachRolePolicy", "iam:UpdateAssumeRolePolicy")),
    *(Request(f"iam:{name}", f"arn:aws:iam::{ACCOUNT}:user/u") for name in ("CreateUser", "CreateAccessKey")),
    Request("iam:DeleteRolePermissionsBoundary", SERVING),
    Request("iam:PassRole", OTHER_ROLE, TO_SAGEMAKER),
    Request("iam:PassRole", SERVING, {"iam:PassedToService": "lambda.amazonaws.com"}),
    Request("iam:PassRole", SERVING),
    Request("s3:GetObject", "arn:aws:s3:::payroll/salaries.csv"),
    Request("s3:PutObject", "arn:aws:s3:::payroll/salaries.csv"),
    *(Request(f"s3:{name}", f"arn:aws:s3:::{BUCKET}") for name in ("DeleteBucket", "DeleteBucketPolicy")),
    Request("s3:DeleteObjectVersion", f"arn:aws:s3:::{BUCKET}/releases/shop/1.json"),
    *(
        Request(f"kms:{name}", arn("kms", "key/1"))
        for name in ("ScheduleKeyDeletion", "DisableKey", "PutKeyPolicy")
    ),
    Request("kms:Decrypt", arn("kms", "key/2"), {"kms:ResourceAliases": ["alias/payroll"]}),
    Request("kms:Decrypt", arn("kms", "key/2")),
    Request("kms:CreateAlias", arn("kms", "key/2"), OTHERS),
    # Another's key does not become ours by a tag, be it known by its tags or by its name.
    Request("kms:TagResource", arn("kms", "key/2"), {**NEW, **OTHERS}),
    Request("kms:TagResource", arn("kms", "key/2"), {**NEW, "kms:ResourceAliases": ["alias/payroll"]}),
    Request("kms:TagResource", arn("kms", "key/2"), OTHERS),
    Request("kms:CreateKey"),
    Request("kms:Decrypt", arn("kms", "key/2"), {"kms:ResourceAliases": ["alias/ecomdeploy-payroll-prod"]}),
    *(
        Request(f"s3:{action}", f"arn:aws:s3:::of-shop/ml/{key}")
        for action in ("GetObject", "PutObject", "DeleteObject")
        for key in OTHERS_STATE
    ),
    *(
        Request(f"s3:{action}Object", f"arn:aws:s3:::of-shop/ml/{key}")
        for action in ("Put", "Delete")
        for key in SHARED
    ),
    *(Request(f"s3:PutBucket{what}", "arn:aws:s3:::of-shop") for what in ("Policy", "Acl", "Notification")),
    Request("kms:CreateAlias", arn("kms", "alias/ecomdeploy-payroll-prod")),
    Request("kms:CreateGrant", arn("kms", "key/1"), OWN),
    Request("kms:CreateGrant", arn("kms", "key/2"), {**OTHERS, "kms:GrantIsForAWSResource": "true"}),
    Request("kms:GenerateDataKey", arn("kms", "key/2"), {"kms:ResourceAliases": ["alias/payroll"]}),
    *(
        Request(f"iam:{name}", role)
        for name in ("PutRolePolicy", "UpdateAssumeRolePolicy")
        for role in PIPELINES
    ),
    Request("ecr:DeleteRepository", arn("ecr", f"repository/{ENDPOINT}")),
    Request("ecr:BatchGetImage", arn("ecr", "repository/payroll")),
    Request("ecr:PutImage", arn("ecr", "repository/payroll")),
    Request("sagemaker:DeleteEndpoint", arn("sagemaker", "endpoint/payroll-prod")),
    Request("sagemaker:UpdateEndpoint", arn("sagemaker", "endpoint/payroll-prod")),
    Request("sagemaker:InvokeEndpoint", arn("sagemaker", "endpoint/payroll-prod")),
    *(
        Request(f"sagemaker:{name}", arn("sagemaker", f"{kind}/x"))
        for name, kind in (
            ("CreateTrainingJob", "training-job"),
            ("CreateProcessingJob", "processing-job"),
            ("CreateNotebookInstance", "notebook-instance"),
            ("CreatePresignedDomainUrl", "app"),
        )
    ),
    Request("ssm:GetParameter", arn("ssm", "parameter/payroll/password")),
    Request("ssm:SendCommand", arn("ec2", "instance/i-1")),
    Request("secretsmanager:GetSecretValue", arn("secretsmanager", "secret:payroll-a1B2c3")),
    Request("cloudwatch:PutMetricData", context={"cloudwatch:namespace": "AWS/SageMaker"}),
    Request("cloudwatch:PutMetricData"),
    Request("cloudwatch:DeleteAlarms", arn("cloudwatch", "alarm:payroll-errors")),
    Request("logs:DeleteLogGroup", arn("logs", "log-group:/aws/sagemaker/Endpoints/shop-prod")),
    Request("logs:GetLogEvents", arn("logs", "log-group:/payroll:log-stream:a")),
    Request(
        "application-autoscaling:RegisterScalableTarget",
        SCALABLE,
        {"application-autoscaling:service-namespace": "dynamodb"},
    ),
    *map(Request, ("cloudtrail:StopLogging", "organizations:LeaveOrganization", "ec2:RunInstances")),
    *map(Request, ("ec2:AuthorizeSecurityGroupIngress", "lambda:CreateFunction", "sts:GetFederationToken")),
    *map(
        Request,
        ("eks:CreateAccessEntry", "budgets:ModifyBudget", "servicequotas:RequestServiceQuotaIncrease"),
    ),
}


def of_role(generated: dict[str, Document], *names: str) -> list[Document]:
    return [generated[name] for name in names]


def refused(requests: set[Request], *documents: Document) -> list[tuple[str, str]]:
    return sorted((one.action, one.resource) for one in requests if not is_allowed(one, *documents))


def test_the_serving_role_can_serve_and_nothing_dangerous(generated: dict[str, Document]) -> None:
    documents = of_role(generated, "RolePolicy role-serve.policy", "RolePolicy secrets-reading.policy")
    assert refused(SERVES, *documents) == []
    assert refused(NEVER, *documents) == sorted((one.action, one.resource) for one in NEVER)
    ships = {
        one for one in SHIPS if one.action != "logs:CreateLogGroup"
    }  # SageMaker makes its own where there is none
    assert refused(ships, *documents) == sorted((one.action, one.resource) for one in ships)


def test_the_pipelines_roles_can_do_their_work_and_nothing_dangerous(pipeline: dict[str, Document]) -> None:
    reading, shipping = pipeline["Reading.PolicyDocument"], pipeline["Shipping.PolicyDocument"]
    assert refused(READS, reading) == []
    assert refused(SHIPS, reading) == sorted((one.action, one.resource) for one in SHIPS)
    assert refused(READS | SHIPS, reading, shipping) == []
    assert refused(NEVER, reading, shipping) == sorted((one.action, one.resource) for one in NEVER)


REMOVES = {
    *(Request(f"s3:{name}", f"arn:aws:s3:::{BUCKET}") for name in ("DeleteBucket", "ListBucketVersions")),
    Request("s3:DeleteObjectVersion", f"arn:aws:s3:::{BUCKET}/releases/shop/1.json"),
    Request("ecr:DeleteRepository", arn("ecr", f"repository/{ENDPOINT}")),
    Request("iam:DeleteRole", SERVING),
    Request("logs:DeleteLogGroup", arn("logs", f"log-group:/aws/sagemaker/Endpoints/{ENDPOINT}")),
    Request("kms:ScheduleKeyDeletion", arn("kms", "key/1"), OWN),
    Request("kms:DeleteAlias", arn("kms", "alias/ecomdeploy-shop-prod")),
}
REMOVES_NEVER = {
    *(Request(f"s3:{name}", "arn:aws:s3:::of-shop") for name in ("DeleteBucket", "DeleteBucketPolicy")),
    Request("s3:DeleteObjectVersion", "arn:aws:s3:::of-shop/ml/.pulumi/meta.yaml"),
    Request("s3:DeleteBucket", "arn:aws:s3:::payroll"),
    Request("ecr:DeleteRepository", arn("ecr", "repository/payroll")),
    Request("iam:DeleteRole", OTHER_ROLE),
    Request("logs:DeleteLogGroup", arn("logs", "log-group:/payroll")),
    *(Request("iam:DeleteRole", role) for role in PIPELINES),
    Request("kms:ScheduleKeyDeletion", arn("kms", "key/2"), OTHERS),
    Request("kms:ScheduleKeyDeletion", arn("kms", "key/2")),
    *(Request(f"kms:{name}", arn("kms", "key/1"), OWN) for name in ("DisableKey", "PutKeyPolicy")),
}


def told(requests: set[Request]) -> list[tuple[str, str]]:
    return sorted((one.action, one.resource) for one in requests)


def test_what_is_printed_for_a_task_allows_it_and_nothing_dangerous(printed: dict[str, Document]) -> None:
    reads, ships, removes = (printed[task] for task in ("plan", "deploy", "remove"))
    assert refused(READS, reads) == []
    assert refused(SHIPS | NEVER, reads) == told(SHIPS | NEVER)
    assert refused(READS | SHIPS, ships) == []
    assert refused(NEVER | REMOVES, ships) == told(NEVER | REMOVES)
    assert refused(READS | SHIPS | REMOVES, removes) == []
    # In NEVER there are also what a pipeline must not remove.
    still_never = (NEVER - {one for one in NEVER if is_allowed(one, removes)}) | REMOVES_NEVER
    assert refused(still_never, removes) == told(still_never)
    gained = {one.action for one in NEVER if is_allowed(one, removes)}
    assert gained == {
        "s3:DeleteBucket",
        "s3:DeleteBucketPolicy",
        "s3:DeleteObjectVersion",
        "ecr:DeleteRepository",
        "logs:DeleteLogGroup",
    }


def test_with_a_boundary_no_role_is_made_or_changed_without_it(printed: dict[str, Document]) -> None:
    others = {"iam:PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/everything"}
    for context in ({}, others):
        for action in ("iam:CreateRole", "iam:PutRolePolicy", "iam:DeleteRolePolicy"):
            assert not is_allowed(Request(action, SERVING, context), printed["deploy"])
            assert is_allowed(Request(action, SERVING, WITHIN), printed["deploy"])


@pytest.mark.parametrize("task", TASKS)
def test_a_printed_policy_is_one_that_iam_takes(printed: dict[str, Document], task: str) -> None:
    """Names of statements are alphanumeric and unique; a managed policy has 6,144 characters, a role's own 10,240."""
    sids = [one["Sid"] for one in statements(printed[task])]
    assert len(set(sids)) == len(sids)
    assert all(re.fullmatch(r"[A-Za-z0-9]+", sid) for sid in sids)
    assert len(re.sub(r"\s", "", json.dumps(printed[task]))) < 10_240


def test_flow_logs_write_their_group_alone(generated: dict[str, Document]) -> None:
    written = generated["RolePolicy ecomdeploy-prod-flows-role-write.policy"]
    (group,) = {
        resource.removesuffix(":*") for one in statements(written) for resource in listed(one["Resource"])
    }
    wanted = {Request("logs:CreateLogStream", group), Request("logs:PutLogEvents", f"{group}:*")}
    assert refused(wanted, written) == []
    assert refused(NEVER, written) == sorted((one.action, one.resource) for one in NEVER)


def test_each_role_is_taken_by_its_service_alone(generated: dict[str, Document]) -> None:
    services = ("sagemaker", "eks", "ec2", "pods.eks", "vpc-flow-logs", "lambda", "codebuild")
    takers = {
        name.split()[1].partition(".")[0]: {
            service
            for service in services
            if is_allowed(
                Request(
                    "sts:AssumeRole",
                    context={"aws:SourceAccount": ACCOUNT},
                    service=f"{service}.amazonaws.com",
                ),
                document,
            )
        }
        for name, document in generated.items()
        if name.endswith(".assumeRolePolicy")
    }
    assert all(len(taking) == 1 for taking in takers.values()), takers
    assert takers["role"] == {"sagemaker"}
    assert takers["ecomdeploy-prod-cluster-role"] == {"eks"}
    assert takers["ecomdeploy-prod-cluster-node-role"] == {"ec2"}
    assert takers["ecomdeploy-prod-flows-role"] == {"vpc-flow-logs"}
    others = Request(
        "sts:AssumeRole", context={"aws:SourceAccount": "210987654321"}, service="sagemaker.amazonaws.com"
    )
    assert not is_allowed(others, generated["Role role.assumeRolePolicy"])


def test_a_pipelines_role_is_taken_by_its_own_token_alone(pipeline: dict[str, Document]) -> None:
    """A token of another repository has another `sub`; every statement asks for it, or for whose role is asking."""
    for name in ("PlanRole", "DeployRole"):
        for one in statements(pipeline[f"{name}.AssumeRolePolicyDocument"]):
            asked = {key: listed(value) for kind in one["Condition"].values() for key, value in kind.items()}
            subjects = [value for key, values in asked.items() if key.endswith(":sub") for value in values]
            principals = asked.get("aws:PrincipalArn", [])
            assert subjects or principals
            assert all(value.startswith("repo:org/shop:") for value in subjects)
            assert all(
                value.startswith("arn:aws:iam::210987654321:role/ecomdeploy-shop-") for value in principals
            )


TOKENS = {
    "repo:org/shop:pull_request": {"plan"},
    "repo:org/shop:ref:refs/heads/main": {"plan"},
    "repo:org/shop:environment:production": {"plan", "deploy"},
    "repo:org/shop:environment:staging": set(),
    "repo:org/shop:ref:refs/heads/feature": set(),
    "repo:org/shop-two:environment:production": set(),
    "repo:other/shop:environment:production": set(),
    "project_path:org/shop:ref_type:branch:ref:main": {"plan", "deploy"},
    "project_path:org/shop:ref_type:branch:ref:feature": {"plan"},
    "project_path:org/shop:ref_type:tag:ref:main": set(),
    "project_path:other/shop:ref_type:branch:ref:main": set(),
}


def test_a_role_of_the_base_is_taken_by_the_right_token_alone(federated: dict[str, Document]) -> None:
    """By issuer, audience, repository, branch and environment."""
    host = next(iter(statements(federated["Role plan"])[0]["Condition"]["StringEquals"])).removesuffix(":aud")
    issuer = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{host}"
    mine = "repo:" if "github" in host else "project_path:"

    def takes(task: str, subject: str, audience: str = "sts.amazonaws.com", signed: str = issuer) -> bool:
        context = {f"{host}:aud": audience, f"{host}:sub": subject}
        request = Request("sts:AssumeRoleWithWebIdentity", context=context, service=signed)
        return is_allowed(request, federated[f"Role {task}"])

    for subject, tasks in TOKENS.items():
        wanted = tasks if subject.startswith(mine) else set()
        assert {task for task in ("plan", "deploy") if takes(task, subject)} == wanted, subject
        for task in tasks:
            assert not takes(task, subject, audience="https://github.com/org")
            assert not takes(task, subject, signed=f"arn:aws:iam::{ACCOUNT}:oidc-provider/evil.example")


def test_a_role_of_the_base_does_its_work_and_nothing_dangerous(federated: dict[str, Document]) -> None:
    plan, deploy = federated["RolePolicy plan"], federated["RolePolicy deploy"]
    assert refused(READS, plan) == []
    assert refused(SHIPS | NEVER, plan) == told(SHIPS | NEVER)
    assert refused(READS | SHIPS, deploy) == []
    assert refused(NEVER, deploy) == told(NEVER)
    for document in (plan, deploy):
        assert len(json.dumps(document, separators=(",", ":"))) < 10_240, (
            "what a role's own policies may have"
        )


@pytest.mark.parametrize(("secure", "fine"), [("true", True), ("false", False)])
def test_the_bucket_is_reached_by_tls_alone(generated: dict[str, Document], secure: str, fine: bool) -> None:
    """Whoever is otherwise allowed to."""
    anybody = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    request = Request("s3:GetObject", f"arn:aws:s3:::{BUCKET}/x", {"aws:SecureTransport": secure})
    assert is_allowed(request, anybody, generated["BucketPolicy bucket-tls-only.policy"]) is fine


def test_the_evaluator_tells_what_it_does_not_know() -> None:
    strange = {"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}
    with pytest.raises(ValueError, match="NotAction"):
        is_allowed(Request("s3:GetObject"), {"Version": "2012-10-17", "Statement": strange})
    condition = {"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}
    with pytest.raises(ValueError, match="IpAddress"):
        is_allowed(
            Request("s3:GetObject"),
            {
                "Version": "2012-10-17",
                "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", **condition},
            },
        )
