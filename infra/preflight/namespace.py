"""Whether the namespace is there to stay."""

from __future__ import annotations

from collections.abc import Iterator

from infra.kubernetes.base import KubernetesApi
from infra.preflight.base import ClusterNeeds, Lack


def check(api: KubernetesApi, needs: ClusterNeeds) -> Iterator[Lack]:
    found = api.get("v1", "Namespace", needs.namespace)
    if found is None:
        yield Lack(
            what=f"there is no namespace {needs.namespace}",
            hint=f"{needs.kubectl} create namespace {needs.namespace}",
        )
    elif found["metadata"].get("deletionTimestamp"):
        yield Lack(
            what=f"namespace {needs.namespace} is being deleted",
            hint="wait until it is gone, and make it anew",
        )
