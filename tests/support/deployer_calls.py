"""What the local cloud saw called, as requests that IAM would judge: on the things of one service, `shop-local`."""

from __future__ import annotations

from collections.abc import Iterable

from allowed_actions import ACTIONS, FREE, SERVICES
from iam_policies import Request, Values

from infra.deployer.service import DeployerScope


def list_requests(operations: Iterable[str], scope: DeployerScope) -> list[Request]:
    """One request, or several where an operation is for several kinds of things.

    Raises:
        KeyError: of a service that is not known here.
    """
    return [request for operation in sorted(operations) for request in find_requests(operation, scope)]


def find_requests(operation: str, scope: DeployerScope) -> list[Request]:
    service, _, name = operation.partition(":")
    action = ACTIONS.get(operation, f"{SERVICES.get(service, service)}:{name}")
    if action in FREE:
        return []
    context: dict[str, Values] = {}
    if action.startswith("application-autoscaling:"):
        context = {"application-autoscaling:service-namespace": "sagemaker"}
    if action.startswith("kms:"):
        context = {
            "aws:ResourceTag/ecomdeploy:project": scope.service,
            "aws:ResourceTag/ecomdeploy:environment": scope.environment,
            "aws:RequestTag/ecomdeploy:project": scope.service,
            "aws:RequestTag/ecomdeploy:environment": scope.environment,
            "kms:ResourceAliases": [f"alias/ecomdeploy-{scope.name}"],
        }
    passes = [Request("iam:PassRole", scope.serving_role, {"iam:PassedToService": "sagemaker.amazonaws.com"})]
    return [
        *(Request(action, resource, context) for resource in find_resources(action, scope)),
        *(passes if action == "sagemaker:CreateModel" else ()),
    ]


def find_resources(action: str, scope: DeployerScope) -> list[str]:
    """What the action is on, by the Service Authorization Reference."""
    service, _, name = action.partition(":")
    served = {
        "EndpointConfig": scope.arn("sagemaker", f"endpoint-config/{scope.name}-0123456789ab"),
        "Endpoint": scope.arn("sagemaker", f"endpoint/{scope.name}"),
        "Model": scope.arn("sagemaker", f"model/{scope.name}-0123456789ab"),
    }
    key, alias = scope.arn("kms", "key/1"), scope.arn("kms", f"alias/ecomdeploy-{scope.name}")
    bucket = f"arn:aws:s3:::{scope.name}-{scope.account}"
    group = scope.arn("logs", f"log-group:/aws/sagemaker/Endpoints/{scope.name}")
    anywhere = (
        "GetAuthorizationToken",
        "DescribeLogGroups",
        "DescribeParameters",
        "CreateKey",
        "DescribeAlarms",
    )
    if name in anywhere or (name.startswith(("List", "Describe")) and service == "application-autoscaling"):
        return ["*"]
    found = {
        "sagemaker": [arn for kind, arn in served.items() if name.endswith(kind)] or list(served.values()),
        "s3": [f"{bucket}/releases/shop/1.json" if "Object" in name else bucket],
        "ecr": [scope.repository],
        "iam": [scope.serving_role],
        "kms": [key, alias] if name.endswith("Alias") else [key],
        "logs": [group],
        "cloudwatch": [scope.arn("cloudwatch", f"alarm:{scope.name}-error-rate")],
        "application-autoscaling": [scope.arn("application-autoscaling", "scalable-target/1")],
        "ssm": [scope.arn("ssm", f"parameter/ecomdeploy/{scope.name}/PASSWORD/0123456789abcdef")],
        "servicequotas": ["*"],
        "tag": ["*"],
    }
    return found[service]
