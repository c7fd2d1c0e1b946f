"""The gateway beside a real API server, its EndpointSlices written by the test, its pods servers of the test's."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from gateway_objects import backend, endpoints, route, service
from gateway_pods import Pod, ask, calling, pods
from waiting import wait_for

from infra.kubernetes.client import KubernetesClient
from infra.rehearsal.cloud.kubernetes.gateway.observed import API
from infra.rehearsal.cloud.kubernetes.places import GATEWAY, GATEWAY_CLASS
from tests.kubernetes_cluster import Cluster

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]
MANAGER = "test"
ROUNDS = 12


@pytest.fixture
def port(cluster: Cluster) -> Iterator[int]:
    """Of the gateway, which runs."""
    with cluster.running("gateway"):
        yield cluster.ports.gateway


def put(client: KubernetesClient, obj: dict[str, Any]) -> None:
    """Apply it, without what only the server writes."""
    metadata = {
        key: value for key, value in obj["metadata"].items() if key not in ("generation", "creationTimestamp")
    }
    client.apply(obj | {"metadata": metadata}, MANAGER, force=True)


def place(
    client: KubernetesClient, namespace: str, name: str, *ready: Pod, gone: tuple[Pod, ...] = ()
) -> None:
    """A Service's endpoints, one slice a pod for each has a port of its own."""
    for pod, state in (*((pod, True) for pod in ready), *((pod, False) for pod in gone)):
        address = "10." + pod.address.removeprefix("127.")
        slice_ = endpoints(namespace, name, (address, state), at=pod.place[1])
        slice_["metadata"]["name"] = f"{name}-{address.replace('.', '-')}"
        put(client, slice_)


def conditions(client: KubernetesClient, namespace: str, name: str) -> dict[str, tuple[str, str]]:
    found = client.get(API, "HTTPRoute", name, namespace)
    parents = (found.get("status") or {}).get("parents") or [{"conditions": []}]
    return {one["type"]: (one["status"], one["reason"]) for one in parents[0]["conditions"]}


def test_class_and_gateway_are_accepted_and_have_an_address(cluster: Cluster, port: int) -> None:
    client = cluster.client
    gateway_namespace, gateway_name = GATEWAY.split("/")

    def status(kind: str, name: str, namespace: str = "") -> dict[str, Any]:
        return client.get(API, kind, name, namespace).get("status") or {}

    def holds(kind: str, name: str, namespace: str, condition: str) -> bool:
        listed = status(kind, name, namespace).get("conditions") or ()
        return any(one["type"] == condition and one["status"] == "True" for one in listed)

    wait_for(lambda: holds("GatewayClass", GATEWAY_CLASS, "", "Accepted"))
    wait_for(lambda: holds("Gateway", gateway_name, gateway_namespace, "Programmed"))
    assert status("Gateway", gateway_name, gateway_namespace)["addresses"][0]["value"] == "127.0.0.1"


def test_a_route_is_told_what_it_lacks_until_it_is_there(cluster: Cluster, namespace: str, port: int) -> None:
    client, host = cluster.client, f"shop.{namespace}.example.com"
    put(client, route(namespace, "shop", {"backendRefs": [backend("late")]}, hosts=(host,)))
    well, missing = ("True", "ResolvedRefs"), ("False", "BackendNotFound")
    wait_for(lambda: conditions(client, namespace, "shop").get("ResolvedRefs") == missing)
    assert conditions(client, namespace, "shop")["Accepted"] == ("True", "Accepted")
    wait_for(lambda: ask(port, host)[0] == 500)
    put(client, service(namespace, "late"))
    wait_for(lambda: conditions(client, namespace, "shop").get("ResolvedRefs") == well)
    wait_for(lambda: ask(port, host)[0] == 503)
    with pods(1) as (pod,):
        place(client, namespace, "late", pod)
        wait_for(lambda: ask(port, host)[0] == 200)
        assert ask(port, f"late.{namespace}.svc.cluster.local")[1]["pod"] == pod.address
        place(client, namespace, "late", gone=(pod,))
        wait_for(lambda: ask(port, host)[0] == 503)
    client.delete(route(namespace, "shop"))
    wait_for(lambda: ask(port, host)[0] == 404)


