"""Whether whoever asks may do all that a service needs, each verb asked by a SelfSubjectAccessReview, and all that is
missing told at once (https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access)."""

from __future__ import annotations

from collections.abc import Iterator

from infra.kubernetes.base import KubernetesApi
from infra.preflight.base import ClusterNeeds, Lack

OWN = ("get", "list", "create", "patch", "delete")
Right = tuple[str, str, tuple[str, ...]]
"""API group, resource and verbs, in the service's namespace."""
RIGHTS: tuple[Right, ...] = (
    ("serving.kserve.io", "inferenceservices", OWN),
    ("gateway.networking.k8s.io", "httproutes", OWN),
    ("coordination.k8s.io", "leases", ("get", "create", "update", "delete")),
    ("", "configmaps", ("list", "create", "patch", "delete")),
    ("apps", "deployments", ("get", "list")),
    ("apps", "deployments/scale", ("patch",)),
    ("", "pods", ("list",)),
    ("", "pods/log", ("get",)),
    ("", "events", ("list",)),
)
FOR_SECRETS: Right = ("", "secrets", ("get", "create", "patch", "delete"))
FOR_BUDGETS: Right = ("policy", "poddisruptionbudgets", ("get", "create", "patch", "delete"))
MADE = ("get", "create", "patch", "delete")
FOR_STEPS: tuple[Right, ...] = (
    ("batch", "jobs", ("get", "create")),
    ("", "configmaps", ("get",)),
    ("", "serviceaccounts", MADE),
    ("rbac.authorization.k8s.io", "roles", MADE),
    ("rbac.authorization.k8s.io", "rolebindings", MADE),
    # nobody may give what he has not: the guard's own right
    ("coordination.k8s.io", "leases", ("patch",)),
)
FOR_SCALING: tuple[Right, ...] = (
    ("keda.sh", "scaledobjects", OWN),
    ("autoscaling", "horizontalpodautoscalers", ("list",)),
)
BY_PROXY: Right = ("", "services/proxy", ("create",))


def list_rights(needs: ClusterNeeds) -> tuple[Right, ...]:
    """What this service takes."""
    more = [FOR_SECRETS] if needs.secrets else []
    more += [FOR_BUDGETS] if needs.replicas >= 2 else []
    more += [BY_PROXY] if needs.proxied else []
    more += FOR_STEPS if needs.watched else []
    more += FOR_SCALING if needs.scaled else []
    return (*RIGHTS, *more)


def check(api: KubernetesApi, needs: ClusterNeeds) -> Iterator[Lack]:
    missing = [
        f"{resource}{f'.{group}' if group else ''} ({', '.join(denied)})"
        for group, resource, verbs in list_rights(needs)
        if (denied := [verb for verb in verbs if not may(api, needs.namespace, group, resource, verb)])
    ]
    if missing:
        what = f"in namespace {needs.namespace} you may not: {'; '.join(missing)}"
        yield Lack(what=what, hint="a Role with these rights: docs/cluster.md has one to apply")


def may(api: KubernetesApi, namespace: str, group: str, resource: str, verb: str) -> bool:
    name, _, below = resource.partition("/")
    asked = {"namespace": namespace, "group": group, "resource": name, "verb": verb}
    answer = api.create(
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "metadata": {},
            "spec": {"resourceAttributes": {**asked, **({"subresource": below} if below else {})}},
        }
    )
    return bool((answer.get("status") or {}).get("allowed"))
