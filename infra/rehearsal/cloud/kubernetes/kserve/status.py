"""An InferenceService's status from what is there: pure functions, with the recorded lags.

The order counts: the model's state is judged before the way in is, so an object is Ready one write before its model
is said to be loaded, unless there is no way in to wait for."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field

from infra.rehearsal.cloud.kubernetes.kserve import children, routes
from infra.rehearsal.cloud.kubernetes.kserve.children import KServeSettings
from infra.rehearsal.cloud.kubernetes.kserve.words import (
    CONTAINER,
    MODE,
    MODES,
    STANDARD,
    Component,
    Object,
    annotation,
)

CONDITION_OF: dict[Component, str] = {
    "predictor": "PredictorReady",
    "transformer": "TransformerReady",
    "explainer": "ExplainerReady",
}


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One condition without its time. `info`: it does not count for Ready."""

    status: str
    reason: str = ""
    message: str = ""
    info: bool = False

    def to_store(self, name: str, before: Object | None, now: str) -> Object:
        """As the status has it; its time moves with its status, reason or message."""
        told: Object = {"type": name, "status": self.status}
        told |= {"reason": self.reason} if self.reason else {}
        told |= {"message": self.message} if self.message else {}
        told |= {"severity": "Info"} if self.info else {}
        old = {key: value for key, value in (before or {}).items() if key != "lastTransitionTime"}
        when = (before or {}).get("lastTransitionTime", now) if old == told else now
        return told | {"lastTransitionTime": when}


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was found. `deployments` and `pods` (newest first) by component, `routes` as stored, those not there left
    out; `failure`: why a component's objects could not be made."""

    deployments: dict[Component, Object] = field(default_factory=dict)
    pods: dict[Component, list[Object]] = field(default_factory=dict)
    routes: list[Object] = field(default_factory=list)
    failure: str = ""
    stopped: bool = False


def next_status(isvc: Object, seen: Seen, settings: KServeSettings, now: str) -> Object:
    """The status to store after a reconcile that saw this; `now` in RFC 3339."""
    if seen.stopped:
        return _status_of_stopped(isvc, now)
    status: Object = deepcopy(isvc.get("status") or {})
    status["deploymentMode"] = _mode(isvc)
    if seen.failure:
        return _status_of_failure(status, seen.failure, now)
    conditions = {name: _condition_of(status, name) for name in ("IngressReady", "PredictorReady")}
    for component, deployment in seen.deployments.items():
        ready = deployment_ready(deployment, info=component != "predictor")
        conditions[CONDITION_OF[component]] = ready
        address = status.setdefault("components", {}).setdefault(component, {})
        if ready.status == "True":
            name = deployment["metadata"]["name"]
            address["url"] = f"http://{children.host_of(name, isvc, settings)}"
    _observe(status, seen.deployments["predictor"])
    pods = seen.pods.get("predictor", [])
    status["modelStatus"] = model_status(status.get("modelStatus"), pods, _ready(conditions).status == "True")
    conditions["IngressReady"] = way_in(isvc, seen, conditions, settings)
    if conditions["IngressReady"].status == "True":
        name = isvc["metadata"]["name"]
        entry = children.child_name(isvc, children.entry_component(isvc))
        status["url"] = f"http://{children.host_of(name, isvc, settings)}"
        status["address"] = {"url": f"http://{entry}.{isvc['metadata']['namespace']}.svc.cluster.local"}
    conditions["Ready"] = _ready(conditions)
    conditions["Stopped"] = Condition(status="False", info=True)
    return _with(status, conditions, now)


def unknown_status(isvc: Object, now: str) -> Object:
    """Of one that the controller makes nothing of, and says so in an event alone."""
    status: Object = deepcopy(isvc.get("status") or {})
    status["deploymentMode"] = _mode(isvc)
    status.setdefault("modelStatus", {"transitionStatus": ""})
    names = ("IngressReady", "PredictorReady", "Ready")
    return _with(status, {name: _condition_of(status, name) for name in names}, now)


def deployment_ready(deployment: Object, *, info: bool = False) -> Condition:
    """A component's condition from its Deployment's. The new pods' trouble shows only after the progress deadline."""
    found = {one["type"]: one for one in (deployment.get("status") or {}).get("conditions") or ()}
    available, progressing = found.get("Available"), found.get("Progressing")
    if available is None:
        if progressing is None:
            return Condition(status="False", info=info)
        return _taken_over(progressing, "Unknown", info)
    if available["status"] == "True" and progressing is not None:
        done = progressing.get("reason") == "NewReplicaSetAvailable"
        if progressing["status"] == "False" or (progressing["status"] == "True" and done):
            return _taken_over(progressing, progressing["status"], info)
    return _taken_over(available, available["status"], info)


def model_status(before: Object | None, pods: list[Object], ready: bool) -> Object:
    """Whether the model is loaded, as the newest pod shows it. A pod that tells nothing yet changes nothing."""
    told: Object = deepcopy(before or {"transitionStatus": ""})
    state, failure = _newest_state(pods, ready)
    if state:
        states = told.setdefault("states", {"activeModelState": ""})
        states["targetModelState"] = state
        if state == "Loaded":
            states["activeModelState"] = state
            told.pop("lastFailureInfo", None)
        words = {"Loaded": "UpToDate", "FailedToLoad": "BlockedByFailedLoad"}
        told["transitionStatus"] = words.get(state, "InProgress")
    if failure:
        told["lastFailureInfo"] = failure
    working = sum(_is_ready(pod) for pod in pods)
    told["copies"] = {"failedCopies": 0} | ({"totalCopies": working} if working else {})
    return told


