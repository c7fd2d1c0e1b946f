"""What a new cluster is given at its start: the Gateway API, one gateway class of ours, and the gateway that routes
attach to, where KServe looks for one; and what EKS's access policies allow."""

from __future__ import annotations

from typing import Any

from infra.rehearsal.cloud.kubernetes.places import CONTROLLER, GATEWAY, GATEWAY_CLASS

GATEWAY_VERSION = "gateway.networking.k8s.io/v1"


def basics() -> list[dict[str, Any]]:
    """The objects, in the order in which they need each other; the definitions of their kinds come before them."""
    namespace, _, name = GATEWAY.partition("/")
    listener = {
        "name": "http",
        "protocol": "HTTP",
        "port": 80,
        "allowedRoutes": {"namespaces": {"from": "All"}},
    }
    return [
        *access_bindings(),
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {
            "apiVersion": GATEWAY_VERSION,
            "kind": "GatewayClass",
            "metadata": {"name": GATEWAY_CLASS},
            "spec": {"controllerName": CONTROLLER},
        },
        {
            "apiVersion": GATEWAY_VERSION,
            "kind": "Gateway",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"gatewayClassName": GATEWAY_CLASS, "listeners": [listener]},
        },
    ]


ACCESS = {
    "AmazonEKSClusterAdminPolicy": "cluster-admin",
    "AmazonEKSAdminPolicy": "admin",
    "AmazonEKSEditPolicy": "edit",
    "AmazonEKSViewPolicy": "view",
}
"""EKS's access policies as Kubernetes' own roles, which they are made after:
https://docs.aws.amazon.com/eks/latest/userguide/access-policy-permissions.html"""


def access_group(policy: str) -> str:
    """The group of those whom an access policy of EKS's is given for the whole cluster."""
    return f"eks-access-policy:{policy}"


def access_bindings() -> list[dict[str, Any]]:
    """What the groups of access policies may do."""
    group = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group"}
    return [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": access_group(policy).lower()},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{**group, "name": access_group(policy)}],
        }
        for policy, role in ACCESS.items()
    ]
