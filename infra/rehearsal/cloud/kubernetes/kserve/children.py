"""What objects an InferenceService has in Standard mode: pure functions, as recorded."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

from infra.rehearsal.cloud.kubernetes.kserve.fields import extension_fields, predictor_fields
from infra.rehearsal.cloud.kubernetes.kserve.words import (
    API_VERSION,
    AUTOSCALER,
    CLUSTER_LOCAL,
    CONTAINER,
    KIND,
    MODE,
    OWNER_LABEL,
    STANDARD,
    TRANSFORMER_CONTAINER,
    VISIBILITY,
    Component,
    Object,
    annotation,
)

OWN_FIELDS = frozenset(extension_fields({}, {})) | frozenset(predictor_fields()) | {"art"}
"""Fields of a component that are KServe's; the rest is its pod's."""
NOT_HANDED_ON = (
    "autoscaling.knative.dev/min-scale",
    "autoscaling.knative.dev/max-scale",
    "internal.serving.kserve.io/storage-initializer-sourceuri",
    "kubectl.kubernetes.io/last-applied-configuration",
)
"""Annotations that the children do not get."""
PORT = 8080
MOST_OF_A_LABEL = 63

Routes = Literal["gateway", "ingress", "none"]


@dataclass(frozen=True, kw_only=True)
class KServeSettings:
    """Of KServe's configuration map what Standard mode reads. `routes`: what brings callers in; `gateway`: namespace
    and name of the Gateway."""

    routes: Routes = "gateway"
    domain: str = "example.com"
    gateway: tuple[str, str] = ("kserve", "kserve-ingress-gateway")
    ingress_class: str = "istio"


class CannotReconcile(Exception):
    """KServe's own words why it makes nothing of a component."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One component's objects. `autoscaler`: a HorizontalPodAutoscaler, a ScaledObject or none; `drop_autoscaler`: one
    of an earlier class goes; `keeps_replicas`: their number is somebody else's once the Deployment is there."""

    component: Component
    service: Object
    deployment: Object
    autoscaler: Object | None
    drop_autoscaler: bool
    keeps_replicas: bool

    @property
    def name(self) -> str:
        return str(self.deployment["metadata"]["name"])


def child_name(isvc: Object, component: Component) -> str:
    """The name that a component's objects have."""
    own = isvc["spec"].get(component, {}).get("name", "") if component == "predictor" else ""
    return "-".join(part for part in (isvc["metadata"]["name"], own, component) if part)


def host_of(name: str, isvc: Object, settings: KServeSettings) -> str:
    """The host under which callers reach that name."""
    return f"{name}-{isvc['metadata']['namespace']}.{settings.domain}"


def entry_component(isvc: Object) -> Component:
    """Where a request comes in."""
    return "transformer" if "transformer" in isvc["spec"] else "predictor"


def is_cluster_local(isvc: Object) -> bool:
    """Whether nothing outside of the cluster is to reach it."""
    return (isvc["metadata"].get("labels") or {}).get(VISIBILITY) == CLUSTER_LOCAL


def workload(isvc: Object, component: Component, settings: KServeSettings) -> Workload:
    """Everything of one component. Raises `CannotReconcile`."""
    name = child_name(isvc, component)
    label = f"{name}-{isvc['metadata']['namespace']}"
    failing = f"fails to create NewRawKubeReconciler for {component}: "
    if len(label) > MOST_OF_A_LABEL:
        raise CannotReconcile(
            f'{failing}failed creating host name: invalid domain name "{label}.{settings.domain}": url: '
            f'Invalid value: "{label}": must be no more than 63 characters'
        )
    mode = annotation(isvc, MODE) or STANDARD
    if mode != STANDARD:
        raise CannotReconcile(f"{failing}unsupported deployment mode for workload: {mode}")
    metadata = _metadata(isvc, component, name)
    chosen = annotation(isvc, AUTOSCALER) or "hpa"
    pod = _pod(isvc, component)
    return Workload(
        component=component,
        service=_service(metadata, pod),
        deployment=_deployment(isvc["spec"][component], metadata, pod, fixed=chosen == "none"),
        autoscaler=_autoscaler(chosen, isvc["spec"][component], metadata),
        drop_autoscaler=chosen in ("none", "external"),
        keeps_replicas=chosen != "none",
    )