def way_in(isvc: Object, seen: Seen, conditions: dict[str, Condition], settings: KServeSettings) -> Condition:
    """Whether callers from outside reach it."""
    wanted = routes.wanted_routes(isvc, settings)
    if not wanted:
        return Condition(status="True")
    gateway = settings.routes == "gateway"
    for component in seen.deployments:
        if conditions[CONDITION_OF[component]].status != "True":
            title = component.title()
            if gateway:
                return Condition(
                    status="False",
                    reason=f"{title} Deployment NotReady",
                    message=f"{title} HTTPRoute not created",
                )
            return Condition(status="False", reason=f"{title} ingress not created")
    return _acceptance(isvc, seen.routes, wanted) if gateway else Condition(status="True")


def _acceptance(isvc: Object, stored: list[Object], wanted: list[Object]) -> Condition:
    by_name = {one["metadata"]["name"]: one for one in stored}
    for route in wanted:
        name = route["metadata"]["name"]
        title = "InferenceService" if name == isvc["metadata"]["name"] else name.rsplit("-", 1)[1].title()
        parents = (by_name.get(name, {}).get("status") or {}).get("parents") or []
        if not parents:
            return Condition(
                status="False", reason="ParentStatusNotAvailable", message=f"{title} HttpRouteNotReady"
            )
        for condition in (one for parent in parents for one in parent.get("conditions") or ()):
            if condition["status"] != "True":
                return Condition(
                    status="False", reason=condition["reason"], message=f"{title} {condition['message']}"
                )
    return Condition(status="True")


# ---- parts ----


def _mode(isvc: Object) -> str:
    """A word that KServe does not know is told as the configured mode."""
    asked = annotation(isvc, MODE)
    return asked if asked in MODES else STANDARD


def _taken_over(found: Object, status: str, info: bool) -> Condition:
    reason, message = found.get("reason", ""), found.get("message", "")
    return Condition(status=status, reason=reason, message=message, info=info)


def _newest_state(pods: list[Object], ready: bool) -> tuple[str, Object | None]:
    if not pods:
        return "Pending", None
    if ready:
        return "Loaded", None
    for container in (pods[0].get("status") or {}).get("containerStatuses") or ():
        if container["name"] != CONTAINER:
            continue
        state = container.get("state") or {}
        ended = state.get("terminated")
        if (state.get("waiting") or {}).get("reason") == "CrashLoopBackOff":
            ended = (container.get("lastState") or {}).get("terminated")
        if ended and ended.get("reason") == "Error":
            failure = {"reason": "ModelLoadFailed", "exitCode": ended.get("exitCode", 0)}
            failure |= {"message": ended["message"]} if ended.get("message") else {}
            return "FailedToLoad", failure
        return "Pending", None
    return "", None


def _is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _observe(status: Object, deployment: Object) -> None:
    """`observedGeneration` is the Deployment's, not the object's own."""
    observed = (deployment.get("status") or {}).get("observedGeneration", 0)
    if observed:
        status["observedGeneration"] = observed
    else:
        status.pop("observedGeneration", None)


def _condition_of(status: Object, name: str) -> Condition:
    for one in status.get("conditions") or ():
        if one["type"] == name:
            return Condition(
                status=one["status"],
                reason=one.get("reason", ""),
                message=one.get("message", ""),
                info=one.get("severity") == "Info",
            )
    return Condition(status="Unknown")


def _ready(conditions: dict[str, Condition]) -> Condition:
    """True when the way in and the predictor are; else the first trouble's words."""
    parts = [conditions["IngressReady"], conditions["PredictorReady"]]
    for wanted in ("False", "Unknown"):
        for part in parts:
            if part.status == wanted:
                return Condition(status=wanted, reason=part.reason, message=part.message)
    return Condition(status="True")


def _with(status: Object, conditions: dict[str, Condition], now: str) -> Object:
    before = {one["type"]: one for one in status.get("conditions") or ()}
    names = sorted(conditions | {name: None for name in before if name not in conditions})
    status["conditions"] = [
        conditions[name].to_store(name, before.get(name), now) if name in conditions else before[name]
        for name in names
    ]
    return status


def _status_of_stopped(isvc: Object, now: str) -> Object:
    off = Condition(status="False", reason="Stopped")
    names = ("IngressReady", "PredictorReady", "Ready")
    conditions = dict.fromkeys(names, off) | {"Stopped": Condition(status="True", info=True)}
    before = {"conditions": [one for one in _conditions_before(isvc) if one["type"] in conditions]}
    mode = _mode(isvc)
    return _with(before, conditions, now) | {"deploymentMode": mode, "modelStatus": {"transitionStatus": ""}}


def _conditions_before(isvc: Object) -> list[Object]:
    found: list[Object] = (isvc.get("status") or {}).get("conditions") or []
    return found


def _status_of_failure(status: Object, failure: str, now: str) -> Object:
    reason = Condition(status="False", reason="ReconcileFailed", message=failure)
    conditions = {
        "IngressReady": _condition_of(status, "IngressReady"),
        "PredictorReady": reason,
        "Ready": reason,
    }
    status.setdefault("components", {}).setdefault("predictor", {})
    status.setdefault("modelStatus", {"transitionStatus": ""})
    return _with(status, conditions, now)
