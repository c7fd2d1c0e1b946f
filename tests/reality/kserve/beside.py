"""Our stand-in in the test's process, as the local cloud runs it, and when nothing is under way any more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from waiting import wait_for

from infra.kubernetes.client import KubernetesClient
from infra.rehearsal.cloud.kubernetes.kserve.__main__ import stand_in_at_work
from infra.rehearsal.cloud.kubernetes.kserve.children import KServeSettings
from infra.rehearsal.cloud.kubernetes.kserve.controller import OWNED, Controller
from infra.rehearsal.cloud.kubernetes.kserve.words import API_VERSION, KIND
from tests.kubernetes_cluster import Cluster
from tests.reality.kserve.pods import PretendedNodes, is_coming, is_ready
from tests.reality.kserve.recordings import Object
from tests.reality.kserve.replay import is_served


@dataclass(frozen=True)
class StandIn:
    """Ours at work. What a step shows may be there before the reconciles that it brings are over, and the next of them
    undoes what somebody does by hand in between; so a step by hand begins at rest."""

    client: KubernetesClient
    controller: Controller

    def is_at_rest(self, namespace: str) -> bool:
        """Whether no pod is on its way, and everybody has seen all there is."""
        coming = any(map(is_coming, self.client.list("v1", "Pod", namespace)))
        return not coming and self.has_settled(namespace)

    def has_settled(self, namespace: str) -> bool:
        """Whether every pod is counted as it is, and the stand-in has seen every object there as it is now."""
        return self._are_pods_counted(namespace) and self._has_seen_all(namespace)

    def _are_pods_counted(self, namespace: str) -> bool:
        """In its ReplicaSet and Deployment: their status changes no more, unless a pod does."""
        pods = self.client.list("v1", "Pod", namespace)
        sets = self.client.list("apps/v1", "ReplicaSet", namespace)
        deployments = self.client.list("apps/v1", "Deployment", namespace)
        return (
            not any("deletionTimestamp" in pod["metadata"] for pod in pods)
            and all(map(_has_its_pods, sets))
            and all(map(_has_its_pods, deployments))
            and sum(_count(one, "replicas") for one in sets) == len(pods)
            and sum(_count(one, "replicas") for one in deployments) == len(pods)
            and sum(_count(one, "readyReplicas") for one in deployments) == sum(map(is_ready, pods))
        )

    def _has_seen_all(self, namespace: str) -> bool:
        owned = [
            (kind, obj)
            for version, kind in OWNED
            if self.client.knows(version, kind)
            for obj in self.client.list(version, kind, namespace)
        ]
        services = self.client.list(API_VERSION, KIND, namespace)
        return all(self.controller.has_done(one, owned) for one in services)


def _has_its_pods(obj: Object) -> bool:
    """Whether a Deployment's or ReplicaSet's controller has seen it, and has neither a pod to make nor one to end. A
    Deployment whose new pods do not get Ready keeps the old ones beside them: at rest it has none Ready too many."""
    status = obj.get("status") or {}
    if status.get("observedGeneration") != obj["metadata"]["generation"] or status.get("terminatingReplicas"):
        return False
    wanted = obj["spec"]["replicas"]
    if obj["kind"] == "ReplicaSet":
        return bool(_count(obj, "replicas") == wanted)
    return bool(_count(obj, "replicas") >= wanted >= _count(obj, "readyReplicas"))


def _count(obj: Object, name: str) -> int:
    return int((obj.get("status") or {}).get(name, 0))


@contextmanager
def stand_in(cluster: Cluster, settings: KServeSettings, nodes: PretendedNodes) -> Iterator[StandIn]:
    """Under that configuration, with pods that wait for it; ended afterwards."""
    client = KubernetesClient(cluster.places.kubeconfig)
    with stand_in_at_work(client, cluster.places, settings, threading.Event()) as controller:
        wait_for(lambda: is_served(cluster.client))
        at_work = StandIn(KubernetesClient(cluster.places.kubeconfig), controller)
        nodes.have_settled = at_work.has_settled
        yield at_work
        nodes.have_settled = lambda _: True
