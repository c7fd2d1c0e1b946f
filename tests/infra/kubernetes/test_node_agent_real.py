"""The node agent under a real control plane, with a real image: the judges are the scheduler, the controllers, the
autoscaler and the API server's own way to a kubelet."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from model_server import expected
from small_image import build_root, layer_of, push
from waiting import wait_for

from infra.kubernetes.client import KubernetesClient, KubernetesRefused, Object
from infra.rehearsal.cloud.kubernetes.processes import Keeper
from infra.rehearsal.cloud.registry.registry import RegistryServer
from infra.rehearsal.cloud.registry.repositories import FakeRepositories
from tests.kubernetes_cluster import Cluster

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]
QUESTION = json.dumps({"instances": [{"household": 3, "history": [5, 6]}]})


@pytest.fixture(scope="module")
def image(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("image")
    build_root(root)
    layers = [layer_of(root, "usr", "lib64", "tmp"), layer_of(root, "opt")]
    images = cluster.local.images
    registry = RegistryServer(images.blobs, FakeRepositories(names={"shop"}))
    return f"{images.registry}/shop@{push(registry, 'shop', layers)}"


@pytest.fixture(scope="module")
def agent(cluster: Cluster) -> Iterator[Keeper]:
    with cluster.running("node_agent") as keeper:
        yield keeper
    # a node that nobody runs must not be given the pods of other tests
    cluster.client.delete({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "local-1"}})


@pytest.fixture
def shop(cluster: Cluster, agent: Keeper, image: str, namespace: str) -> Shop:
    return Shop(cluster.client, namespace, image)


class Shop:
    """A Deployment and its pods."""

    def __init__(self, client: KubernetesClient, namespace: str, image: str) -> None:
        self.client = client
        self.namespace = namespace
        self.image = image

    def deploy(self, replicas: int = 1, **container: Any) -> None:
        probe = {"httpGet": {"path": "/ping", "port": "http"}, "periodSeconds": 1}
        one = {
            "name": "server",
            "image": self.image,
            "ports": [{"name": "http", "containerPort": 8080}],
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
            "startupProbe": {**probe, "failureThreshold": 300},
            "readinessProbe": {**probe, "timeoutSeconds": 10},
            **container,
        }
        template = {
            "metadata": {"labels": {"app": "shop"}},
            "spec": {"terminationGracePeriodSeconds": 15, "containers": [one]},
        }
        metadata = {"name": "shop", "namespace": self.namespace}
        spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "shop"}}, "template": template}
        self.client.create(
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
        )

    def deployment(self) -> Object:
        found = self.client.get("apps/v1", "Deployment", "shop", self.namespace)
        assert found
        return found

    def available(self) -> int:
        return int(self.deployment().get("status", {}).get("availableReplicas", 0))

    def pods(self) -> list[Object]:
        return self.client.list("v1", "Pod", self.namespace)

    def container(self) -> dict[str, Any]:
        """The status of the only pod's container; {} until there is one."""
        found = [one for pod in self.pods() for one in pod["status"].get("containerStatuses", ())]
        return found[0] if found else {}

    def waits_for(self) -> str:
        return str(self.container().get("state", {}).get("waiting", {}).get("reason", ""))

    def ask(self, ip: str) -> Any:
        connection = http.client.HTTPConnection(ip.replace("10.77.", "127.77.", 1), 8080, timeout=60)
        with contextlib.closing(connection):
            connection.request("POST", "/invocations", QUESTION, {"Content-Type": "application/json"})
            return json.loads(connection.getresponse().read())

    def log(self, pod: str, **query: str) -> str:
        return self.client.text(f"/api/v1/namespaces/{self.namespace}/pods/{pod}/log", **query)

    def events(self) -> set[str]:
        return {one["reason"] for one in self.client.list("v1", "Event", self.namespace)}


def test_a_deployment_serves_and_is_told_as_a_kubelet_tells_it(shop: Shop) -> None:
    shop.deploy(replicas=2)
    wait_for(lambda: shop.available() == 2)
    pods = shop.pods()
    assert len({pod["status"]["podIP"] for pod in pods}) == 2
    for pod in pods:
        assert (
            shop.ask(pod["status"]["podIP"])["predictions"][0]["products"] == expected(3, [5, 6])["products"]
        )
        assert pod["status"]["containerStatuses"][0]["imageID"] == shop.image
    assert {"Pulled", "Created", "Started"} <= shop.events()
    name = pods[0]["metadata"]["name"]
    assert '"event":"ready"' in shop.log(name)
    assert len(shop.log(name, tailLines="1").splitlines()) == 1
    with pytest.raises(KubernetesRefused, match="previous terminated container"):
        shop.log(name, previous="true")
    with pytest.raises(KubernetesRefused, match="no times of log lines"):
        shop.log(name, sinceSeconds="5")
    shop.client.delete(shop.deployment())
    wait_for(lambda: not shop.pods())


