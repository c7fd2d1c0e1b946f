"""Nodes that come and go with the pods, by the real Karpenter, the real scheduler and the node agent: machines from our
own table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from kserve_shop import places
from typed import Terminal
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
    """A local cloud whose own machine has room for nobody."""

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

    def words_on(self, name: str) -> str:
        """Karpenter's, on a pod."""
        events = self.api.list("v1", "Event", "default", fields="source=karpenter")
        return " ".join(one["message"] for one in events if one["involvedObject"].get("name") == name)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    request_or_skip()
    addon_or_skip("karpenter")
    root = tmp_path_factory.mktemp("karpenter")
    (root / "work").mkdir()
    terminal = Terminal(root / "work", root / "home")
    try:
        yield Shop(terminal)
    finally:
        terminal.end()


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
