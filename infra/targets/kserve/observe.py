"""What runs of a revision, where the route leads, and what that makes of an endpoint.

KServe's own Ready is not asked: it stays true for ten minutes while new pods crash, is false while old ones serve, and
its observedGeneration is the Deployment's (measured on 0.20). The Deployment, its pods and the route's status say it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from infra.kubernetes.base import KubernetesApi, Object
from infra.kubernetes.objects import condition
from infra.targets.base import Observation, Phase
from infra.targets.kserve.manifests import ISVC, ISVC_KIND, MIRROR, ROUTE, ROUTE_KIND, STOP
from infra.targets.kserve.names import CONTAINER, app_label, revision_of, service_name
from infra.targets.kserve.provisioner import COMES, ask_provisioner, is_unplaced
from modelpack.server.guarding.record import (
    ALARM,
    BACK,
    LEASE,
    LEASE_KIND,
    SILENCE,
    StepsRecord,
    lease_name,
    read_record,
)

HOPELESS_RESTARTS = 2
"""A server that ended three times by itself will do so again."""
BACKING_OFF = (
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImagePull",
    "InvalidImageName",
    "CreateContainerError",
)
SAID_AT_MOST = 400


@dataclass(frozen=True, kw_only=True)
class RevisionState:
    """What runs of a revision. `wanted`: pods asked for; `available`: those that answer; `complete`: all of them, and
    none of another kind; `once`: that was so before; `awaited`: what is on its way; `trouble`: what is in the way, in
    the cluster's words; `hopeless`: waiting does not help; `shortage`: for want of room or quota; `images`: of the
    pods, by digest."""

    exists: bool = False
    stopped: bool = False
    wanted: int = 0
    available: int = 0
    most: int = 0
    complete: bool = False
    once: bool = False
    awaited: str = ""
    trouble: str = ""
    hopeless: bool = False
    shortage: bool = False
    images: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RouteState:
    """Where a route leads. `weights`: by revision, those above 0; `copies`: percent of the requests, by revision;
    `taken`: the gateway has this very version."""

    hostname: str
    weights: Mapping[str, int]
    taken: bool
    refusal: str = ""
    removing: bool = False
    changed: bool = False
    copies: Mapping[str, int] = field(default_factory=dict)


def look(api: KubernetesApi, namespace: str, revision: str) -> RevisionState:
    """What runs of a revision now."""
    isvc = api.get(ISVC, ISVC_KIND, revision, namespace)
    if isvc is None or isvc["metadata"].get("deletionTimestamp"):
        return RevisionState()
    deployment = api.get("apps/v1", "Deployment", service_name(revision), namespace)
    pods = api.list("v1", "Pod", namespace, labels=f"app={app_label(revision)}")
    return read_running(isvc, deployment, pods, ask_provisioner(api, namespace, pods))


def read_running(
    isvc: Object, deployment: Object | None, pods: Sequence[Object], told: Mapping[str, Object]
) -> RevisionState:
    """The same, of the objects; `told`: by a pod's name, what Karpenter said of it last."""
    predictor = isvc["spec"]["predictor"]
    most = int(predictor.get("maxReplicas") or 0)
    if (isvc["metadata"].get("annotations") or {}).get(STOP) == "true":
        return RevisionState(exists=True, stopped=True, most=most)
    if deployment is None:
        return RevisionState(exists=True, most=most, trouble=tell_of_kserve(isvc))
    here = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    coming = [pod["metadata"]["name"] for pod in here if is_coming(pod, told)]
    troubles = [found for pod in here if (found := trouble_of(pod, told))]
    refused = condition(deployment, "ReplicaFailure")
    if refused.get("status") == "True":
        words = str(refused.get("message", ""))
        troubles.append((words, False, "quota" in words))
    status = deployment.get("status") or {}
    wanted = max(int(deployment["spec"].get("replicas", 1)), int(predictor.get("minReplicas") or 1))
    counts = [int(status.get(f"{word}Replicas", 0)) for word in ("updated", "available")]
    observed = int(status.get("observedGeneration", 0)) >= int(deployment["metadata"].get("generation", 1))
    same = image_of(isvc["spec"]["predictor"]) == image_of(deployment["spec"]["template"]["spec"])
    whole = int(status.get("replicas", 0)) == wanted and counts == [wanted, wanted]
    return RevisionState(
        exists=True,
        wanted=wanted,
        available=counts[1],
        most=most,
        complete=observed and same and whole and not (set(images_of(here)) - {digest(image_of(predictor))}),
        once=condition(deployment, "Progressing").get("reason") == "NewReplicaSetAvailable",
        awaited=f"Karpenter brings a node for {', '.join(coming)}" if coming else "",
        trouble="; ".join(dict.fromkeys(words for words, _, _ in troubles))[:SAID_AT_MOST],
        hopeless=any(hopeless for _, hopeless, _ in troubles),
        shortage=any(shortage for _, _, shortage in troubles),
        images=tuple(dict.fromkeys(full_images_of(here))),
    )


