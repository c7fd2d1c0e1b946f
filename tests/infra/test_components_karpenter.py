"""Pools whose nodes Karpenter brings, as the platform program declares them on the local cloud and on AWS."""

from __future__ import annotations

import json
from typing import Any

import declared
import pytest
from authorization_reference import find_faults
from iam_policies import Request, is_allowed

from infra.components.karpenter.pool import describe_pool
from infra.components.karpenter.rights import KarpenterPlace, list_policies
from infra.ground.layout import lay_out
from infra.ground.survey import Offer, Standing
from infra.quotas.platform import node_demands
from infra.spec import GpuPoolSpec, PlatformSpec

POOL: dict[str, Any] = {
    "name": "g6",
    "instances": ["g6.xlarge", "g5.xlarge"],
    "max": 4,
    "capacity": "spot",
    "by": "karpenter",
}
ACCOUNT, REGION = "123456789012", "us-east-1"
NODE_ROLE = f"arn:aws:iam::{ACCOUNT}:role/shop-us-east-1-karpenter-node"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:shop-karpenter"


def declare(cloud: str, **more: Any) -> declared.Declaration:
    pools = [{**POOL, **more}, {"name": "group", "instances": ["g6.xlarge"]}]
    settings = {"name": "shop", "cloud": cloud, "platform": {"gpu_pools": pools}}
    return declared.program("platform", settings, stack="local")


@pytest.fixture(scope="module", params=["local", "aws"])
def platform(request: pytest.FixtureRequest) -> declared.Declaration:
    return declare(request.param)


@pytest.fixture(scope="module")
def on_aws() -> declared.Declaration:
    return declare("aws")


def test_its_nodes_are_no_node_groups(platform: declared.Declaration) -> None:
    assert {one.name for one in platform.of("NodeGroup")} == {"shop-group", "shop-system"}
    assert platform.outputs["node_pools"] == ["g6"]
    assert set(platform.outputs["node_groups"]) == {"group"}
    labels = platform.one("NodePool").inputs["metadata"]["labels"]
    assert labels == {"app.kubernetes.io/managed-by": "ecomdeploy"}
    spec = platform.one("NodePool").inputs["spec"]
    assert spec["limits"] == {"nvidia.com/gpu": "4"}
    assert spec["disruption"]["consolidationPolicy"] == "WhenEmpty"
    template = spec["template"]
    assert template["metadata"]["labels"] == {"ecomdeploy/pool": "g6", "ecomdeploy/capacity": "spot"}
    (group,) = [one.inputs for one in platform.of("NodeGroup") if one.name == "shop-group"]
    (taint,) = group["taints"]
    assert template["spec"]["taints"] == [{**taint, "effect": "NoSchedule"}]
    asked = {one["key"]: one["values"] for one in template["spec"]["requirements"]}
    assert asked == {
        "node.kubernetes.io/instance-type": ["g6.xlarge", "g5.xlarge"],
        "karpenter.sh/capacity-type": ["spot", "on-demand"],
    }


def test_pools_on_demand_take_no_spot() -> None:
    pool = GpuPoolSpec(name="g6", instances=("g6.xlarge",), by="karpenter", idle_minutes=0)
    spec = describe_pool(pool, {})
    (capacity,) = [
        one["values"] for one in spec["template"]["spec"]["requirements"] if "capacity" in one["key"]
    ]
    assert capacity == ["on-demand"]
    assert spec["disruption"]["consolidateAfter"] == "0m"


def test_the_limit_is_of_gpus_and_no_more_nodes_fit() -> None:
    pool = GpuPoolSpec(name="p", instances=("p5.48xlarge", "g6.12xlarge"), max=2, by="karpenter")
    assert describe_pool(pool, {})["limits"] == {"nvidia.com/gpu": "8"}, "twice the four of the smaller one"


def test_a_pool_comes_after_all_that_it_needs_and_goes_first(platform: declared.Declaration) -> None:
    needed = " ".join(platform.one("NodePool").depends_on)
    for word in ("PodIdentityAssociation", "AccessEntry", "RolePolicy:", "Addon"):
        assert word in needed, word
    assert platform.one("NodePool").provider.rpartition("::")[0].endswith("::kubernetes")


def test_the_cluster_is_entered_by_its_own_outputs(platform: declared.Declaration) -> None:
    (provider,) = [one for one in platform.resources if one.type == "pulumi:providers:kubernetes"]
    text = json.loads(provider.inputs["kubeconfig"])
    assert text["clusters"][0]["cluster"] == {
        "server": "https://cluster.test",
        "certificate-authority-data": "authority",
    }
    assert text["users"][0]["user"]["exec"]["args"][:4] == ["eks", "get-token", "--cluster-name", "shop"]


def test_the_queue_is_told_by_four_rules_and_by_nobody_else(platform: declared.Declaration) -> None:
    queue = platform.one("Queue")
    assert (queue.inputs["name"], queue.inputs["messageRetentionSeconds"]) == ("shop-karpenter", 300)
    patterns = [json.loads(one.inputs["eventPattern"])["detail-type"][0] for one in platform.of("EventRule")]
    assert len(patterns) == len(platform.of("EventTarget")) == 4
    assert "EC2 Spot Instance Interruption Warning" in patterns
    send, bare = json.loads(platform.one("QueuePolicy").inputs["policy"])["Statement"]
    assert send["Principal"]["Service"] == ["events.amazonaws.com", "sqs.amazonaws.com"]
    assert (bare["Effect"], bare["Action"]) == ("Deny", "sqs:*")


