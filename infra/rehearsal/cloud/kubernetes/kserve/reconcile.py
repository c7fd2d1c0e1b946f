"""One InferenceService brought to what its spec asks for, and its status written."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from infra.kubernetes import objects
from infra.kubernetes.client import KubernetesClient, KubernetesRefused, Object
from infra.rehearsal.cloud.kubernetes.kserve import children, owned, routes, status
from infra.rehearsal.cloud.kubernetes.kserve.children import CannotReconcile, KServeSettings, Workload
from infra.rehearsal.cloud.kubernetes.kserve.status import Seen
from infra.rehearsal.cloud.kubernetes.kserve.words import (
    API_VERSION,
    FINALIZER,
    FRAMEWORKS,
    KIND,
    MANAGER,
    MODE,
    OWNER_LABEL,
    STOP,
    STORAGE_INITIALIZER,
    STORAGE_URI,
    Component,
    annotation,
    env_value,
    present_components,
)

AUTOSCALERS = (("autoscaling/v2", "HorizontalPodAutoscaler"), ("keda.sh/v1alpha1", "ScaledObject"))
ROUTES = (("networking.k8s.io/v1", "Ingress"), ("gateway.networking.k8s.io/v1", "HTTPRoute"))
WORKLOADS = (("apps/v1", "Deployment"), ("v1", "Service"))


def stand_in_lacks(isvc: Object) -> tuple[str, str]:
    """Reason and message of the event where this stand-in makes nothing of an object ("", "" where it does)."""
    if annotation(isvc, MODE) in ("Knative", "Serverless"):
        words = "It is not possible to use Knative deployment mode when Knative Services are not available"
        return "ServerlessModeRejected", words
    lacks = ""
    predictor = isvc["spec"]["predictor"]
    if any(one in predictor for one in FRAMEWORKS):
        lacks = "serving runtimes (spec.predictor.model and its like)"
    elif "canary" in isvc["spec"]:
        lacks = "canary entries (spec.canary)"
    elif "workerSpec" in predictor:
        lacks = "several nodes (spec.predictor.workerSpec)"
    elif "storageUris" in predictor or _wants_storage(predictor):
        lacks = f"storage-initializer ({STORAGE_URI}, spec.predictor.storageUris)"
    return ("InternalError", f"the local KServe stand-in has no {lacks}") if lacks else ("", "")


def _wants_storage(predictor: Object) -> bool:
    if any(one.get("name") == STORAGE_INITIALIZER for one in predictor.get("initContainers") or ()):
        return False
    return any(env_value(one, STORAGE_URI) for one in predictor["containers"])


@dataclass
class Reconciler:
    """Writes as KServe's own program does, under its field manager."""

    client: KubernetesClient
    settings: KServeSettings
    deployments: owned.Deployments = field(init=False)
    _told: dict[str, tuple[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.deployments = owned.Deployments(self.client)

    def reconcile(self, namespace: str, name: str) -> bool:
        """False when it has to be tried again later. Raises `KubernetesRefused` (409: at once)."""
        isvc = self.client.get(API_VERSION, KIND, name, namespace)
        if isvc is None:
            return True
        finalizers = isvc["metadata"].get("finalizers") or []
        if "deletionTimestamp" in isvc["metadata"]:
            if FINALIZER in finalizers:
                self._finalizers(isvc, [one for one in finalizers if one != FINALIZER])
            return True
        if FINALIZER not in finalizers:
            isvc = self._finalizers(isvc, [*finalizers, FINALIZER])
        reason, message = stand_in_lacks(isvc)
        if reason:
            self._store(isvc, status.unknown_status(isvc, objects.now()))
            self._tell(isvc, "Warning", reason, message)
            return True
        seen = self._stop(isvc) if annotation(isvc, STOP) == "true" else self._work(isvc)
        self._store(isvc, status.next_status(isvc, seen, self.settings, objects.now()))
        if seen.failure:
            self._tell(isvc, "Warning", "InternalError", seen.failure)
        return not seen.failure

    def _finalizers(self, isvc: Object, finalizers: list[str]) -> Object:
        version = isvc["metadata"]["resourceVersion"]
        change = {"metadata": {"finalizers": finalizers, "resourceVersion": version}}
        return self.client.patch(isvc, change, manager=MANAGER)

    # ---- children ----

    def _work(self, isvc: Object) -> Seen:
        """Make what is asked for, as far as it can be made."""
        found: dict[Component, Object] = {}
        pods: dict[Component, list[Object]] = {}
        for component in present_components(isvc):
            try:
                work = children.workload(isvc, component, self.settings)
                # before the Deployment is written: the real one lists them from a cache that lags behind
                pods[component] = self._pods(work)
                found[component] = self._ensure(isvc, work)
            except CannotReconcile as error:
                return Seen(failure=str(error))
            except KubernetesRefused as refused:
                if refused.status == 409:
                    raise
                return Seen(failure=f"fails to reconcile {component}: {refused}")
        return Seen(deployments=found, pods=pods, routes=self._routes(isvc, found))

    def _ensure(self, isvc: Object, work: Workload) -> Object:
        owned.ensure_service(self.client, work.service)
        deployment = self.deployments.ensure(work)
        if work.autoscaler is not None:
            owned.ensure_autoscaler(self.client, work.autoscaler)
        if work.drop_autoscaler:
            version, kind = AUTOSCALERS[0]
            self._drop(isvc, version, kind, work.name)
        if work.component == "predictor":
            self._drop_renamed(isvc, work)
        return deployment

    def _drop_renamed(self, isvc: Object, work: Workload) -> None:
        """Deployment and Service of the name the predictor had before; their autoscaler stays (recorded)."""
        labels = f"{OWNER_LABEL}={isvc['metadata']['name']},component={work.component}"
        for version, kind in WORKLOADS:
            for obj in self.client.list(version, kind, isvc["metadata"]["namespace"], labels):
                if obj["metadata"]["name"] != work.name and owned.owns(isvc, obj):
                    self.client.delete(obj)

    def _pods(self, work: Workload) -> list[Object]:
        metadata = work.deployment["metadata"]
        found = self.client.list("v1", "Pod", metadata["namespace"], f"app={metadata['labels']['app']}")
        return sorted(found, key=lambda one: str(one["metadata"]["creationTimestamp"]), reverse=True)

    def _routes(self, isvc: Object, deployments: dict[Component, Object]) -> list[Object]:
        """The way in, of what is ready; none is taken away again when that is no longer so."""
        wanted = routes.wanted_routes(isvc, self.settings)
        ready = {
            children.child_name(isvc, component)
            for component, deployment in deployments.items()
            if status.deployment_ready(deployment).status == "True"
        }
        if not wanted:
            for version, kind in ROUTES:
                self._drop(isvc, version, kind, isvc["metadata"]["name"])
            return []
        whole = len(ready) == len(deployments)
        return [
            owned.ensure_route(self.client, one)
            for one in wanted
            if whole or (one["kind"] == "HTTPRoute" and one["metadata"]["name"] in ready)
        ]

    def _stop(self, isvc: Object) -> Seen:
        """Everything goes but the object itself."""
        names = [children.child_name(isvc, component) for component in present_components(isvc)]
        for version, kind in (*WORKLOADS, *AUTOSCALERS, *ROUTES):
            for name in (*names, isvc["metadata"]["name"]):
                self._drop(isvc, version, kind, name)
        return Seen(stopped=True)

    def _drop(self, isvc: Object, version: str, kind: str, name: str) -> None:
        obj = self.client.get(version, kind, name, isvc["metadata"]["namespace"])
        if obj is not None and owned.owns(isvc, obj):
            self.client.delete(obj)

    # ---- status and events ----

    def _store(self, isvc: Object, told: Object) -> None:
        before = isvc.get("status") or {}
        if told == before:
            return
        self.client.replace(isvc | {"status": told}, "status", MANAGER)
        was, now = _is_ready(before), _is_ready(told)
        name = isvc["metadata"]["name"]
        if now and not was:
            self._tell(isvc, "Normal", "InferenceServiceReady", f"InferenceService [{name}] is Ready")
        if was and not now:
            words = f"InferenceService [{name}] is no longer Ready"
            self._tell(isvc, "Warning", "InferenceServiceNotReady", words)

    def _tell(self, isvc: Object, kind: str, reason: str, message: str) -> None:
        """An event, unless it is what was told last."""
        metadata = isvc["metadata"]
        if self._told.get(metadata["uid"]) == (reason, message):
            return
        self._told[metadata["uid"]] = (reason, message)
        about = {"apiVersion": API_VERSION, "kind": KIND}
        about |= {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion")}
        now = objects.now()
        self.client.create(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {
                    "name": f"{metadata['name']}.{uuid.uuid4().hex[:16]}",
                    "namespace": metadata["namespace"],
                },
                "involvedObject": about,
                "type": kind,
                "reason": reason,
                "message": message,
                "source": {"component": "v1beta1Controllers"},
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": 1,
            },
            MANAGER,
        )


def _is_ready(told: Object) -> bool:
    conditions = told.get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
