"""A cluster that is there already, as a real control plane has it: what it lacks, its lease, and its proxy."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from waiting import wait_for

from infra.kubernetes.client import KubernetesClient
from infra.preflight.base import ClusterNeeds, examine
from infra.rehearsal.cloud.kubernetes.places import GATEWAY
from infra.spec import ClusterSpec
from infra.targets.base import Clock
from infra.targets.kserve.hosts import hosts
from infra.targets.kserve.names import ClusterPlace
from infra.targets.kserve.traffic import KServeTraffic
from stacks.adapters.lease_object import LeaseObject
from tests.kubernetes_cluster import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.kubernetes]


def needs(namespace: str) -> ClusterNeeds:
    return ClusterNeeds(
        context="",
        namespace=namespace,
        endpoint="shop-there",
        cluster=ClusterSpec(gateway=GATEWAY),
        hosts=hosts(),
        instance="c7i.large",
    )


def lacking(api: KubernetesClient, wanted: ClusterNeeds) -> dict[str, str]:
    """What stops everything, by check."""
    return {
        looked.name: "; ".join(lack.what for lack in looked.lacks)
        for looked in examine(api, wanted)
        if any(lack.stops for lack in looked.lacks)
    }


def as_servant(cluster: Cluster, namespace: str, folder: Path) -> KubernetesClient:
    """Somebody with no rights at all: the namespace's own service account."""
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = cluster.client.request("POST", path, body=asked)["status"]["token"]
    from ruamel.yaml import YAML

    config = json.loads(json.dumps(YAML(typ="safe").load(cluster.places.kubeconfig.read_text())))
    config["users"][0]["user"] = {"token": token}
    (folder / "servant").write_text(json.dumps(config))
    return KubernetesClient(folder / "servant")


def test_a_cluster_without_kserve_and_without_the_namespace(cluster: Cluster, namespace: str) -> None:
    found = lacking(cluster.client, needs("nowhere"))
    assert found["namespace"] == "there is no namespace nowhere"
    assert found["kserve"] == "the cluster has no InferenceService of serving.kserve.io/v1beta1"
    assert "rights" not in found
    assert {one.name: one.lacks for one in examine(cluster.client, needs(namespace))}["api_server"] == ()
    assert "namespace" not in lacking(cluster.client, needs(namespace))


def test_a_gateway_that_is_not_there(cluster: Cluster, namespace: str) -> None:
    wanted = replace(needs(namespace), cluster=ClusterSpec(gateway="edge/public"))
    assert lacking(cluster.client, wanted)["gateway"] == "there is no Gateway edge/public"


def test_every_right_is_asked_for_and_all_that_are_missing_are_told(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    servant = as_servant(cluster, namespace, tmp_path)
    found = lacking(servant, replace(needs(namespace), secrets=True, replicas=2))
    for resource in ("inferenceservices", "httproutes", "leases", "configmaps", "secrets", "services/proxy"):
        assert f"{resource}" in found["rights"]
    rules = [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
    ]
    names = {"name": "ships", "namespace": namespace}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": names, "rules": rules}
    cluster.client.create(role)
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": namespace}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "ships"}
    binding = {**role, "kind": "RoleBinding", "subjects": [subject], "roleRef": reference}
    del binding["rules"]
    cluster.client.create(binding)
    wait_for(lambda: "rights" not in lacking(servant, needs(namespace)))
    servant.close()


def test_a_quota_is_read_as_the_control_plane_counts_it(cluster: Cluster, namespace: str) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small", "namespace": namespace},
        "spec": {"hard": {"requests.cpu": "1", "pods": "10"}},
    }
    cluster.client.create(quota)
    wait_for(lambda: "quota" in lacking(cluster.client, needs(namespace)))
    said = lacking(cluster.client, needs(namespace))["quota"]
    assert said.startswith("ResourceQuota small leaves 1 of requests.cpu (of 1)")


def test_kserve_is_tried_by_its_own_webhooks(cluster: Cluster, namespace: str) -> None:
    """While it runs it takes the release to come, as a dry run; once its webhooks are gone, that is what is said."""
    with cluster.running("kserve"):
        wait_for(lambda: "kserve" not in lacking(cluster.client, needs(namespace)))
        assert cluster.client.list("serving.kserve.io/v1beta1", "InferenceService", namespace) == []
    said = lacking(cluster.client, needs(namespace))["kserve"]
    assert said.startswith("KServe's webhook does not do its work")


