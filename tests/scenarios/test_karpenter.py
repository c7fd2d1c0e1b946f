"""Nodes that come and go with the pods, by the real Karpenter, the real scheduler and the node agent: machines from our
own table, and a service on Kubernetes that has no room until one is there."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kserve_shop import Gateway, places
from lent_layers import keep, lend
from own_shop import write_model, write_shop
from typed import Poller, Terminal
from waiting import wait_for

from infra import instances
from infra.kubernetes.client import KubernetesClient, Object
from infra.kubernetes.objects import condition
from infra.rehearsal.cloud.client import LocalCloud
from infra.rehearsal.cloud.kubernetes.places import KubernetesPlaces
from modelpack.home import Home
from tests.kubernetes_cluster import addon_or_skip, cache, request_or_skip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.network,
    pytest.mark.kubernetes,
    pytest.mark.nightly(
        like="tests/infra/cloud/test_eks_is_kubernetes.py::test_node_groups_make_nodes_that_a_gpu_pod_lands_on"
    ),
]

KARPENTER = "karpenter.sh/v1"
GPU = "nvidia.com/gpu"
SPEC = """\
version: 1
service: aisles
usecase: ./shop.py:ShopRecs
model: {path: model.onnx}
serve: {target: kserve, instance: c7i.xlarge}
scale: {min: 1, max: 1}
rollout: {strategy: all-at-once}
"""


def node_pool(name: str, types: list[str], limits: dict[str, str], **template: Any) -> Object:
    """One that takes spot machines first, and lets empty ones go at once."""
    asked = {"node.kubernetes.io/instance-type": types, "karpenter.sh/capacity-type": ["spot", "on-demand"]}
    return {
        "apiVersion": KARPENTER,
        "kind": "NodePool",
        "metadata": {"name": name},
        "spec": {
            "limits": limits,
            "disruption": {
                "consolidationPolicy": "WhenEmpty",
                "consolidateAfter": "5s",
                "budgets": [{"nodes": "100%"}],
            },
            "template": {
                "spec": {
                    "requirements": [
                        {"key": key, "operator": "In", "values": values} for key, values in asked.items()
                    ],
                    "nodeClassRef": {
                        "group": "karpenter.kwok.sh",
                        "kind": "KWOKNodeClass",
                        "name": "default",
                    },
                    **template,
                }
            },
        },
    }


def pod(name: str) -> Object:
    """One that asks for a GPU, by an image that is nowhere: only where it is put counts."""
    asked = {"limits": {GPU: "1"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "containers": [{"name": "server", "image": "nowhere/at:all", "resources": asked}],
            "tolerations": [{"key": GPU, "operator": "Exists"}],
            "terminationGracePeriodSeconds": 0,
        },
    }


class Shop:
    """A project and its local cloud, whose own machine has room for nobody."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.cloud = LocalCloud(Home(terminal.home, cache()))
        root = KubernetesPlaces(self.cloud.folder.kubernetes).root
        self.cloud.folder.claim()
        root.mkdir(mode=0o700)
        (root / "nodes.json").write_text(json.dumps([{"name": "small", "cpu": "100m", "memory": "64Mi"}]))
        self.cloud.ensure_addon("karpenter")
        self.api = KubernetesClient(places(terminal).kubeconfig)

    def pods_on_nodes(self) -> dict[str, str]:
        found = self.api.list("v1", "Pod", "default")
        return {
            one["metadata"]["name"]: one["spec"]["nodeName"] for one in found if "nodeName" in one["spec"]
        }

    def machines(self) -> list[Object]:
        """The nodes that Karpenter brought."""
        return self.api.list("v1", "Node", labels="karpenter.sh/nodepool")

    def uids(self) -> set[str]:
        return {one["metadata"]["uid"] for one in self.machines()}

    def take_away(self, machine: Object) -> None:
        """As AWS takes a spot machine: it is drained, and goes."""
        name = machine["metadata"]["name"]
        self.api.delete({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})

    def serving(self) -> int:
        """Servers that answer."""
        (found,) = self.api.list("apps/v1", "Deployment", "default")
        return int((found.get("status") or {}).get("availableReplicas", 0))

    def words_on(self, name: str) -> str:
        """Karpenter's, on a pod."""
        events = self.api.list("v1", "Event", "default", fields="source=karpenter")
        return " ".join(one["message"] for one in events if one["involvedObject"].get("name") == name)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, shared_layers: Path) -> Iterator[Shop]:
    request_or_skip()
    addon_or_skip("karpenter")
    root = tmp_path_factory.mktemp("karpenter")
    (root / "work").mkdir()
    terminal = Terminal(root / "work", root / "home")
    lend(shared_layers, terminal.home / "images")
    write_shop(terminal.folder)
    write_model(terminal.folder / "model.onnx")
    (terminal.folder / "ecomdeploy.yaml").write_text(SPEC)
    try:
        yield Shop(terminal)
    finally:
        terminal.end()
        keep(terminal.home / "images", shared_layers)


