"""Asking an endpoint on somebody's cluster: by the API server's proxy, at the gateway's Service or address."""

from __future__ import annotations

from typing import Any

import pytest

from infra.kubernetes.base import FakeKubernetes
from infra.kubernetes.client import Forwarded, KubernetesRefused
from infra.targets.base import Clock
from infra.targets.kserve.doors import GatewayDoor, ProxyDoor, find_door
from infra.targets.kserve.names import ClusterPlace
from infra.targets.kserve.traffic import KServeTraffic
from modelpack.errors import EcomdeployError

PARENT = "edge/public"
RELEASE = "shop-gke-11111111"
OWN = f"/api/v1/namespaces/ml/services/{RELEASE}-predictor:80/proxy/invocations"


def traffic(api: FakeKubernetes, gateway: str = "") -> KServeTraffic:
    return KServeTraffic(api, ClusterPlace(namespace="ml", gateway=gateway, parent=PARENT), Clock())


def answer(status: int, body: bytes, **headers: str) -> Forwarded:
    return Forwarded(status, {name.replace("_", "-"): value for name, value in headers.items()}, iter([body]))


def route(api: FakeKubernetes) -> None:
    api.put(
        {
            "kind": "HTTPRoute",
            "metadata": {"name": "shop-gke", "namespace": "ml"},
            "spec": {"hostnames": ["shop-gke.ml.shop.example"]},
        }
    )


def gateway(api: FakeKubernetes, kind: str = "istio", *addresses: str) -> None:
    api.put(
        {
            "kind": "Gateway",
            "metadata": {"name": "public", "namespace": "edge"},
            "spec": {"gatewayClassName": kind},
            "status": {"addresses": [{"value": one} for one in addresses]},
        }
    )


def service(api: FakeKubernetes, name: str, namespace: str, labels: dict[str, str], *ports: int) -> None:
    api.put(
        {
            "kind": "Service",
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {"ports": [{"port": port} for port in ports]},
        }
    )


def test_one_release_is_asked_by_the_proxy_of_its_own_service() -> None:
    api = FakeKubernetes(forwarded={OWN: answer(200, b"{}", X_Amzn_SageMaker_Custom_Attributes="sha256:a")})
    found = traffic(api).invoke("shop-gke", b"{}", release=RELEASE)
    assert (found.status, found.content_digest) == (200, "sha256:a")
    assert api.asked == [(OWN, f"{RELEASE}-predictor.ml.svc.cluster.local")]


def test_the_route_is_asked_at_the_gateways_service_with_the_host_of_callers() -> None:
    api = FakeKubernetes()
    route(api)
    gateway(api)
    labels = {"gateway.networking.k8s.io/gateway-name": "public"}
    service(api, "public-istio", "edge", labels, 15021, 443, 8080)
    path = "/api/v1/namespaces/edge/services/public-istio:8080/proxy/invocations"
    api.forwarded[path] = answer(200, b"{}")
    assert traffic(api).invoke("shop-gke", b"{}").status == 200
    assert api.asked == [(path, "shop-gke.ml.shop.example")]


def test_envoy_gateways_service_is_found_in_its_own_namespace() -> None:
    api = FakeKubernetes()
    owner = "gateway.envoyproxy.io/owning-gateway"
    service(api, "envoy-1", "system", {f"{owner}-name": "public", f"{owner}-namespace": "edge"}, 80)
    found = find_door(api, PARENT)
    assert isinstance(found, ProxyDoor)
    assert found.path == "/api/v1/namespaces/system/services/envoy-1:80"


def test_a_gateway_without_a_service_is_asked_at_its_address() -> None:
    api = FakeKubernetes()
    gateway(api, "gke-l7-global-external-managed", "203.0.113.7")
    assert find_door(api, PARENT) == GatewayDoor("http://203.0.113.7")
    nowhere = FakeKubernetes()
    gateway(nowhere)
    with pytest.raises(EcomdeployError, match="nothing says where the Gateway edge/public is asked") as told:
        find_door(nowhere, PARENT)
    assert "ECOMDEPLOY_GATEWAY" in told.value.hint


def test_a_release_is_not_asked_at_a_gateway_that_has_only_routes() -> None:
    api = FakeKubernetes(forwarded={OWN: answer(200, b"{}")})
    gateway(api)
    assert traffic(api, "http://127.0.0.1:9").invoke("shop-gke", b"{}", release=RELEASE).status == 200
    gateway(api, "ecomdeploy-local")
    with pytest.raises(EcomdeployError, match=r"asking .* at http://127.0.0.1:9"):
        traffic(api, "http://127.0.0.1:9").invoke("shop-gke", b"{}", release=RELEASE)


@pytest.mark.parametrize(("status", "reason"), [(404, "NotFound"), (403, "Forbidden")])
def test_what_the_api_server_refuses_is_no_answer_of_the_model(status: int, reason: str) -> None:
    said = f'{{"kind":"Status","apiVersion":"v1","reason":"{reason}","message":"services are off limits"}}'
    api = FakeKubernetes(forwarded={OWN: answer(status, said.encode(), audit_id="1")})
    with pytest.raises(KubernetesRefused, match="services are off limits"):
        traffic(api).invoke("shop-gke", b"{}", release=RELEASE)


def test_a_model_that_cannot_be_reached_behind_the_proxy_gives_a_failed_answer() -> None:
    said: dict[str, Any] = {"body": b'{"kind":"Status","message":"error trying to reach service: EOF"}'}
    api = FakeKubernetes(forwarded={OWN: answer(503, said["body"], audit_id="1")})
    assert traffic(api).invoke("shop-gke", b"{}", release=RELEASE).status == 503
