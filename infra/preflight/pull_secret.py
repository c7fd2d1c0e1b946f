"""Whether the Secret that nodes pull images with is there, where one is named."""

from __future__ import annotations

from collections.abc import Iterator

from infra.kubernetes.base import KubernetesApi
from infra.preflight.base import ClusterNeeds, Lack

TYPES = ("kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg")


def check(api: KubernetesApi, needs: ClusterNeeds) -> Iterator[Lack]:
    name = needs.cluster.image_pull_secret
    if not name:
        return
    found = api.get("v1", "Secret", name, needs.namespace)
    make = f"{needs.kubectl} --namespace {needs.namespace} create secret docker-registry {name} --docker-server=..."
    if found is None:
        yield Lack(
            what=f"there is no Secret {name} in namespace {needs.namespace} (image_pull_secret)", hint=make
        )
    elif found.get("type") not in TYPES:
        yield Lack(
            what=f"Secret {name} is of type {found.get('type')}, which nodes do not pull with", hint=make
        )
