"""One control plane for all tests of this folder in a process, and nodes that only pretend to run pods."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.kubernetes.client import KubernetesClient
from tests.kubernetes_cluster import Cluster, cluster, namespace
from tests.reality.kserve.pods import PretendedNodes

__all__ = ["cluster", "namespace"]


@pytest.fixture(scope="module")
def nodes(cluster: Cluster) -> Iterator[PretendedNodes]:
    pretended = PretendedNodes(KubernetesClient(cluster.places.kubeconfig))
    end = pretended.start()
    yield pretended
    end()