def test_gpu_pods_bring_machines_up_to_the_limit_and_fewer_let_them_go(shop: Shop) -> None:
    api = shop.api
    taint = {"key": GPU, "value": "present", "effect": "NoSchedule"}
    api.create(node_pool("gpu", ["g6.xlarge", "g5.xlarge"], {GPU: "2"}, taints=[taint]))
    names = [f"gpu-{number}" for number in range(3)]
    for name in names:
        api.create(pod(name))
    wait_for(lambda: len(shop.pods_on_nodes()) == 2)
    wait_for(lambda: all(condition(one, "Ready").get("status") == "True" for one in shop.machines()))
    assert len(set(shop.pods_on_nodes().values())) == 2, "of one GPU each"
    price = {name: instances.nodes()[name].usd_hour or 0 for name in ("g6.xlarge", "g5.xlarge")}
    for machine in shop.machines():
        labels = machine["metadata"]["labels"]
        assert labels["node.kubernetes.io/instance-type"] == min(price, key=lambda name: price[name])
        assert labels["karpenter.sh/capacity-type"] == "spot", "which is the cheaper one"
        assert machine["status"]["allocatable"][GPU] == "1"
        assert machine["status"]["capacity"]["cpu"] == "4"
    (left,) = set(names) - set(shop.pods_on_nodes())
    wait_for(lambda: "all available instance types exceed limits for nodepool" in shop.words_on(left))
    assert len(shop.machines()) == 2

    for name in names:
        api.delete(pod(name), grace=0)
    wait_for(lambda: not shop.machines())
    wait_for(lambda: not api.list(KARPENTER, "NodeClaim"))
    api.delete(node_pool("gpu", [], {}))


def test_a_machine_boots_before_pods_are_bound_to_it(shop: Shop) -> None:
    """In the order of what is seen: a node that is not ready, without its GPU; ready with it; and only then the pod."""
    api = shop.api
    api.create(node_pool("gpu", ["g6.xlarge"], {GPU: "1"}))
    api.create(pod("early"))
    wait_for(shop.machines)
    seen: list[tuple[str, str, bool]] = []
    while not seen or not seen[-1][2]:
        bound = "early" in shop.pods_on_nodes()
        (machine,) = shop.machines()
        told = condition(machine, "Ready").get("status", "")
        one = (told, machine["status"]["allocatable"].get(GPU, ""), bound)
        if told and (not seen or seen[-1] != one):
            seen.append(one)
    assert seen[0] == ("False", "0", False)
    assert ("False", "0", True) not in seen
    assert seen[-1] == ("True", "1", True)
    api.delete(pod("early"), grace=0)
    wait_for(lambda: not shop.machines())
    api.delete(node_pool("gpu", [], {}))


def test_a_service_without_room_tells_karpenters_reason_and_comes_with_its_machine(shop: Shop) -> None:
    api, pool = shop.api, node_pool("cpu", ["c7i.xlarge"], {"cpu": "1"})
    api.create(pool)
    refused = shop.terminal.type("up", "--yes", "--json", expect=5)
    reason = "all available instance types exceed limits for nodepool"
    assert reason in refused.out + refused.err
    assert not shop.machines()

    api.patch(pool, {"spec": {"limits": {"cpu": "4"}}})
    assert shop.terminal.type("up", "--yes", "--json").json["verified"] is True
    (machine,) = shop.machines()
    assert machine["metadata"]["labels"]["node.kubernetes.io/instance-type"] == "c7i.xlarge"

    # the machine is gone, and its successor is beyond the limit
    api.patch(pool, {"spec": {"limits": {"cpu": "1"}}})
    shop.take_away(machine)
    wait_for(lambda: reason in shop.terminal.type("status", "--json", expect=None).out)
    api.patch(pool, {"spec": {"limits": {"cpu": "8"}}})
    wait_for(lambda: shop.terminal.type("status", "--json", expect=None).json.get("verified") is True)


def test_killed_it_comes_back_and_its_machines_stay(shop: Shop) -> None:
    def pid() -> int:
        processes = shop.cloud.kubernetes_status()["processes"]
        return int(next(one["pid"] or 0 for one in processes if one["name"] == "karpenter"))

    before, machines = pid(), [one["metadata"]["uid"] for one in shop.machines()]
    assert machines
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: pid() not in (0, before))
    wait_for(lambda: shop.cloud.kubernetes_status()["addons"][0]["state"] == "ready")
    assert [one["metadata"]["uid"] for one in shop.machines()] == machines


def test_of_two_servers_on_spot_machines_one_is_taken_and_nobody_notices(shop: Shop) -> None:
    shop.terminal.edit(r"^scale: .*$", "scale: {min: 2, max: 2}")
    assert shop.terminal.type("up", "--yes", "--json").json["verified"] is True
    wait_for(lambda: shop.serving() == 2)
    predicted = shop.terminal.type("predict", "--json").json
    gateway = Gateway(places(shop.terminal).ports().gateway, predicted)
    with Poller(gateway.ask) as poller:
        first, other = shop.machines()
        assert first["metadata"]["labels"]["karpenter.sh/capacity-type"] == "spot"
        shop.take_away(first)
        wait_for(lambda: first["metadata"]["uid"] not in shop.uids())
        wait_for(lambda: shop.serving() == 2)
    assert poller.errors == []
    assert other["metadata"]["uid"] in shop.uids(), "nobody touched the other's"


def test_with_the_service_its_machines_go(shop: Shop) -> None:
    """The last of this file."""
    shop.terminal.type("down", "--yes", "--json")
    wait_for(lambda: not shop.machines())
    assert shop.uids() == set()
