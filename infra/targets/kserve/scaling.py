"""Replicas by load and by schedule on a cluster: KEDA's ScaledObject as plain data, from what is declared.

It is ours, and KServe is told to leave scaling alone (class `external`): the one that KServe makes lets a restart of
Prometheus take the servers of a loaded service away (measured on KServe 0.20 with KEDA 2.21; docs/kserve.md).
https://keda.sh/docs/2.21/reference/scaledobject-spec/
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.recurring import write_unix_cron
from infra.spec import BusyHours, ScaleSpec, Window
from infra.targets.base import Declared, Service
from infra.targets.kserve.names import PREDICTOR, address_for_pods, revision_name, service_name
from modelpack.errors import BadInput
from modelpack.server.guarding.alarms import ASKED

Object = dict[str, Any]

SCALED, SCALED_KIND = "keda.sh/v1alpha1", "ScaledObject"
METRICS_API = ("apiregistration.k8s.io/v1", "APIService", "v1beta1.external.metrics.k8s.io")
"""What the Kubernetes' autoscaler asks KEDA's adapter by."""
CPU_TARGET = 70
"""Per cent of what a pod requests, at which an autoscaler holds the mean load where no other load is given."""
RATE_SECONDS = 60
"""Over which requests are counted."""
POLL_SECONDS = 30
SETTLE_SECONDS = 300
"""A load must have been lower for so long before pods are taken away."""
STEP_SECONDS = 60
"""In each of which a quarter of the pods goes, or one. A release that was made as large as the one that serves keeps
most of its pods until the traffic is there."""
FAILURES = 3
"""Of the query in a row, after which as many pods are held as there are."""
YEAR = timedelta(days=365)


def needs_keda(scale: ScaleSpec) -> bool:
    """Whether a spec asks for what the Kubernetes' own autoscaler does not do."""
    return scale.target_rps is not None or bool(scale.schedule or scale.recurring)


def largest(scale: ScaleSpec, now: datetime) -> int:
    """The most pods that there may ever be: a sale day may have more than `max`."""
    sales = [*(window.min for window in coming(scale, now)), *(hours.min for hours in scale.recurring)]
    return max(scale.min, scale.max, 1, *sales)


def coming(scale: ScaleSpec, now: datetime) -> list[Window]:
    """The sale days that are not over."""
    return [window for window in scale.schedule if window.end > now]


def scaled_object(service: Service, release: Declared, labels: Mapping[str, str]) -> Object:
    """What scales one release. Raises BadInput where KEDA cannot be told."""
    scale, pace = service.scale, service.metrics.pace
    revision = revision_name(service.endpoint, release.key, service.namespace)
    fewest = max(1, scale.min)
    asked = scale.target_rps is not None
    fallback = {"failureThreshold": FAILURES, "replicas": fewest, "behavior": "currentReplicasIfHigher"}
    return {
        "apiVersion": SCALED,
        "kind": SCALED_KIND,
        "metadata": {"name": revision, "namespace": service.namespace, "labels": dict(labels)},
        "spec": {
            "scaleTargetRef": {"name": service_name(revision)},
            "minReplicaCount": fewest,
            "maxReplicaCount": largest(scale, service.now),
            "pollingInterval": hasten(POLL_SECONDS, pace),
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior(pace)}},
            **({"fallback": fallback} if asked else {}),
            "triggers": triggers(service, revision),
        },
    }


def behavior(pace: float) -> Object:
    """Up at once, down slowly."""
    step = hasten(STEP_SECONDS, pace)
    policies = [
        {"type": "Percent", "value": 25, "periodSeconds": step},
        {"type": "Pods", "value": 1, "periodSeconds": step},
    ]
    down = {"stabilizationWindowSeconds": hasten(SETTLE_SECONDS, pace), "policies": policies}
    return {"scaleDown": {**down, "selectPolicy": "Max"}, "scaleUp": {"stabilizationWindowSeconds": 0}}


def hasten(seconds: float, pace: float) -> int:
    """On the local cloud time may pass faster."""
    return max(1, round(seconds / pace))


def triggers(service: Service, revision: str) -> list[Object]:
    """Of which the one that asks for the most pods counts."""
    scale = service.scale
    found = [load(service, revision)] if scale.target_rps is not None else []
    found += [sale_day(window, service.now) for window in coming(scale, service.now)]
    found += [busy_hours(hours) for hours in scale.recurring]
    if not found or (scale.target_rps is None and scale.max > scale.min):
        told = {"type": "cpu", "metricType": "Utilization", "metadata": {"value": str(CPU_TARGET)}}
        found.append(told)
    return found


def load(service: Service, revision: str) -> Object:
    """Requests per second by our own metrics. An answer without a value is an error and moves nothing: Prometheus has
    no rate of what it has scraped only once, after a restart for one."""
    scale, told = service.scale, service.metrics
    if not told.prometheus:
        raise BadInput(
            "scale.target_rps: no Prometheus is known that counts requests",
            hint="local cloud: apt-get install prometheus, then ecomdeploy cloud kubernetes stop;"
            " cloud: cluster: prometheus: NAMESPACE/SERVICE:PORT in its environment",
        )
    assert scale.target_rps is not None, "asked only with one"
    return {
        "type": "prometheus",
        "metadata": {
            "serverAddress": address_for_pods(told.prometheus),
            "query": query(service.namespace, revision, scale, hasten(RATE_SECONDS, told.pace)),
            "threshold": f"{scale.target_rps:.12g}",
            "ignoreNullValues": "false",
        },
    }


def query(namespace: str, revision: str, scale: ScaleSpec, seconds: int) -> str:
    """All requests per second of a release; 0 where its pods are scraped and nobody asked yet. No more than `max` pods
    may take: a sale day has more, but by its schedule alone."""
    assert scale.target_rps is not None, "asked only with one"
    pods = f'namespace="{namespace}",pod=~"{revision}{PREDICTOR}-.+"'
    asked = f"sum(rate(ecomdeploy_requests_total{{{pods},{ASKED}}}[{seconds}s]))"
    there = f"0 * sum(rate(ecomdeploy_ready{{{pods}}}[{seconds}s]))"
    most = max(scale.min, scale.max, 1) * scale.target_rps
    return f"clamp_max({asked} or {there}, {most:.12g})"


def sale_day(window: Window, now: datetime) -> Object:
    """A cron of five fields knows no year: what is further off would come a year too early."""
    if window.end - now > YEAR:
        raise BadInput(
            f"scale.schedule: {window.name} ends in more than a year, and KEDA's schedules know no years",
            hint="write it down when it comes nearer",
        )
    # a last minute that has begun is a whole one
    moments = (window.start, window.end + timedelta(seconds=59))
    begin, end = (
        f"{at.minute} {at.hour} {at.day} {at.month} *" for at in (each.astimezone(UTC) for each in moments)
    )
    return cron("UTC", begin, end, window.min)


def busy_hours(hours: BusyHours) -> Object:
    return cron(hours.time_zone, *write_unix_cron(hours), hours.min)


def cron(zone: str, begin: str, end: str, replicas: int) -> Object:
    told = {"timezone": zone, "start": begin, "end": end, "desiredReplicas": str(replicas)}
    return {"type": "cron", "metadata": told}
