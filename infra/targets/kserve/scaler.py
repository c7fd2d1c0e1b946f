"""Whether a release's own scaler works. Nobody says it at once and in one place: a dead operator leaves all conditions
as they were, and of two autoscalers on the same pods neither works (measured on KEDA 2.21, Kubernetes 1.37)."""

from __future__ import annotations

from collections.abc import Iterator

from infra.kubernetes.base import KubernetesApi, Object
from infra.kubernetes.client import KubernetesRefused, KubernetesUnreachable
from infra.kubernetes.objects import condition
from infra.targets.kserve.manifests import AUTOSCALER, ISVC, ISVC_KIND
from infra.targets.kserve.names import service_name
from infra.targets.kserve.scaling import SCALED, SCALED_KIND

HPA, HPA_KIND = "autoscaling/v2", "HorizontalPodAutoscaler"
METRIC = "/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{name}"
ANSWER = "5s"
"""Without it an operator that is away holds a question for a minute."""


def find_trouble(api: KubernetesApi, namespace: str, revision: str) -> tuple[str, ...]:
    """Why its pods do not follow load and schedule, in words; empty: they do, or KServe scales them."""
    isvc = api.get(ISVC, ISVC_KIND, revision, namespace)
    if isvc is None or (isvc["metadata"].get("annotations") or {}).get(AUTOSCALER) != "external":
        return ()
    scaled = api.get(SCALED, SCALED_KIND, revision, namespace)
    if scaled is None:
        return (f"nothing scales it: there is no {SCALED_KIND} {revision}",)
    return (*others(api, namespace, revision), *ailments(scaled), *silence(api, namespace, scaled))


def others(api: KubernetesApi, namespace: str, revision: str) -> Iterator[str]:
    """Whoever else would scale the same pods."""
    kinds = ((HPA, HPA_KIND, f"keda-hpa-{revision}"), (SCALED, SCALED_KIND, revision))
    for version, kind, own in kinds:
        for one in api.list(version, kind, namespace):
            name, target = one["metadata"]["name"], one["spec"].get("scaleTargetRef") or {}
            if name != own and target.get("name") == service_name(revision):
                yield f"{kind} {name} scales the same pods, and of two neither works"


def ailments(scaled: Object) -> Iterator[str]:
    """What KEDA itself says."""
    for kind in ("Ready", "HPAActive"):
        told = condition(scaled, kind)
        if told.get("status") == "False":
            yield f"{told.get('reason')}: {told.get('message', '')}"
    for name, health in ((scaled.get("status") or {}).get("health") or {}).items():
        if health.get("status") == "Failing":
            yield f"{name} has failed {health.get('numberOfFailures', 0)} times in a row: its pods stay as many"


def silence(api: KubernetesApi, namespace: str, scaled: Object) -> Iterator[str]:
    """One real question, by the way that the autoscaler takes."""
    status, name = scaled.get("status") or {}, scaled["metadata"]["name"]
    for metric in (status.get("externalMetricNames") or ())[:1]:
        path = METRIC.format(namespace=namespace, name=metric)
        try:
            api.text(path, labelSelector=f"scaledobject.keda.sh/name={name}", timeout=ANSWER)
        except KubernetesRefused as refused:
            if refused.status != 403:  # else nobody may look
                yield f"KEDA does not answer for {metric}: {refused}"
        except KubernetesUnreachable as error:
            yield f"KEDA does not answer for {metric}: {error}"