def test_on_aws_the_chart_and_a_class_of_machines_come_with_it(on_aws: declared.Declaration) -> None:
    chart = on_aws.one("Release").inputs
    assert chart["chart"] == "oci://public.ecr.aws/karpenter/karpenter"
    assert chart["values"]["settings"] == {"clusterName": "shop", "interruptionQueue": "shop-karpenter"}
    machines = on_aws.one("EC2NodeClass").inputs["spec"]
    assert machines["amiSelectorTerms"] == [{"alias": "bottlerocket@latest"}]
    assert machines["role"] == "shop-us-east-1-karpenter-node"
    assert machines["metadataOptions"]["httpTokens"] == "required"
    assert [one["deviceName"] for one in machines["blockDeviceMappings"]] == ["/dev/xvda", "/dev/xvdb"]
    assert all(one["ebs"]["encrypted"] is True for one in machines["blockDeviceMappings"])
    assert len(machines["subnetSelectorTerms"]) == 2
    named = on_aws.one("NodePool").inputs["spec"]["template"]["spec"]["nodeClassRef"]
    assert named == {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "g6"}
    assert any("Release" in one for one in on_aws.one("NodePool").depends_on)


def test_here_the_machines_are_pretended() -> None:
    found = declare("local")
    assert not found.of("Release")
    assert not found.of("EC2NodeClass")
    named = found.one("NodePool").inputs["spec"]["template"]["spec"]["nodeClassRef"]
    assert named == {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"}


def test_shared_gpus_are_settings_of_the_machines() -> None:
    machines = declare("aws", sharing={"by": "mps", "parts": 4}).one("EC2NodeClass").inputs["spec"]
    assert 'device-sharing-strategy = "mps"' in machines["userData"]


PLACE = KarpenterPlace(cluster="shop", region=REGION, account=ACCOUNT)
POLICIES = {name: json.loads(text) for name, text in list_policies(PLACE, NODE_ROLE, QUEUE).items()}
OWNED = "kubernetes.io/cluster/shop"
NEW = {f"aws:RequestTag/{OWNED}": "owned", "aws:RequestTag/eks:eks-cluster-name": "shop"}
NEW |= {"aws:RequestTag/karpenter.sh/nodepool": "g6"}
OURS = {f"aws:ResourceTag/{OWNED}": "owned", "aws:ResourceTag/karpenter.sh/nodepool": "g6"}
INSTANCE = f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-1"


def test_every_right_is_one_that_aws_knows() -> None:
    for name, document in POLICIES.items():
        assert list(find_faults(document)) == [], name
    length = sum(len("".join(text.split())) for text in list_policies(PLACE, NODE_ROLE, QUEUE).values())
    assert length < 10_240, "IAM's limit of a role's own policies"


@pytest.mark.parametrize(
    ("action", "resource", "context", "allowed"),
    [
        ("ec2:CreateFleet", f"arn:aws:ec2:{REGION}:{ACCOUNT}:fleet/f", NEW, True),
        ("ec2:RunInstances", INSTANCE, NEW, True),
        ("ec2:RunInstances", INSTANCE, {}, False),
        ("ec2:RunInstances", f"arn:aws:ec2:{REGION}::image/ami-1", {}, True),
        ("ec2:TerminateInstances", INSTANCE, OURS, True),
        ("ec2:TerminateInstances", INSTANCE, {}, False),
        (
            "ec2:TerminateInstances",
            INSTANCE,
            {key.replace("/shop", "/other"): value for key, value in OURS.items()},
            False,
        ),
        ("ec2:CreateTags", INSTANCE, {**NEW, "ec2:CreateAction": "RunInstances"}, True),
        ("iam:PassRole", NODE_ROLE, {"iam:PassedToService": "ec2.amazonaws.com"}, True),
        ("iam:PassRole", NODE_ROLE, {"iam:PassedToService": "lambda.amazonaws.com"}, False),
        ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/admin", {"iam:PassedToService": "ec2.amazonaws.com"}, False),
        ("iam:DeleteInstanceProfile", f"arn:aws:iam::{ACCOUNT}:instance-profile/x", {}, False),
        ("sqs:ReceiveMessage", QUEUE, {}, True),
        ("sqs:ReceiveMessage", f"arn:aws:sqs:{REGION}:{ACCOUNT}:orders", {}, False),
        ("eks:DescribeCluster", f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/shop", {}, True),
        ("eks:DescribeCluster", f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/other", {}, False),
    ],
)  # fmt: skip
def test_it_may_do_to_its_own_nodes_what_it_must(
    action: str, resource: str, context: dict[str, str], allowed: bool
) -> None:
    asked = Request(action, resource, context)
    assert any(is_allowed(asked, document) for document in POLICIES.values()) is allowed


def test_what_may_come_is_asked_of_the_quota() -> None:
    """None at once, and all of them some day."""
    wanted = PlatformSpec(gpu_pools=(GpuPoolSpec(**{**POOL, "instances": ("g6.xlarge",)}),))
    layout = lay_out(wanted, REGION, Offer(), Standing())
    (spot,) = [one for one in node_demands(wanted, layout, Standing()) if "Spot" in one.name]
    assert (spot.amount, spot.growth) == (0, 16)
