"""Why an object is not as it should be: its conditions, its pods, and what the cluster's parts said of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from infra.kubernetes.client import KubernetesRefused, Object
from infra.kubernetes.objects import condition
from infra.rehearsal.providers.kubernetes.objects import metadata_of
from infra.rehearsal.providers.kubernetes.readiness import ClusterReads

MOST_PODS: Final = 3
MOST_EVENTS: Final = 4
BAD_WHEN_TRUE: Final = frozenset({"ReplicaFailure", "Failed"})


def find_causes(live: Object, cluster: ClusterReads) -> tuple[str, ...]:
    """What can be found out, most telling first. Nothing of it is certain, and no part of it raises."""
    found = [*_conditions(live)]
    try:
        pods = _pods(live, cluster)
        for pod in pods:
            found += _troubles(pod)
        found += _events(live, pods, cluster)
    except KubernetesRefused as refused:
        found.append(f"(its pods and events may not be read: {refused})")
    return tuple(dict.fromkeys(found))


def _conditions(live: Object) -> Iterator[str]:
    for one in live.get("status", {}).get("conditions") or ():
        bad = "True" if one.get("type") in BAD_WHEN_TRUE else "False"
        if one.get("status") == bad and one.get("message"):
            yield f"{one.get('type')} is {bad}, {one.get('reason', '')}: {one['message']}"


def _pods(live: Object, cluster: ClusterReads) -> list[Object]:
    """Its pods that are not ready, the newest first."""
    selector: Any = live.get("spec", {}).get("selector") or {}
    if live.get("kind") != "Service":
        selector = selector.get("matchLabels") or {}
    namespace = metadata_of(live).get("namespace", "")
    if live.get("kind") == "Pod":
        return [live]
    if not selector or not namespace:
        return []
    labels = ",".join(f"{key}={value}" for key, value in selector.items())
    pods = [
        pod
        for pod in cluster.list("v1", "Pod", namespace, labels=labels)
        if condition(pod, "Ready").get("status") != "True"
        and pod.get("status", {}).get("phase") != "Succeeded"
    ]
    pods.sort(key=lambda pod: str(metadata_of(pod).get("creationTimestamp", "")), reverse=True)
    return pods[:MOST_PODS]


def _troubles(pod: Object) -> Iterator[str]:
    name, status = metadata_of(pod)["name"], pod.get("status", {})
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        yield f"pod {name} has no node, {scheduled.get('reason', '')}: {scheduled.get('message', '')}"
    for container in (
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ):
        state, last = container.get("state") or {}, container.get("lastState") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated") or last.get("terminated") or {}
        where = f"pod {name}, container {container.get('name')}"
        if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            yield f"{where} waits, {waiting['reason']}: {waiting.get('message', '')}"
        if ended and ended.get("exitCode") != 0:
            words = f"{where} ended with exit status {ended.get('exitCode')}, {ended.get('reason', 'Error')}"
            yield f"{words}: {ended['message']}" if ended.get("message") else words
        if state.get("running") and not container.get("ready"):
            yield f"{where} runs and does not pass its readiness probe"


def _events(live: Object, pods: list[Object], cluster: ClusterReads) -> list[str]:
    namespace = metadata_of(live).get("namespace", "")
    told: list[tuple[str, str]] = []
    for obj in {metadata_of(one)["name"]: one for one in (live, *pods)}.values() if namespace else ():
        name = metadata_of(obj)["name"]
        listed = cluster.list("v1", "Event", namespace, fields=f"involvedObject.name={name},type=Warning")
        told += [
            (
                str(event.get("lastTimestamp") or event.get("eventTime") or ""),
                f"{event.get('reason', '')}: {event.get('message', '')}",
            )
            for event in listed
        ]
    return list(dict.fromkeys(words for _, words in sorted(told, reverse=True)))[:MOST_EVENTS]


def find_holders(live: Object) -> tuple[str, ...]:
    """What keeps an object that is being deleted: its finalizers, and what a namespace still holds."""
    held = [*(metadata_of(live).get("finalizers") or ()), *(live.get("spec", {}).get("finalizers") or ())]
    named = [f"its finalizers {', '.join(held)} have not been taken off"] if held else []
    told = [
        f"{one.get('type')}: {one['message']}"
        for one in live.get("status", {}).get("conditions") or ()
        if live.get("kind") == "Namespace" and one.get("status") == "True" and one.get("message")
    ]
    return (*named, *told)
