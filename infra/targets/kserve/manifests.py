"""The objects of a service on a cluster, as plain data: pure functions from what is declared.

KServe's own words: https://kserve.github.io/website/ (InferenceService v1beta1); the route: Gateway API v1
(https://gateway-api.sigs.k8s.io/reference/spec/). What of KServe is copied where, and what it does to running pods when
it changes, was measured on version 0.20 (docs/kserve.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from infra.hosts import Hosts
from infra.instances import Instance
from infra.kubernetes.distributions import Distribution, distributions
from infra.secrets import own_parameters, references
from infra.targets.base import Declared, Service
from infra.targets.kserve.hosts import room_on
from infra.targets.kserve.names import (
    CONTAINER,
    ENDPOINT_LABEL,
    app_label,
    host,
    revision_name,
    secret_name,
    service_name,
)
from infra.targets.kserve.scaling import CPU_TARGET, largest, needs_keda
from modelpack.errors import BadInput
from modelpack.server.secrets import PREFIX

Object = dict[str, Any]

ISVC, ISVC_KIND = "serving.kserve.io/v1beta1", "InferenceService"
ROUTE, ROUTE_KIND = "gateway.networking.k8s.io/v1", "HTTPRoute"
MIRROR = "RequestMirror"
STOP = "serving.kserve.io/stop"
AUTOSCALER = "serving.kserve.io/autoscalerClass"
PORT, SERVICE_PORT = 8080, 80
START_SECONDS = 1200
"""How long a server may load its model before its container is started anew."""
PROBE_SECONDS = 2
DRAIN_SECONDS = 5
"""A pod that ends goes on answering for so long, until no gateway sends it anything any more."""
GRACE_SECONDS = 40
GPU = "nvidia.com/gpu"
TAKES_AS_LONG_AS_IT_TAKES = 10
"""Seconds for an answer to a probe on a machine that is busy."""


def labels(service: Service) -> dict[str, str]:
    """On everything; they never change, for a change would start all pods anew."""
    return {
        "app.kubernetes.io/managed-by": "ecomdeploy",
        "app.kubernetes.io/part-of": service.project_tags.project,
        "ecomdeploy.dev/environment": service.project_tags.environment,
        ENDPOINT_LABEL: service.endpoint,
    }


def inference_service(service: Service, release: Declared, hosts: Hosts) -> Object:
    """One release, dark: no route of KServe's own leads to it (cluster-local)."""
    annotations = {
        "serving.kserve.io/deploymentMode": "Standard",
        AUTOSCALER: "external" if needs_keda(service.scale) else "hpa",
        # KServe hands them on to the pods, and Prometheus finds those by them
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(PORT),
        "prometheus.io/path": "/metrics",
        **({STOP: "true"} if release.stopped else {}),
    }
    return {
        "apiVersion": ISVC,
        "kind": ISVC_KIND,
        "metadata": {
            "name": revision_name(service.endpoint, release.key, service.namespace),
            "namespace": service.namespace,
            "labels": {**labels(service), "networking.kserve.io/visibility": "cluster-local"},
            "annotations": annotations,
        },
        "spec": {"predictor": predictor(service, release, hosts)},
    }


def predictor(service: Service, release: Declared, hosts: Hosts) -> Object:
    """The pods: how many, where, as whom, and the server in them."""
    revision = revision_name(service.endpoint, release.key, service.namespace)
    by_cpu = {} if needs_keda(service.scale) else {"scaleMetric": "cpu", "scaleTarget": CPU_TARGET}
    instance = hosts.instance(release.instance)
    return {
        # Where both are the same, nothing scales. With "external" they are for whoever reads them.
        "minReplicas": max(1, service.scale.min),
        "maxReplicas": largest(service.scale, service.now),
        **by_cpu,
        "containers": [container(service, release, hosts)],
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": key,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {"app": app_label(revision)}},
            }
            for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
        ],
        **({"imagePullSecrets": [{"name": secret}]} if (secret := service.cluster.image_pull_secret) else {}),
        **(gpu_placement(instance, distributions()[service.cluster.distribution]) if instance.gpu else {}),
    }


def gpu_placement(instance: Instance, told: Distribution) -> Object:
    """Onto nodes that have that GPU (the image is for it), past the taints that keep other work off them."""
    assert instance.gpu is not None, "asked only of instances with one"
    values = told.gpu_values(instance.name, instance.gpu.name)
    if not values:
        raise BadInput(
            f"no {told.name} node is known to have the GPU of {instance.name} ({instance.gpu.name})"
        )
    wanted = {"key": told.gpu_label, "operator": "In", "values": list(values)}
    required = {"nodeSelectorTerms": [{"matchExpressions": [wanted]}]}
    taints = [{"key": key, "operator": "Equal", "value": value} for key, value in told.taints]
    return {
        "tolerations": [
            {**taint, "effect": "NoSchedule"} for taint in ({"key": GPU, "operator": "Exists"}, *taints)
        ],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}},
    }


