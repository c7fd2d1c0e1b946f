"""A platform whose GPU pool is Karpenter's, on the local cloud: planned, made, used by pods up to its limit, changed,
and taken away. The judges are the real Karpenter, the real scheduler and boto3."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typed import Terminal
from waiting import wait_for

from infra.kubernetes import eks_login
from infra.kubernetes.client import KubernetesClient, Object
from tests.kubernetes_cluster import addon_or_skip, request_or_skip
from tests.scenarios.test_karpenter import GPU, pod

pytestmark = [
    pytest.mark.slow,
    pytest.mark.network,
    pytest.mark.kubernetes,
    pytest.mark.nightly(
        like="tests/infra/cloud/test_eks_is_kubernetes.py::test_node_groups_make_nodes_that_a_gpu_pod_lands_on"
    ),
]
SPEC = """\
version: 1
service: shop
usecase: recommendation
platform:
  gpu_pools:
    - {name: g6, instances: [g6.xlarge], max: 2, capacity: spot, by: karpenter, idle_minutes: 0}
"""
NODE_POOL = "kubernetes:karpenter.sh/v1:NodePool"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    request_or_skip()
    addon_or_skip("karpenter")
    root = tmp_path_factory.mktemp("pools")
    (root / "work").mkdir()
    terminal = Terminal(root / "work", root / "home", variables={"ECOMDEPLOY_LOCAL_EKS": ""})
    (terminal.folder / "ecomdeploy.yaml").write_text(SPEC)
    yield terminal
    terminal.end()


@pytest.fixture(scope="module")
def api(shop: Terminal, tmp_path_factory: pytest.TempPathFactory) -> KubernetesClient:
    """By what DescribeCluster says and a token, as a stranger's kubeconfig does."""
    told = shop.client("eks").describe_cluster(name="ecomdeploy-local")["cluster"]
    text = eks_login.kubeconfig(
        "ecomdeploy-local", "us-east-1", told["endpoint"], told["certificateAuthority"]["data"]
    )
    file: Path = tmp_path_factory.mktemp("kubeconfig") / "kubeconfig"
    file.write_text(json.dumps(text))
    return KubernetesClient(file, variables=shop.type("cloud", "env", "--json").json)


def types(changes: list[dict[str, Any]]) -> dict[str, str]:
    return {one["urn"].split("::")[2].rpartition("$")[2]: one["op"] for one in changes}


def machines(api: KubernetesClient) -> list[Object]:
    return api.list("v1", "Node", labels="karpenter.sh/nodepool=g6")


def bound(api: KubernetesClient) -> set[str]:
    """Names of nodes that have a pod of ours."""
    found = api.list("v1", "Pod", "default")
    return {one["spec"]["nodeName"] for one in found if "nodeName" in one["spec"]}


def test_what_this_machine_lacks_is_told_first(tmp_path: Path) -> None:
    (tmp_path / "ecomdeploy.yaml").write_text(SPEC)
    bare = Terminal(tmp_path, tmp_path / "home")
    try:
        planned = bare.type("platform", "plan", "--json").json
        assert any("ECOMDEPLOY_LOCAL_EKS=records" in note for note in planned["notes"])
        assert "ECOMDEPLOY_LOCAL_EKS" in bare.type("platform", "up", "--yes", expect=5).err
    finally:
        bare.end()


def test_it_is_made_as_planned(shop: Terminal) -> None:
    planned = shop.type("platform", "plan", "--json").json
    assert types(planned["changes"])[NODE_POOL] == "create"
    done = shop.type("platform", "up", "--yes", "--json").json
    assert types(done["changes"]) == types(planned["changes"])
    assert done["outputs"]["node_pools"] == ["g6"]
    eks = shop.client("eks")
    (one,) = [
        association
        for association in eks.list_pod_identity_associations(clusterName="ecomdeploy-local")["associations"]
        if association["serviceAccount"] == "karpenter"
    ]
    assert one["namespace"] == "kube-system"
    assert shop.client("sqs").get_queue_url(QueueName="ecomdeploy-local-karpenter")["QueueUrl"]
    assert len(shop.client("events").list_rules(NamePrefix="ecomdeploy-local-karpenter-")["Rules"]) == 4


def test_where_nothing_differs_nothing_is_done(shop: Terminal) -> None:
    before = shop.counts()["mutating"]
    assert shop.type("platform", "up", "--yes", "--json").json["changes"] == []
    assert shop.counts()["mutating"] == before
    assert shop.type("platform", "plan", "--json").json["changes"] == []


def test_pods_bring_nodes_up_to_the_limit_and_another_limit_brings_more(
    shop: Terminal, api: KubernetesClient
) -> None:
    for number in range(3):
        api.create(pod(f"gpu-{number}"))
    wait_for(lambda: len(bound(api)) == 2)
    for machine in machines(api):
        labels = machine["metadata"]["labels"]
        assert labels["ecomdeploy/pool"] == "g6"
        assert labels["karpenter.sh/capacity-type"] == "spot"
        assert {"key": GPU, "value": "present", "effect": "NoSchedule"} in machine["spec"]["taints"]
    shop.edit("max: 2", "max: 3")
    seen = shop.type("platform", "plan", "--json").json["changes"]
    assert types(seen) == {NODE_POOL: "update"}
    assert len(machines(api)) == 2, "a plan changes nothing"
    shop.type("platform", "up", "--yes", "--json")
    wait_for(lambda: len(bound(api)) == 3)
    for number in range(3):
        api.delete(pod(f"gpu-{number}"), grace=0)
    wait_for(lambda: not machines(api))


def test_down_takes_the_nodes_too_and_leaves_nothing(shop: Terminal, api: KubernetesClient) -> None:
    """The last of this file."""
    api.create(pod("left"))
    wait_for(lambda: bound(api))
    shop.type("platform", "down", "--yes", "--json")
    assert shop.client("eks").list_clusters()["clusters"] == []
    assert shop.client("iam").list_roles()["Roles"] == []
    assert "QueueUrls" not in shop.client("sqs").list_queues()
    assert shop.client("events").list_rules()["Rules"] == []
    ours = [{"Name": "tag:ecomdeploy:managed-by", "Values": ["ecomdeploy"]}]
    assert shop.client("ec2").describe_vpcs(Filters=ours)["Vpcs"] == []
    assert shop.type("platform", "down", "--yes", "--json").json["changes"] == []
