"""An EKS cluster that is the local Kubernetes: its endpoint, who may come in, its groups' nodes, its end.

The judges are boto3, the API server itself and its scheduler.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from waiting import wait_for

from infra.kubernetes import eks_login
from infra.kubernetes.client import KubernetesClient, KubernetesRefused, Object
from infra.rehearsal.cloud.aws.eks_nodes.machines import GROUP
from infra.rehearsal.cloud.client import LocalCloud
from modelpack.home import Home
from tests.infra.cloud.conftest import SPEAKING, Aws
from tests.infra.cloud.test_cloud_eks import Network
from tests.kubernetes_cluster import cache, request_or_skip

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]
PATIENT = {"Delay": 1, "MaxAttempts": 600}
SHARED = """[settings.kubelet-device-plugins.nvidia]
device-sharing-strategy = "time-slicing"
[settings.kubelet-device-plugins.nvidia.time-slicing]
replicas = 4
rename-by-default = false
"""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    request_or_skip()
    made = LocalCloud(Home(tmp_path_factory.mktemp("home"), cache()), host=SPEAKING)
    made.ensure()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def network(aws: Aws) -> Network:
    return Network(aws)


def status(aws: Aws, group: str) -> tuple[str, list[str]]:
    try:
        found = aws("eks").describe_nodegroup(clusterName="shop", nodegroupName=group)["nodegroup"]
    except aws("eks").exceptions.ResourceNotFoundException:
        return "GONE", []
    return found["status"], [issue["code"] for issue in found["health"]["issues"]]


def is_active(aws: Aws, group: str) -> bool:
    return status(aws, group)[0] == "ACTIVE"


def come_in(aws: Aws, folder: Path, variables: dict[str, str] | None = None) -> KubernetesClient:
    """By what DescribeCluster says and a token, as a stranger's kubeconfig does."""
    told = aws("eks").describe_cluster(name="shop")["cluster"]
    text = eks_login.kubeconfig("shop", "us-east-1", told["endpoint"], told["certificateAuthority"]["data"])
    file = folder / "kubeconfig"
    file.write_text(json.dumps(text))
    return KubernetesClient(file, variables={**aws.variables, **(variables or {})})


def nodes(client: KubernetesClient, group: str) -> dict[str, Object]:
    return {one["metadata"]["name"]: one for one in client.list("v1", "Node", labels=f"{GROUP}={group}")}


def pod(name: str, **spec: Any) -> Object:
    """One that asks for a GPU, by an image that is nowhere: only where it is put counts."""
    asked = {"limits": {"nvidia.com/gpu": "1"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "containers": [{"name": "server", "image": "nowhere/at:all", "resources": asked}],
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
            **spec,
        },
    }


def placed(client: KubernetesClient, name: str) -> str:
    found = client.get("v1", "Pod", name, "default")
    return str(found["spec"].get("nodeName", "")) if found else ""


def refused_by(client: KubernetesClient) -> int:
    """With what status a list of secrets is refused, 0: it is not."""
    try:
        client.list("v1", "Secret", "kube-system")
    except KubernetesRefused as refused:
        return refused.status
    return 0


def test_the_cluster_is_real_and_lets_in_whom_its_entries_name(
    aws: Aws, network: Network, tmp_path: Path
) -> None:
    eks, iam = aws("eks"), aws("iam")
    made = network.cluster(aws, accessConfig={"authenticationMode": "API"})
    assert made["status"] == "CREATING"
    eks.get_waiter("cluster_active").wait(name="shop", WaiterConfig=PATIENT)
    other = network.cluster(aws, "other")
    assert other["status"] == "CREATING"
    assert aws.cloud.status()["eks"] == {"kubernetes": "shop", "reason": ""}

    maker = come_in(aws, tmp_path)
    assert refused_by(maker) == 0, "who made it may do all"
    told = eks.describe_cluster(name="shop")["cluster"]
    assert base64.b64decode(told["certificateAuthority"]["data"]).startswith(b"-----BEGIN CERTIFICATE")

    key = iam.create_access_key(UserName=iam.create_user(UserName="ops")["User"]["UserName"])["AccessKey"]
    keys = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    ops = "arn:aws:iam::123456789012:user/ops"
    assert refused_by(come_in(aws, tmp_path, keys)) == 401, "nobody's entry"
    eks.create_access_entry(clusterName="shop", principalArn=ops)
    eks.associate_access_policy(
        clusterName="shop",
        principalArn=ops,
        policyArn="arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy",
        accessScope={"type": "cluster"},
    )
    viewer = come_in(aws, tmp_path, keys)
    wait_for(lambda: refused_by(viewer) == 403)
    assert viewer.list("v1", "Pod", "default") == []
    forged = {**keys, "AWS_SECRET_ACCESS_KEY": "another"}
    assert refused_by(come_in(aws, tmp_path, forged)) == 401
    eks.delete_access_entry(clusterName="shop", principalArn=ops)
    wait_for(lambda: refused_by(viewer) == 401)


