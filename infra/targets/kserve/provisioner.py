"""What Karpenter says of pods that have no node: that one is on its way, or why it brings none. The scheduler, which
writes the pod's condition, knows nothing of nodes that are not there yet (measured on Karpenter 1.14)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from infra.kubernetes.base import KubernetesApi, Object
from infra.kubernetes.client import KubernetesRefused
from infra.kubernetes.objects import condition

COMES, FAILS = "Nominated", "FailedScheduling"
SOURCE = "karpenter"


def is_unplaced(pod: Object) -> bool:
    """Whether the scheduler found no node for it."""
    return condition(pod, "PodScheduled").get("reason") == "Unschedulable"


def ask_provisioner(api: KubernetesApi, namespace: str, pods: Sequence[Object]) -> Mapping[str, Object]:
    """Its last event on each pod without a node, by the pod's name; none where there is no Karpenter, or whoever asks
    may not read events."""
    wanted = {pod["metadata"]["name"] for pod in pods if is_unplaced(pod)}
    if not wanted:
        return {}
    try:
        events = api.list("v1", "Event", namespace, fields=f"source={SOURCE}")
    except KubernetesRefused as refused:
        if refused.status != 403:
            raise
        return {}
    found: dict[str, Object] = {}
    for event in sorted(events, key=lambda one: str(one.get("lastTimestamp") or "")):
        name = event["involvedObject"].get("name")
        if name in wanted and event["reason"] in (COMES, FAILS):
            found[name] = event
    return found
