"""What the local cloud saw called of a platform, as requests that IAM would judge: on what is the platform's own.

Which resources an action is on: AWS's reference (tests/support/authorization_reference.py).
"""

from __future__ import annotations

from collections.abc import Iterable

from allowed_actions import ACTIONS, FREE, SERVICES
from authorization_reference import find_kinds
from iam_policies import Request, Values

from infra.deployer.platform import MADE, PlatformScope

TAKERS = {"CreateCluster": "eks", "CreateNodegroup": "eks", "CreatePodIdentityAssociation": "pods.eks"}
TAKERS |= {"CreateFlowLogs": "vpc-flow-logs"}
PARTS = {
    "Nodegroup": "nodegroup",
    "Addon": "addon",
    "Access": "access-entry",
    "PodIdentity": "podidentityassociation",
}


def list_platform_requests(
    operations: Iterable[str], environment: str, account: str, region: str
) -> list[Request]:
    scope = PlatformScope(service="shop", environment=environment, account=account, region=region)
    return [request for operation in sorted(operations) for request in find_requests(operation, scope)]


def find_requests(operation: str, scope: PlatformScope) -> list[Request]:
    service, _, name = operation.partition(":")
    action = ACTIONS.get(operation, f"{SERVICES.get(service, service)}:{name}")
    if action in FREE:
        return []
    role = f"arn:aws:iam::{scope.account}:role/{scope.name}-{scope.region}-cluster"
    taker: dict[str, Values] = {"iam:PassedToService": f"{TAKERS.get(name)}.amazonaws.com"}
    passes = [Request("iam:PassRole", role, taker)] if name in TAKERS else []
    return [*find_asked(action, scope, role), *passes]


def find_asked(action: str, scope: PlatformScope, role: str) -> list[Request]:
    service, _, name = action.partition(":")
    ours: dict[str, Values] = dict(scope.list_tags("ResourceTag"))
    made: dict[str, Values] = dict(scope.list_tags("RequestTag"))
    if service == "ec2" and not name.startswith("Describe"):
        return find_network(name, scope, ours, made)
    key, alias = scope.arn("kms", "key/1"), scope.arn("kms", f"alias/ecomdeploy-{scope.name}")
    part = next((part for word, part in PARTS.items() if word in name), "")
    cluster = scope.arn("eks", f"{part}/{scope.name}/x/1" if part else f"cluster/{scope.name}")
    on: dict[str, list[str]] = {
        "eks": [cluster],
        "iam": [role],
        "kms": [key, alias] if name.endswith("Alias") else [key],
        "logs": [scope.arn("logs", f"log-group:/aws/eks/{scope.name}/cluster")],
        "sqs": [scope.queue],
        "events": [scope.arn("events", f"rule/{scope.name}-karpenter-spot")],
        "s3": [f"arn:aws:s3:::{scope.service}-{scope.environment}-{scope.account}"],
    }
    more: dict[str, Values] = {
        "iam:PolicyARN": "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy",
        "kms:ResourceAliases": [scope.alias],
    }
    resources = on.get(service, ["*"]) if find_kinds(action) else ["*"]
    return [Request(action, one, {**ours, **made, **more}) for one in resources]


def find_network(
    name: str, scope: PlatformScope, ours: dict[str, Values], made: dict[str, Values]
) -> list[Request]:
    """What is made has no tags yet; what is there, and what is made in it, has."""
    action = f"ec2:{name}"
    there = [scope.ec2(kind)[0] for kind in find_kinds(action) if kind in MADE.values()]
    if name in MADE:
        within = [Request(action, one, ours) for one in there if one != scope.ec2(MADE[name])[0]]
        tagging = {**made, "ec2:CreateAction": name}
        new = scope.ec2(MADE[name])[0]
        return [Request(action, new, made), Request("ec2:CreateTags", new, tagging), *within]
    rules = [scope.ec2("security-group-rule")[0]] if name.startswith("Authorize") else []
    return [*(Request(action, one, ours) for one in there), *(Request(action, one) for one in rules)]