def test_a_followed_log_goes_on_until_the_container_ends(shop: Shop) -> None:
    shop.deploy()
    wait_for(lambda: shop.available() == 1)
    (pod,) = shop.pods()
    lines: list[str] = []
    follower = threading.Thread(
        target=lambda: lines.append(shop.log(pod["metadata"]["name"], follow="true")), daemon=True
    )
    follower.start()
    shop.client.delete(shop.deployment())
    follower.join(300)
    assert not follower.is_alive()
    assert '"event":"stopped"' in lines[0]


def test_a_container_that_must_not_serve_ends_in_a_crash_loop(shop: Shop) -> None:
    shop.deploy(env=[{"name": "ECOMDEPLOY_SECRET_A", "value": "ssm:/nowhere"}])
    wait_for(lambda: shop.waits_for() == "CrashLoopBackOff")
    wait_for(lambda: shop.container()["restartCount"] >= 2)
    ended = shop.container()["lastState"]["terminated"]
    assert ended["exitCode"] == 3
    assert "no credentials to look secrets up with" in ended["message"]
    (pod,) = shop.pods()
    wait_for(
        lambda: "no credentials to look secrets up with" in shop.log(pod["metadata"]["name"], previous="true")
    )
    wait_for(lambda: "BackOff" in shop.events())


def test_an_image_that_the_registry_has_not(shop: Shop) -> None:
    shop.image = shop.image.partition("@")[0] + "@sha256:" + "0" * 64
    shop.deploy()
    wait_for(lambda: shop.waits_for() == "ImagePullBackOff")
    assert "is not in the registry" in shop.container()["state"]["waiting"]["message"]


def test_a_secret_stands_in_no_environment(shop: Shop, agent: Keeper) -> None:
    metadata = {"name": "keys", "namespace": shop.namespace}
    shop.deploy(env=[{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}}])
    wait_for(lambda: shop.waits_for() == "CreateContainerConfigError")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"token": "hush"}}
    shop.client.create(secret)
    wait_for(lambda: shop.available() == 1)
    assert agent.identity
    for process in psutil.Process(agent.identity.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            assert "hush" not in process.environ().values()


def test_after_a_kill_of_the_agent_each_pod_runs_once_at_its_address(shop: Shop, agent: Keeper) -> None:
    shop.deploy(replicas=2)
    wait_for(lambda: shop.available() == 2)
    before = {pod["metadata"]["uid"]: pod["status"]["podIP"] for pod in shop.pods()}
    killed = agent.identity
    assert killed
    servers = psutil.Process(killed.pid).children(recursive=True)
    os.kill(killed.pid, signal.SIGKILL)
    wait_for(lambda: not any(server.is_running() and server.status() != "zombie" for server in servers))
    wait_for(lambda: all(_restarted(pod) for pod in shop.pods()))
    wait_for(lambda: shop.available() == 2)
    assert {pod["metadata"]["uid"]: pod["status"]["podIP"] for pod in shop.pods()} == before
    assert [pod["status"]["containerStatuses"][0]["restartCount"] for pod in shop.pods()] == [1, 1]
    for ip in before.values():
        assert shop.ask(ip)["predictions"]
    assert agent.identity
    # beside one that only tried how servers can be kept apart, and ends
    wait_for(lambda: len(psutil.Process(agent.identity.pid).children()) == 2)


def _restarted(pod: Object) -> bool:
    one = pod["status"]["containerStatuses"][0]
    return bool(one["restartCount"] and one["ready"])


def test_the_real_autoscaler_scales_on_real_load(shop: Shop) -> None:
    shop.deploy()
    metric = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"},
        "minReplicas": 1,
        "maxReplicas": 2,
        "metrics": [{"type": "Resource", "resource": metric}],
    }
    metadata = {"name": "shop", "namespace": shop.namespace}
    kind = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
    shop.client.create({**kind, "metadata": metadata, "spec": spec})
    wait_for(lambda: shop.available() == 1)
    (pod,) = shop.pods()
    ended = threading.Event()

    def load() -> None:
        while not ended.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):
                shop.ask(pod["status"]["podIP"])

    asking = threading.Thread(target=load)
    asking.start()
    try:
        wait_for(lambda: shop.deployment()["spec"]["replicas"] == 2)
    finally:
        ended.set()
        asking.join()
    found = shop.client.request("GET", f"/apis/metrics.k8s.io/v1beta1/namespaces/{shop.namespace}/pods")
    assert found["items"][0]["containers"][0]["usage"]["memory"].endswith("Ki")
    nodes = shop.client.request("GET", "/apis/metrics.k8s.io/v1beta1/nodes")
    assert [one["metadata"]["name"] for one in nodes["items"]] == ["local-1"]