def owner_reference(isvc: Object) -> Object:
    """That the InferenceService is a child's one controller."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": isvc["metadata"]["name"],
        "uid": isvc["metadata"].get("uid", ""),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def annotations_for_children(isvc: Object) -> Object:
    """Its annotations as the children get them."""
    given = isvc["metadata"].get("annotations") or {}
    return {name: text for name, text in given.items() if name not in NOT_HANDED_ON}


def _metadata(isvc: Object, component: Component, name: str) -> Object:
    asked = isvc["spec"][component]
    labels = (isvc["metadata"].get("labels") or {}) | (asked.get("labels") or {})
    labels |= {
        "app": f"isvc.{name}",
        "component": component,
        OWNER_LABEL: isvc["metadata"]["name"],
    }
    return {
        "name": name,
        "namespace": isvc["metadata"]["namespace"],
        "labels": labels,
        "annotations": annotations_for_children(isvc) | (asked.get("annotations") or {}),
        "ownerReferences": [owner_reference(isvc)],
    }


def _pod(isvc: Object, component: Component) -> Object:
    """The pod's spec with what KServe adds."""
    pod = {name: deepcopy(value) for name, value in isvc["spec"][component].items() if name not in OWN_FIELDS}
    main = [one for one in pod["containers"] if one.get("name") == CONTAINER]
    if not main:
        raise IndexError(f"no container of {component} is named {CONTAINER}")
    name = isvc["metadata"]["name"]
    if component != "predictor":
        host = f"{child_name(isvc, 'predictor')}.{isvc['metadata']['namespace']}"
        arguments = ["--model_name", name, "--predictor_host", host, "--http_port", str(PORT)]
        main[0]["args"] = [*main[0].get("args", ()), *arguments]
    if component != "explainer":
        main[0]["env"] = [*main[0].get("env", ()), {"name": "INFERENCE_SERVICE_NAME", "value": name}]
    for container in pod["containers"]:
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        container.setdefault("imagePullPolicy", "IfNotPresent")
        if container["name"] in (CONTAINER, TRANSFORMER_CONTAINER):
            container.setdefault("readinessProbe", _tcp_probe(container))
    return {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
    } | pod


def _tcp_probe(container: Object) -> Object:
    ports = container.get("ports") or [{"containerPort": PORT}]
    return {
        "tcpSocket": {"port": ports[0]["containerPort"]},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }


def _deployment(asked: Object, metadata: Object, pod: Object, *, fixed: bool) -> Object:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}}
    template = {key: deepcopy(metadata[key]) for key in ("name", "namespace", "labels", "annotations")}
    spec = {
        "selector": {"matchLabels": {"app": metadata["labels"]["app"]}},
        "template": {"metadata": template, "spec": pod},
        "strategy": asked.get("deploymentStrategy") or rolling,
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
    }
    if fixed:
        spec["replicas"] = asked.get("minReplicas", 1)
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def _service(metadata: Object, pod: Object) -> Object:
    containers = {one["name"]: one for one in reversed(pod["containers"])}
    container = containers.get(TRANSFORMER_CONTAINER, pod["containers"][0])
    given = container.get("ports") or [{"name": metadata["name"], "containerPort": PORT}]
    ports = [
        {
            "name": one.get("name") or ("http" if position == 0 else ""),
            "protocol": one.get("protocol", "TCP"),
            "port": 80 if position == 0 else one["containerPort"],
            "targetPort": one["containerPort"],
        }
        for position, one in enumerate(given)
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "selector": {"app": metadata["labels"]["app"]},
            "ports": [{key: value for key, value in port.items() if value != ""} for port in ports],
        },
    }


# ---- autoscalers ----


def _autoscaler(chosen: str, asked: Object, metadata: Object) -> Object | None:
    if chosen == "hpa":
        return _horizontal_pod_autoscaler(asked, metadata)
    if chosen == "keda":
        return _scaled_object(asked, metadata)
    return None


def _horizontal_pod_autoscaler(asked: Object, metadata: Object) -> Object:
    least = max(1, asked.get("minReplicas", 1))
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata,
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": metadata["name"]},
            "minReplicas": least,
            "maxReplicas": max(least, asked.get("maxReplicas", 0)),
            "metrics": _resource_metrics(asked),
            "behavior": {},
        },
    }


def _resource_metrics(asked: Object) -> list[Object]:
    given = [
        one["resource"] for one in (asked.get("autoScaling") or {}).get("metrics") or () if "resource" in one
    ]
    if not given:
        metric = asked.get("scaleMetric")
        share = {"type": "Utilization", "averageUtilization": asked.get("scaleTarget", 80)}
        given = [{"name": metric if metric in ("cpu", "memory") else "cpu", "target": share}]
    return [{"type": "Resource", "resource": deepcopy(one)} for one in given]


def _scaled_object(asked: Object, metadata: Object) -> Object:
    triggers = [_trigger(one) for one in (asked.get("autoScaling") or {}).get("metrics") or ()]
    least = asked.get("minReplicas", 1)
    windows = {
        "scaleDown": {"stabilizationWindowSeconds": 300},
        "scaleUp": {"stabilizationWindowSeconds": 0},
    }
    spec = {
        "scaleTargetRef": {"name": metadata["name"]},
        "minReplicaCount": least,
        "maxReplicaCount": max(least, asked.get("maxReplicas", 0)),
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": windows}, "scalingModifiers": {}},
    }
    if triggers:
        spec["triggers"] = triggers
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": metadata, "spec": spec}


def _trigger(metric: Object) -> Object:
    if metric["type"] == "Resource":
        target = metric["resource"]["target"]
        value = target.get("averageUtilization", target.get("averageValue", target.get("value", "")))
        return {
            "type": metric["resource"]["name"],
            "metricType": target.get("type", "Utilization"),
            "metadata": {"value": str(value)},
        }
    source = metric.get("external") or metric.get("podmetric") or {}
    asked = source["metric"]
    names = ("query", "serverAddress", "namespace")
    described = {name: asked[name] for name in names if asked.get(name)}
    described["threshold"] = str(source["target"].get("value", ""))
    return {"type": asked.get("backend", "prometheus"), "metadata": described}