def test_what_is_not_supported_or_not_permitted_is_told(cluster: Cluster, namespace: str, port: int) -> None:
    client = cluster.client
    rewrite = {"type": "URLRewrite", "urlRewrite": {"hostname": "other.example.com"}}
    put(client, route(namespace, "odd", {"backendRefs": [backend("s")], "filters": [rewrite]}))
    put(client, route(namespace, "far", {"backendRefs": [backend("s", namespace="kube-system")]}))
    wait_for(lambda: conditions(client, namespace, "odd").get("Accepted") == ("False", "UnsupportedValue"))
    denied = ("False", "RefNotPermitted")
    wait_for(lambda: conditions(client, namespace, "far").get("ResolvedRefs") == denied)


def test_no_request_is_lost_while_weights_and_endpoints_change(
    cluster: Cluster, namespace: str, port: int
) -> None:
    """2,000 requests or more over four kept connections; weights are patched and pods come, become unready and end."""
    client, host = cluster.client, f"shop.{namespace}.example.com"
    with pods(3) as (old, new, dark):
        for name, pod in (("old", old), ("new", new), ("dark", dark)):
            put(client, service(namespace, name))
            place(client, namespace, name, pod)

        def shift(weight: int) -> None:
            parts = [backend("old", 100 - weight), backend("new", weight), backend("dark", 0)]
            put(client, route(namespace, "shop", {"backendRefs": parts}, hosts=(host,)))

        shift(0)
        wait_for(lambda: ask(port, host)[0] == 200)
        with calling(port, host) as counted:
            for number in range(ROUNDS):
                shift(number * 10 % 101)
                more = Pod(f"127.77.3.{number + 1}")
                place(client, namespace, "old", more)
                wait_for(functools.partial(own_name_reaches, port, namespace, more))
                place(client, namespace, "old", gone=(more,))
                wait_for(functools.partial(own_name_misses, port, namespace, more))
                more.close()
        assert set(counted) == {"200"}
        assert counted.total() >= 2000
        assert dark.asked == []


def own_name_reaches(port: int, namespace: str, pod: Pod) -> bool:
    """Whether the Service `old`, which counts through its two endpoints in turn, has that pod among them."""
    name = f"old.{namespace}.svc.cluster.local"
    return any(ask(port, name)[1]["pod"] == pod.address for _ in range(3))


def own_name_misses(port: int, namespace: str, pod: Pod) -> bool:
    return not own_name_reaches(port, namespace, pod)


def test_killed_it_comes_back_with_the_same_table_and_writes_nothing_anew(
    cluster: Cluster, namespace: str
) -> None:
    client, host = cluster.client, f"shop.{namespace}.example.com"
    with pods(1) as (pod,), cluster.running("gateway") as keeper:
        port = cluster.ports.gateway
        put(client, service(namespace, "s"))
        place(client, namespace, "s", pod)
        put(client, route(namespace, "shop", {"backendRefs": [backend("s")]}, hosts=(host,)))
        wait_for(lambda: ask(port, host)[0] == 200)
        wait_for(lambda: conditions(client, namespace, "shop").get("Accepted") == ("True", "Accepted"))
        written = client.get(API, "HTTPRoute", "shop", namespace)
        first = keeper.identity
        os.kill(first.pid, signal.SIGKILL)
        wait_for(lambda: keeper.identity not in (None, first))
        wait_for(lambda: answers(port, host) == 200)
        put(client, service(namespace, "after"))
        wait_for(lambda: ask(port, f"after.{namespace}.svc.cluster.local")[0] == 503)
        assert client.get(API, "HTTPRoute", "shop", namespace) == written


def answers(port: int, host: str) -> int:
    """The status; 0 while nobody listens."""
    try:
        return ask(port, host)[0]
    except OSError:
        return 0