def is_coming(pod: Object, told: Mapping[str, Object]) -> bool:
    """Whether Karpenter brings a node for it."""
    return is_unplaced(pod) and told.get(pod["metadata"]["name"], {}).get("reason") == COMES


def trouble_of(pod: Object, told: Mapping[str, Object]) -> tuple[str, bool, bool] | None:
    """Why a pod does not answer, whether waiting does not help, and whether it is for want of room."""
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    if is_unplaced(pod):
        why = str(condition(pod, "PodScheduled").get("message", ""))
        if event := told.get(name):
            why = f"{event['message']} (Karpenter); {why}"
        return None if is_coming(pod, told) else (f"no node for {name}: {why}", False, True)
    for one in status.get("containerStatuses") or ():
        if one.get("ready"):
            continue
        state = one.get("state") or {}
        waiting = state.get("waiting") or {}
        last = (one.get("lastState") or {}).get("terminated") or state.get("terminated")
        # one that runs again is loading: how it ended before, with its node for one, is not in the way now
        if last and ("terminated" in state or waiting.get("reason") in BACKING_OFF):
            words = f"{name} ended with {last.get('exitCode')} ({last.get('reason', '')})"
            why = str(last.get("message") or "").strip()
            again = int(one.get("restartCount", 0))
            return (f"{words}: {why}" if why else words), again >= HOPELESS_RESTARTS, False
        if waiting.get("reason") in BACKING_OFF:
            hopeless = waiting["reason"] == "InvalidImageName"
            return f"{name}: {waiting['reason']}: {waiting.get('message', '')}", hopeless, False
    return None


def tell_of_kserve(isvc: Object) -> str:
    """Why there is no Deployment yet."""
    found = condition(isvc, "PredictorReady")
    return str(found.get("message", "")) if found.get("status") == "False" else ""


def image_of(pod_spec: Mapping[str, Any]) -> str:
    """The image of the server's container."""
    containers = pod_spec.get("containers") or ()
    return str(next((one.get("image") for one in containers if one.get("name") == CONTAINER), ""))


def full_images_of(pods: Sequence[Object]) -> list[str]:
    """The images that pods run, as the nodes resolved them."""
    listed = [one for pod in pods for one in (pod.get("status") or {}).get("containerStatuses") or ()]
    return [str(one["imageID"]) for one in listed if one.get("name") == CONTAINER and one.get("imageID")]


def images_of(pods: Sequence[Object]) -> list[str]:
    return [digest(one) for one in full_images_of(pods)]


def digest(image: str) -> str:
    return image.rpartition("@")[2]


def read_way(route: Object) -> RouteState:
    """Where a route leads, and whether the gateway knows."""
    metadata, spec = route["metadata"], route["spec"]
    weights: dict[str, int] = {}
    copies: dict[str, int] = {}
    for rule in spec.get("rules") or ():
        for backend in rule.get("backendRefs") or ():
            revision = revision_of(str(backend["name"]))
            weights[revision] = weights.get(revision, 0) + int(backend.get("weight", 1))
        for one in (each["requestMirror"] for each in rule.get("filters") or () if each["type"] == MIRROR):
            copies[revision_of(str(one["backendRef"]["name"]))] = int(one.get("percent", 100))
    generation = int(metadata.get("generation", 1))
    told = [
        one
        for parent in (route.get("status") or {}).get("parents") or ()
        for one in parent.get("conditions") or ()
        if int(one.get("observedGeneration", 0)) >= generation
    ]
    refusals = [
        f"{one.get('reason')}: {one.get('message', '')}"
        for one in told
        if one["type"] in ("Accepted", "ResolvedRefs") and one["status"] == "False"
    ]
    accepted = any(one["type"] == "Accepted" and one["status"] == "True" for one in told)
    return RouteState(
        hostname=str(next(iter(spec.get("hostnames") or ()), "")),
        weights={revision: weight for revision, weight in weights.items() if weight > 0},
        taken=accepted and not refusals,
        refusal="; ".join(refusals),
        removing=bool(metadata.get("deletionTimestamp")),
        changed=generation > 1,
        copies=copies,
    )


