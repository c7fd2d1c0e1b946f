"""The InferenceServices that `serve.target: kserve` declares, on a real control plane with our stand-in: admitted
without a warning, brought up with the statuses recorded for a cluster-local service (g7), stopped and started again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import declared
import pytest
from waiting import wait_for

from infra.kubernetes.client import KubernetesClient
from infra.rehearsal.cloud.kubernetes.kserve.children import KServeSettings
from infra.rehearsal.cloud.kubernetes.kserve.words import API_VERSION, KIND, STOP
from tests.kubernetes_cluster import Cluster
from tests.reality.kserve.beside import stand_in
from tests.reality.kserve.pods import PretendedNodes
from tests.reality.kserve.recordings import Object, recording
from tests.reality.kserve.replay import StoredStatuses, found_children, milestones

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]


RELEASE = {
    "key": "a" * 12,
    "image": f"127.0.0.1:5000/shop-local@sha256:{'a' * 64}",
    "instance": "c7i.xlarge",
    "count": 1,
    "environment": {"THREADS": "2"},
}


@pytest.fixture(scope="module")
def at_work(cluster: Cluster, nodes: PretendedNodes) -> Iterator[None]:
    """Pretended nodes, and the stand-in as the local cloud runs it."""
    with stand_in(cluster, KServeSettings(), nodes):
        yield


def declared_service(namespace: str, release: dict[str, Any], **more: Any) -> Object:
    settings = {"service": "shop", "target": "kserve", "namespace": namespace, "releases": [release], **more}
    [found] = declared.program("service", settings).of("InferenceService")
    told: Object = {"apiVersion": API_VERSION, "kind": KIND} | dict(found.inputs)
    return told


def condition(isvc: Object | None, kind: str) -> str:
    conditions = ((isvc or {}).get("status") or {}).get("conditions") or []
    return next((str(one["status"]) for one in conditions if one["type"] == kind), "")


def test_a_release_comes_up_as_recorded_and_stops(cluster: Cluster, namespace: str, at_work: None) -> None:
    isvc = declared_service(namespace, RELEASE)
    client, name = cluster.client, isvc["metadata"]["name"]
    path = client.kind(API_VERSION, KIND).path(namespace)
    with StoredStatuses(KubernetesClient(cluster.places.kubeconfig), namespace).watched() as order:
        client.request("POST", path, body=isvc, fieldValidation="Strict")
        recorded = milestones(recording("g7")["timeline"])
        wait_for(lambda: milestones(order.rows)[-1:] == recorded[-1:])
    assert set(found_children(client, namespace)) == {"Deployment", "Service", "HorizontalPodAutoscaler"}
    assert milestones(order.rows) == recorded
    client.patch(isvc, {"metadata": {"annotations": {STOP: "true"}}})
    wait_for(lambda: condition(client.get(API_VERSION, KIND, name, namespace), "Stopped") == "True")
    wait_for(lambda: not found_children(client, namespace))
    client.patch(isvc, {"metadata": {"annotations": {STOP: None}}})
    wait_for(lambda: condition(client.get(API_VERSION, KIND, name, namespace), "Ready") == "True")
    client.delete(isvc)
    wait_for(lambda: client.get(API_VERSION, KIND, name, namespace) is None)


def test_one_that_is_born_stopped_has_no_children(cluster: Cluster, namespace: str, at_work: None) -> None:
    isvc = declared_service(namespace, RELEASE | {"stopped": True})
    client, name = cluster.client, isvc["metadata"]["name"]
    client.request("POST", client.kind(API_VERSION, KIND).path(namespace), body=isvc)
    wait_for(lambda: condition(client.get(API_VERSION, KIND, name, namespace), "Stopped") == "True")
    assert not found_children(client, namespace)


def test_one_that_keda_scales_has_no_autoscaler_of_kserves(
    cluster: Cluster, namespace: str, at_work: None
) -> None:
    """As recorded (b7); and where it had one, that goes."""
    scaled = {"scale": {"max": 4, "target_rps": 9.0}, "metrics": {"prometheus": "monitoring/prometheus:80"}}
    before, after = declared_service(namespace, RELEASE), declared_service(namespace, RELEASE, **scaled)
    client, name = cluster.client, after["metadata"]["name"]
    client.request("POST", client.kind(API_VERSION, KIND).path(namespace), body=before)
    wait_for(lambda: "HorizontalPodAutoscaler" in found_children(client, namespace))
    assert client.apply(after, "test", force=True)["spec"]["predictor"]["maxReplicas"] == 4
    wait_for(lambda: set(found_children(client, namespace)) == {"Deployment", "Service"})
    wait_for(lambda: condition(client.get(API_VERSION, KIND, name, namespace), "Ready") == "True")


def test_one_for_a_gpu_is_admitted(cluster: Cluster, namespace: str, at_work: None) -> None:
    isvc = declared_service(namespace, RELEASE | {"instance": "g6.xlarge"})
    path = cluster.client.kind(API_VERSION, KIND).path(namespace)
    told = cluster.client.request("POST", path, body=isvc, fieldValidation="Strict", dryRun="All")
    asked = isvc["spec"]["predictor"]
    assert told["spec"]["predictor"]["tolerations"] == asked["tolerations"]
    assert told["spec"]["predictor"]["affinity"] == asked["affinity"]