def test_a_lease_on_a_real_api_server(cluster: Cluster, namespace: str) -> None:
    lease = LeaseObject(cluster.client, namespace, "ecomdeploy-shop-there", 60)
    record = json.dumps({"who": "one@here", "token": 1}).encode()
    assert (lease.read(""), lease.age("")) == (None, None)
    assert lease.write("", record, was=None)
    assert not lease.write("", record, was=None)
    begun = lease.age("") or 0.0
    wait_for(lambda: (lease.age("") or 0.0) >= begun + 5)
    older = lease.age("") or 0.0
    assert lease.write("", record, was=record)
    assert (lease.age("") or 0.0) < older
    (found,) = cluster.client.list("coordination.k8s.io/v1", "Lease", namespace)
    assert found["spec"]["holderIdentity"] == "one@here"
    assert lease.write("", b'{"free": true}', was=record)
    assert cluster.client.list("coordination.k8s.io/v1", "Lease", namespace) == []


class Model(BaseHTTPRequestHandler):
    """A model's server, as a cluster's network would have it: at an address that is not loopback."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        said = json.dumps({"host": self.headers["Host"], "path": self.path, "body": body.decode()}).encode()
        self.send_response(404 if body == b"unknown" else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Amzn-SageMaker-Custom-Attributes", "sha256:abc")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


def own_address() -> str:
    """This machine's, towards others; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(("192.0.2.1", 9))
            return str(asked.getsockname()[0])
        except OSError:
            return ""


@pytest.fixture
def model() -> Iterator[tuple[str, int]]:
    address = own_address()
    if not address or address.startswith("127."):
        pytest.skip("this machine has no address but loopback, and an API server proxies to none of those")
    with ThreadingHTTPServer((address, 0), Model) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield address, server.server_port
        server.shutdown()
        thread.join()


def pod(cluster: Cluster, namespace: str, name: str, address: str) -> dict[str, str]:
    """One that has that address, and a reference to it: the API server proxies to pods' addresses alone."""
    spec = {"containers": [{"name": "model", "image": "registry.invalid/model"}]}
    metadata = {"name": name, "namespace": namespace}
    made = cluster.client.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
    cluster.client.patch(made, {"status": status}, "status")
    return {"kind": "Pod", **metadata}


def service(cluster: Cluster, namespace: str, name: str, model: tuple[str, int], **labels: str) -> None:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    ports = [{"name": "http1", "port": 80, "targetPort": model[1]}]
    cluster.client.create(
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": ports}}
    )
    target = pod(cluster, namespace, name, model[0])
    cluster.client.create(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{name}-1",
                "namespace": namespace,
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [model[0]], "conditions": {"ready": True}, "targetRef": target}],
            "ports": [{"name": "http1", "port": model[1], "protocol": "TCP"}],
        }
    )


def test_a_release_and_the_route_are_asked_by_the_api_servers_proxy(
    cluster: Cluster, namespace: str, model: tuple[str, int]
) -> None:
    api, place = cluster.client, ClusterPlace(namespace=namespace, parent=f"{namespace}/public")
    traffic = KServeTraffic(api, place, Clock())
    service(cluster, namespace, "shop-there-11111111-predictor", model)
    # the API server learns of endpoints in its own time
    wait_for(lambda: traffic.invoke("shop-there", b"hello", release="shop-there-11111111").status != 503)
    own = traffic.invoke("shop-there", b"hello", release="shop-there-11111111")
    assert own.status == 200, own.body
    said = json.loads(own.body)
    assert (own.status, own.content_digest) == (200, "sha256:abc")
    assert said == {
        "host": f"shop-there-11111111-predictor.{namespace}.svc.cluster.local",
        "path": "/invocations",
        "body": "hello",
    }
    assert traffic.invoke("shop-there", b"unknown", release="shop-there-11111111").status == 404
    with pytest.raises(Exception, match="the API server's proxy, asked for shop-there-22222222"):
        traffic.invoke("shop-there", b"hello", release="shop-there-22222222")
    labels = {"gateway.networking.k8s.io/gateway-name": "public"}
    service(cluster, namespace, "public-proxy", model, **labels)
    host = f"shop-there.{namespace}.shop.example"
    api.create(
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": "shop-there", "namespace": namespace},
            "spec": {"hostnames": [host], "parentRefs": [{"name": "public"}]},
        }
    )
    wait_for(lambda: traffic.invoke("shop-there", b"hello").status != 503)
    assert json.loads(traffic.invoke("shop-there", b"hello").body)["host"] == host
    assert json.loads(b"".join(traffic.stream("shop-there", b"hello")))["body"] == "hello"