def find_way(api: KubernetesApi, namespace: str, endpoint: str) -> RouteState | None:
    """The way of an endpoint's callers; None without an endpoint."""
    route = api.get(ROUTE, ROUTE_KIND, endpoint, namespace)
    return None if route is None else read_way(route)


def observe(api: KubernetesApi, namespace: str, endpoint: str) -> Observation:
    """What is there now."""
    way = find_way(api, namespace, endpoint)
    if way is None:
        return Observation(phase=Phase.ABSENT)
    if way.removing:
        return Observation(phase=Phase.REMOVING, status="being removed")
    record = read_record(api.get(LEASE, LEASE_KIND, lease_name(endpoint), namespace))
    if record and record.watching:
        return under_way(way, record, look(api, namespace, record.new))
    if len(way.weights) != 1:
        parts = ", ".join(f"{weight} to {revision}" for revision, weight in sorted(way.weights.items()))
        what = f"its traffic is divided ({parts})" if parts else "its route leads nowhere"
        return Observation(phase=Phase.DEGRADED, status="divided", failure=what)
    (revision,) = way.weights
    seen = observation(way, revision, look(api, namespace, revision))
    return replace(seen, turned_back=tell_turned_back(record)) if record and revision == record.old else seen


def under_way(way: RouteState, record: StepsRecord, running: RevisionState) -> Observation:
    """An endpoint on its way in steps. Where time passes faster its bake began as much longer ago."""
    moment, since = datetime.now(UTC), datetime.fromisoformat(record.since)
    copied = 0 if record.share else way.copies.get(record.new, 0)
    there = way.taken and way.weights.get(record.new, 0) == record.share and (copied > 0 or record.share > 0)
    return Observation(
        phase=Phase.CHANGING,
        status=f"copies to {record.new}" if copied else f"{record.share} % on {record.new}",
        revision=record.old,
        destination=record.new,
        images=running.images,
        replicas=running.available,
        share=record.share,
        copied=copied,
        baking=moment - (moment - since) * record.pace if there else None,
    )


def tell_turned_back(record: StepsRecord) -> str:
    """What the guard did while nobody led the rollout; "" where somebody did."""
    if record.state != BACK or record.cause not in (ALARM, SILENCE):
        return ""
    when = datetime.fromisoformat(record.at).strftime("%Y-%m-%d %H:%M:%S UTC")
    why = f"alarm {record.name} rang: {record.reason}" if record.cause == ALARM else record.reason
    return f"the guard in the cluster put all traffic back on {record.old} at {when}: {why}"


def observation(way: RouteState, revision: str, running: RevisionState) -> Observation:
    """An endpoint, from its route and what runs where that leads."""
    phase, status = phase_of(way, running)
    failure = running.trouble or ("" if way.taken else way.refusal)
    if running.exists and not running.stopped and 0 < running.available < running.wanted:
        failure = f"{running.available} of {running.wanted} pods answer" + (f": {failure}" if failure else "")
    return Observation(
        phase=phase,
        status=status,
        revision=revision,
        images=running.images,
        failure=failure,
        replicas=running.available,
        shortage=running.shortage,
    )


def phase_of(way: RouteState, running: RevisionState) -> tuple[Phase, str]:
    """Where an endpoint is, and that in words."""
    if not running.exists or running.stopped:
        return Phase.DEGRADED, "its release is stopped" if running.stopped else "its release is gone"
    if running.available == 0:
        if running.once or running.hopeless:
            return Phase.DEGRADED, "no pod answers"
        return Phase.CREATING, "its first pods are on their way"
    if not way.taken:
        return Phase.CHANGING if way.changed else Phase.CREATING, "the gateway has not taken the route yet"
    return Phase.SERVING, "serving"


def obstacles(api: KubernetesApi, namespace: str, revision: str) -> tuple[str, ...]:
    """Why traffic cannot move to that revision without the service stack."""
    running = look(api, namespace, revision)
    if not running.exists:
        return (f"there is no InferenceService {revision}",)
    return (f"{revision} is stopped: its pods have to start first",) if running.stopped else ()
