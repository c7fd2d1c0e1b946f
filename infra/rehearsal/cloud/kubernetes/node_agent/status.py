"""What a pod's status says of its one container: pure, so that the same container always reads the same.

kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from infra.kubernetes.client import Object
from infra.rehearsal.cloud.servers.host import KILLED

RUNTIME = "ecomdeploy://"
HOST_ADDRESS = "127.0.0.1"
AGENT_ENDED = "the node agent ended, and its model servers with it"
OURS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


@dataclass(frozen=True, kw_only=True)
class ContainerView:
    """The container as it is now. `state` and `last` are the API's own ContainerState; `id` is the model server's,
    `image` the reference that really runs, "" before the first start."""

    state: Mapping[str, object] = field(default_factory=lambda: waiting("ContainerCreating"))
    last: Mapping[str, object] = field(default_factory=dict)
    restarts: int = 0
    id: str = ""
    image: str = ""
    started: bool = False
    ready: bool = False


def waiting(reason: str, message: str = "") -> Object:
    return {"waiting": {"reason": reason} | ({"message": message} if message else {})}


def running(since: str) -> Object:
    return {"running": {"startedAt": since}}


def termination(code: int, reason: str, message: str, identifier: str, began: str, ended: str) -> Object:
    told: Object = {
        "exitCode": code,
        "reason": reason,
        "startedAt": began,
        "finishedAt": ended,
        "containerID": RUNTIME + identifier,
    }
    return {"terminated": told | ({"message": message} if message else {})}


def earlier_view(pod: Object, moment: str) -> ContainerView:
    """The container as the agent before this one told of it: what ran then ended with that agent."""
    one = ((pod.get("status") or {}).get("containerStatuses") or [{}])[0]
    identifier = one.get("containerID", "").removeprefix(RUNTIME)
    state, last = one.get("state") or {}, one.get("lastState") or {}
    if "running" in state:
        began = state["running"]["startedAt"]
        last = termination(KILLED, "Error", AGENT_ENDED, identifier, began, moment)
    return ContainerView(
        state=state if "terminated" in state else waiting("ContainerCreating"),
        last=last,
        restarts=one.get("restartCount", 0),
        id=identifier,
        image=one.get("imageID", ""),
    )


def earlier_logs(view: ContainerView) -> list[str]:
    """Of which servers that agent may have left logs, the newest last."""
    last = view.last.get("terminated")
    before = last["containerID"].removeprefix(RUNTIME) if isinstance(last, dict) else ""
    return [one for one in dict.fromkeys((before, view.id)) if one]


def phase_of(pod: Object, view: ContainerView) -> str:
    """The pod's phase: Succeeded and Failed only where the container is not started again."""
    ended = view.state.get("terminated")
    policy = pod["spec"].get("restartPolicy", "Always")
    if isinstance(ended, dict):
        if ended["exitCode"] == 0 and policy != "Always":
            return "Succeeded"
        if ended["exitCode"] != 0 and policy == "Never":
            return "Failed"
    return "Running" if view.id else "Pending"


def status_of(
    pod: Object, view: ContainerView, before: Object, *, address: str, began: str, now: str
) -> Object:
    """The status to write after the one `before`. `began`: since when the agent has had the pod; `now`: for
    conditions that change."""
    container = pod["spec"]["containers"][0]
    phase = phase_of(pod, view)
    one: Object = {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": view.image,
        "ready": view.ready,
        "started": view.started,
        "restartCount": view.restarts,
        "state": dict(view.state),
        "lastState": dict(view.last),
    }
    if view.id:
        one["containerID"] = RUNTIME + view.id
    # what is refused for its second container says so at the first; the others wait for it
    others = [
        {"name": other["name"], "image": other.get("image", ""), "imageID": "", "ready": False}
        | {"started": False, "restartCount": 0, "state": waiting("ContainerCreating")}
        for other in pod["spec"]["containers"][1:]
    ]
    return {
        "phase": phase,
        "observedGeneration": pod["metadata"].get("generation"),
        "conditions": list(_conditions(pod, view, phase, before, now)),
        "hostIP": HOST_ADDRESS,
        "hostIPs": [{"ip": HOST_ADDRESS}],
        "podIP": address or None,
        "podIPs": [{"ip": address}] if address else None,
        "startTime": began,
        "containerStatuses": [one, *others],
    }


def _conditions(pod: Object, view: ContainerView, phase: str, before: Object, now: str) -> Iterator[Object]:
    """Ours, with the time of their last change; others' are left as they are."""
    found = {one["type"]: one for one in (pod.get("status") or {}).get("conditions") or ()}
    earlier = {one["type"]: one for one in before.get("conditions") or ()}
    gates = all(
        found.get(gate["conditionType"], {}).get("status") == "True"
        for gate in pod["spec"].get("readinessGates", ())
    )
    truths = {
        "PodReadyToStartContainers": True,
        "Initialized": True,
        "Ready": view.ready and gates,
        "ContainersReady": view.ready,
        "PodScheduled": True,
    }
    for name, true in truths.items():
        status = "True" if true else "False"
        old = earlier.get(name, {})
        since = old.get("lastTransitionTime") if old.get("status") == status else None
        told: Object = {"type": name, "status": status, "lastTransitionTime": since or now}
        told["observedGeneration"] = pod["metadata"].get("generation")
        if not true:
            told |= _why(pod, phase, gates or not view.ready)
        yield told
    yield from (one for name, one in found.items() if name not in OURS)


def _why(pod: Object, phase: str, container: bool) -> Object:
    if phase == "Succeeded":
        return {"reason": "PodCompleted"}
    if phase == "Failed":
        return {"reason": "PodFailed"}
    if not container:
        return {"reason": "ReadinessGatesNotReady"}
    names = " ".join(one["name"] for one in pod["spec"]["containers"])
    return {"reason": "ContainersNotReady", "message": f"containers with unready status: [{names}]"}
