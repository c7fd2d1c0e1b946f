"""Our stand-in beside what KServe did with the Gateway API, step by step on a real control plane; the routes' status is
written, or is not, as when it was recorded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from infra.kubernetes.client import MERGE, KubernetesClient, KubernetesRefused
from infra.kubernetes.follow import Follow
from infra.rehearsal.cloud.kubernetes.kserve.children import KServeSettings
from tests.kubernetes_cluster import Cluster
from tests.reality.kserve.beside import StandIn, stand_in
from tests.reality.kserve.pods import PretendedNodes
from tests.reality.kserve.recordings import Object
from tests.reality.kserve.replay import Act, Replay

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]


ROUTE = ("gateway.networking.k8s.io/v1", "HTTPRoute")


def accept_routes(client: KubernetesClient) -> Callable[[], None]:
    """Write of every route that its Gateway took it, as a gateway's controller does; what ends it."""
    changed, ending = threading.Event(), threading.Event()
    follow = Follow(client, *ROUTE, changed.set).start()

    def work() -> None:
        while not ending.is_set():
            changed.wait()
            changed.clear()
            for route in follow.all():
                if not (route.get("status") or {}).get("parents"):
                    accept(client, route)

    threading.Thread(target=work, daemon=True).start()

    def end() -> None:
        ending.set()
        changed.set()
        follow.stop()

    return end


def accept(client: KubernetesClient, route: Object) -> None:
    parent = route["spec"]["parentRefs"][0]
    conditions = [
        {
            "type": kind,
            "status": "True",
            "reason": kind,
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        for kind in ("Accepted", "ResolvedRefs")
    ]
    told = {"parentRef": parent, "controllerName": "lab.example/gateway", "conditions": conditions}
    obj = route | {"apiVersion": ROUTE[0], "kind": ROUTE[1]}
    try:
        path = client.path_of(obj, "status")
        client.request("PATCH", path, body={"status": {"parents": [told]}}, content_type=MERGE)
    except KubernetesRefused as refused:
        if refused.status != 404:
            raise


@pytest.fixture(scope="module")
def with_gateway(cluster: Cluster, nodes: PretendedNodes) -> Iterator[StandIn]:
    with stand_in(cluster, KServeSettings(routes="gateway"), nodes) as at_work:
        yield at_work


def add_a_backend(client: KubernetesClient, namespace: str) -> None:
    route = client.get(*ROUTE, "churn", namespace)
    assert route is not None
    second = {"group": "", "kind": "Service", "name": "churn-v2-predictor", "port": 80, "weight": 10}
    rule = route["spec"]["rules"][0]
    changed = rule | {"backendRefs": [*rule["backendRefs"], second]}
    client.patch(route, {"spec": {"rules": [changed]}}, manager="kubectl")


BY_HAND: dict[str, Act] = {"weights for a second backend added to the route by hand": add_a_backend}


@pytest.mark.parametrize("name", ["g1", "g4", "g5", "g6", "g7", "g8"])
def test_every_step_ends_as_recorded(
    cluster: Cluster, namespace: str, with_gateway: StandIn, name: str
) -> None:
    end = accept_routes(KubernetesClient(cluster.places.kubeconfig))
    try:
        Replay(cluster.client, namespace, BY_HAND, with_gateway.is_at_rest).play(name)
    finally:
        end()


def test_without_a_gateway_it_is_never_ready(cluster: Cluster, namespace: str, with_gateway: StandIn) -> None:
    Replay(cluster.client, namespace, {}, with_gateway.is_at_rest).play("g2")