def test_node_groups_make_nodes_that_a_gpu_pod_lands_on(aws: Aws, network: Network, tmp_path: Path) -> None:
    client, eks = come_in(aws, tmp_path), aws("eks")
    client.create(pod("early"))
    network.pool(aws, amiType="BOTTLEROCKET_x86_64_NVIDIA")
    wait_for(lambda: status(aws, "gpu")[0] == "ACTIVE")
    (node,) = nodes(client, "gpu").values()
    assert (
        node["metadata"]["labels"].items()
        >= {
            "pool": "g6",
            "node.kubernetes.io/instance-type": "g6.xlarge",
            "eks.amazonaws.com/capacityType": "ON_DEMAND",
            "topology.kubernetes.io/region": "us-east-1",
        }.items()
    )
    assert [one for one in node["spec"]["taints"] if one["key"] == "nvidia.com/gpu"]
    assert node["status"]["capacity"]["nvidia.com/gpu"] == "1"
    wait_for(lambda: placed(client, "early") == "gpu-1")

    eks.update_nodegroup_config(
        clusterName="shop",
        nodegroupName="gpu",
        scalingConfig={"minSize": 0, "maxSize": 4, "desiredSize": 2},
        labels={"addOrUpdateLabels": {"team": "shop"}, "removeLabels": ["pool"]},
    )
    wait_for(lambda: status(aws, "gpu")[0] == "ACTIVE" and len(nodes(client, "gpu")) == 2)
    zones = {
        one["metadata"]["labels"]["topology.kubernetes.io/zone"] for one in nodes(client, "gpu").values()
    }
    assert len(zones) == 2

    def labels() -> list[Object]:
        return [one["metadata"]["labels"] for one in nodes(client, "gpu").values()]

    wait_for(lambda: all(one.get("team") == "shop" and "pool" not in one for one in labels()))

    # the budget's pod leaves in the end, as it does on AWS
    eks.update_nodegroup_config(
        clusterName="shop", nodegroupName="gpu", scalingConfig={"minSize": 0, "maxSize": 4, "desiredSize": 0}
    )
    wait_for(lambda: not nodes(client, "gpu"))
    wait_for(lambda: client.get("v1", "Pod", "early", "default") is None)
    eks.delete_nodegroup(clusterName="shop", nodegroupName="gpu")
    wait_for(lambda: status(aws, "gpu")[0] == "GONE")


def template(aws: Aws, name: str, text: str) -> dict[str, str]:
    data = {"UserData": base64.b64encode(text.encode()).decode()}
    made = aws("ec2").create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
    return {"id": made["LaunchTemplate"]["LaunchTemplateId"], "version": "1"}


def test_what_a_machine_is_told_and_what_keeps_it_away(aws: Aws, network: Network, tmp_path: Path) -> None:
    client = come_in(aws, tmp_path)
    image = {"amiType": "BOTTLEROCKET_x86_64_NVIDIA"}
    rows: list[tuple[str, dict[str, Any], str]] = [
        ("shared", {**image, "launchTemplate": template(aws, "shared", SHARED)}, "4"),
        ("amazon", {"amiType": "AL2023_x86_64_NVIDIA"}, ""),
    ]
    for name, asked, gpus in rows:
        network.pool(aws, nodegroupName=name, **asked)
        wait_for(partial(is_active, aws, name))
        (node,) = nodes(client, name).values()
        assert node["status"]["capacity"].get("nvidia.com/gpu", "") == gpus

    bad = template(aws, "bad", "#!/bin/sh\necho hello\n")
    network.pool(aws, nodegroupName="bad", **image, launchTemplate=bad)
    wait_for(lambda: status(aws, "bad") == ("CREATE_FAILED", ["Ec2LaunchTemplateInvalidConfiguration"]))
    aws.cloud.plant({"kind": "capacity", "endpoint": "full"})
    network.pool(aws, nodegroupName="full", **image)
    wait_for(lambda: status(aws, "full")[0] == "CREATE_FAILED")
    aws.cloud.set_quota("Running On-Demand G and VT instances", 4.0)
    network.pool(aws, nodegroupName="beyond", **image)
    wait_for(lambda: status(aws, "beyond") == ("CREATE_FAILED", ["AsgInstanceLaunchFailures"]))


def test_it_goes_with_all_that_is_in_it(aws: Aws, cloud: LocalCloud) -> None:
    eks = aws("eks")
    for name in eks.list_nodegroups(clusterName="shop")["nodegroups"]:
        eks.delete_nodegroup(clusterName="shop", nodegroupName=name)
    wait_for(lambda: not eks.list_nodegroups(clusterName="shop")["nodegroups"])
    eks.delete_cluster(name="shop")
    eks.get_waiter("cluster_deleted").wait(name="shop", WaiterConfig=PATIENT)
    assert cloud.kubernetes_status()["state"] == "stopped"
    assert not cloud.folder.kubernetes.exists()
    assert eks.describe_cluster(name="other")["cluster"]["status"] == "ACTIVE", "a record, then as now"