def container(service: Service, release: Declared, hosts: Hosts) -> Object:
    """Our server, asked for its health by the Open Inference Protocol's paths."""
    room = room_on(hosts.instance(release.instance))
    amounts = {"cpu": f"{room.cpu}m", "memory": f"{room.memory_mib}Mi"}
    if room.gpus:
        amounts[GPU] = str(room.gpus)
    return {
        "name": CONTAINER,
        "image": release.image,
        "ports": [{"name": "http1", "containerPort": PORT, "protocol": "TCP"}],
        "env": environment(service.endpoint, release.environment),
        "resources": {"requests": amounts, "limits": dict(amounts)},
        "startupProbe": probe("ready", failureThreshold=START_SECONDS // PROBE_SECONDS),
        "readinessProbe": probe("ready", failureThreshold=2),
        "livenessProbe": probe("live", periodSeconds=10, failureThreshold=6),
        "lifecycle": {"preStop": {"sleep": {"seconds": DRAIN_SECONDS}}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }


def probe(question: str, **more: int) -> Object:
    asked = {"path": f"/v2/health/{question}", "port": PORT, "scheme": "HTTP"}
    seconds = {"periodSeconds": PROBE_SECONDS, "timeoutSeconds": TAKES_AS_LONG_AS_IT_TAKES}
    return {"httpGet": asked, **seconds, **more}


def environment(endpoint: str, variables: Mapping[str, str]) -> list[Object]:
    """The container's variables, by name; a secret's value is in a Secret, and only its place stands here."""
    found: list[Object] = []
    for name, value in sorted(variables.items()):
        if not name.startswith(PREFIX):
            found.append({"name": name, "value": value})
            continue
        plain = name.removeprefix(PREFIX)
        place = {"name": secret_name(endpoint, value.removeprefix("ssm:")), "key": plain}
        found.append({"name": plain, "valueFrom": {"secretKeyRef": place}})
    return found


def secret_keys(variables: Mapping[str, str]) -> dict[str, str]:
    """Of a release's environment the values that the service stack keeps: the variable of each, by parameter."""
    own = set(own_parameters(variables))
    return {
        where.removeprefix("ssm:"): name.removeprefix(PREFIX)
        for name, where in references(variables).items()
        if where.removeprefix("ssm:") in own
    }


def http_route(service: Service, revision: str) -> Object:
    """The way of callers, at first to that revision. Whoever applies it again leaves its rules alone."""
    namespace, gateway = service.cluster.gateway.split("/")
    return {
        "apiVersion": ROUTE,
        "kind": ROUTE_KIND,
        "metadata": {
            "name": service.endpoint,
            "namespace": service.namespace,
            "labels": labels(service),
        },
        "spec": {
            "parentRefs": [{"name": gateway, "namespace": namespace}],
            "hostnames": [host(service.endpoint, service.namespace, service.cluster.domain)],
            "rules": rules({revision: 100}),
        },
    }


def rules(weights: Mapping[str, int], copies: Mapping[str, int] = MappingProxyType({})) -> list[Object]:
    """Traffic to those revisions' Services, by weight, and `copies` of so many percent to others. With what the API
    server would fill in (group, kind): so the same rules of two field managers are the same, and neither is in the
    other's way. All of the requests are copied without a percentage, which Gateway API knows from 1.3 on
    (https://gateway-api.sigs.k8s.io/reference/spec/#httprequestmirrorfilter)."""
    backends = [{**backend(revision), "weight": weight} for revision, weight in weights.items()]
    rule = {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": backends}
    filters = [
        {
            "type": MIRROR,
            "requestMirror": {"backendRef": backend(revision), **({"percent": part} if part < 100 else {})},
        }
        for revision, part in copies.items()
    ]
    return [{**rule, "filters": filters}] if filters else [rule]


def backend(revision: str) -> Object:
    return {"group": "", "kind": "Service", "name": service_name(revision), "port": SERVICE_PORT}


def disruption_budget(service: Service, revision: str) -> Object:
    """One pod at a time may be taken from its node."""
    return {
        "metadata": {"name": revision, "namespace": service.namespace, "labels": labels(service)},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": app_label(revision)}}},
    }
