"""Network, cluster and GPU pool, as the platform program puts them together."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import declared
import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.components.gpu_pool import check as check_pool
from infra.components.gpu_pool import node_group_name
from infra.components.network import check as check_network
from infra.components.network import split
from infra.spec import GpuPoolSpec
from modelpack.errors import BadInput

POOL = {"name": "g6", "instances": ["g6.xlarge", "g5.xlarge"], "min": 1, "max": 4, "capacity": "spot"}


@pytest.fixture(scope="module")
def platform() -> declared.Declaration:
    return declared.program(
        "platform", {"name": "eco-local", "platform": {"gpu_pools": [POOL]}}, stack="local"
    )


def test_about_thirty_five_steps_and_the_promised_outputs(platform: declared.Declaration) -> None:
    assert 30 <= len(platform.resources) <= 45
    assert set(platform.outputs) == {
        *("vpc_id", "private_subnets", "public_subnets", "cluster", "cluster_endpoint", "node_groups")
    }
    assert platform.outputs["cluster"] == "eco-local"
    assert set(platform.outputs["node_groups"]) == {"g6"}


@given(length=st.integers(16, 22), zones=st.integers(2, 3), net=st.integers(0, 255))
def test_subnets_lie_in_the_network_and_do_not_overlap(length: int, zones: int, net: int) -> None:
    cidr = str(IPv4Network((f"10.{net}.0.0", length)))
    blocks = split(cidr, zones)
    all_blocks = [IPv4Network(block) for block in (*blocks.public, *blocks.private)]
    assert len(all_blocks) == 2 * zones
    assert all(block.subnet_of(IPv4Network(cidr)) and block.prefixlen <= 28 for block in all_blocks)
    assert not any(a.overlaps(b) for a in all_blocks for b in all_blocks if a is not b)


def test_nodes_go_out_through_nat_and_load_balancers_through_the_internet(
    platform: declared.Declaration,
) -> None:
    routes = {route.name: route.inputs for route in platform.of("Route")}
    assert "gatewayId" in routes["eco-local-network-public-out"]
    assert "natGatewayId" in routes["eco-local-network-private-out"]
    subnets = {one.name.rpartition("network-")[2]: one.inputs for one in platform.of("Subnet")}
    assert {one["availabilityZone"] for one in subnets.values()} == {"us-east-1a", "us-east-1b"}
    assert subnets["public-a"]["mapPublicIpOnLaunch"] is True
    assert subnets["private-a"]["mapPublicIpOnLaunch"] is False
    assert subnets["private-b"]["tags"]["kubernetes.io/role/internal-elb"] == "1"
    endpoint = platform.one("VpcEndpoint").inputs
    assert endpoint["serviceName"] == "com.amazonaws.us-east-1.s3"
    assert endpoint["vpcEndpointType"] == "Gateway"


@pytest.mark.parametrize(
    ("cidr", "zones", "word"),
    [
        ("10.0.0.0/33", ("a", "b"), "cidr"),
        ("10.0.0.1/16", ("a", "b"), "cidr"),
        ("10.0.0.0/8", ("a", "b"), "/16 to /22"),
        ("10.0.0.0/16", ("a",), "zones"),
        ("10.0.0.0/16", ("a", "a"), "zones"),
    ],
)
def test_a_wrong_network_is_refused_before_anything_is_made(
    cidr: str, zones: tuple[str, ...], word: str
) -> None:
    with pytest.raises(BadInput, match=word):
        check_network(cidr, zones)


def test_the_cluster_is_closed_where_it_can_be(platform: declared.Declaration) -> None:
    cluster = platform.one("Cluster").inputs
    assert cluster["vpcConfig"]["endpointPrivateAccess"] is True
    assert cluster["encryptionConfig"]["resources"] == ["secrets"]
    assert cluster["encryptionConfig"]["provider"]["keyArn"].endswith("eco-local-key")
    assert len(cluster["enabledClusterLogTypes"]) == 5
    assert cluster["accessConfig"]["authenticationMode"] == "API"
    needed = [urn for urn in platform.one("Cluster").depends_on if "RolePolicyAttachment" in urn]
    assert len(needed) == 1


def test_gpu_nodes_guard_their_credentials_disks_and_gpus(platform: declared.Declaration) -> None:
    template = platform.one("LaunchTemplate").inputs
    assert template["metadataOptions"] == {
        "httpEndpoint": "enabled",
        "httpTokens": "required",
        "httpPutResponseHopLimit": 1,
    }
    (disk,) = template["blockDeviceMappings"]
    assert disk["ebs"] == {
        "volumeType": "gp3",
        "volumeSize": 100,
        "encrypted": "true",
        "deleteOnTermination": "true",
    }
    group = platform.one("NodeGroup").inputs
    assert group["amiType"] == "AL2023_x86_64_NVIDIA"
    assert group["taints"] == [{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}]
    assert group["instanceTypes"] == ["g6.xlarge", "g5.xlarge"]
    assert group["capacityType"] == "SPOT"
    assert group["launchTemplate"]["version"] == "1"


def test_an_edit_of_the_size_is_seen(platform: declared.Declaration) -> None:
    """Nothing of the size is ignored: whoever changes it by hand finds it in the next plan."""
    group = platform.one("NodeGroup")
    assert group.inputs["scalingConfig"] == {"minSize": 1, "maxSize": 4, "desiredSize": 1}
    assert group.ignored == ()


def test_nodes_wait_for_their_role_and_their_way_out(platform: declared.Declaration) -> None:
    names = {urn.rpartition("::")[2] for urn in platform.one("NodeGroup").depends_on}
    assert "eco-local-network-private-out" in names
    assert "eco-local-cluster-node-role-AmazonEKSWorkerNodePolicy" in names


def test_the_node_groups_name_follows_what_cannot_change_in_place() -> None:
    pool = GpuPoolSpec(name="g6", instances=("g6.xlarge",))
    same = GpuPoolSpec(name="g6", instances=("g6.xlarge",), min=1, max=9, desired=3, disk_gb=200)
    assert node_group_name(pool) == node_group_name(same)
    others: list[dict[str, Any]] = [{"instances": ("g5.xlarge",)}, {"capacity": "spot"}, {"name": "other"}]
    names = {
        node_group_name(GpuPoolSpec(**{"name": "g6", "instances": ("g6.xlarge",), **one})) for one in others
    }
    assert len(names | {node_group_name(pool)}) == 4


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"min": 5}, "min"),
        ({"desired": 9}, "desired"),
        ({"instances": ()}, "instance"),
        ({"instances": ("g6.xlarg",)}, "g6.xlarg"),
        ({"instances": ("m5.large",)}, "m5.large"),
        ({"capacity": "reserved"}, "capacity"),
    ],
)
def test_a_wrong_pool_is_refused(change: dict[str, Any], word: str) -> None:
    pool = GpuPoolSpec(**{"name": "g6", "instances": ("g6.xlarge",), "max": 2, **change})
    with pytest.raises(BadInput, match=word):
        check_pool(pool)


@pytest.mark.parametrize("wrong", [{"gpu_pools": [{"name": "g6"}]}, {"gpu_pools": 3}, [1]])
def test_settings_that_do_not_read_end_the_program_with_a_sentence(wrong: Any) -> None:
    with pytest.raises(pulumi.RunError, match="settings: platform does not read"):
        declared.program("platform", {"name": "eco-local", "platform": wrong})


def test_zones_can_be_chosen() -> None:
    zones = ["us-east-1c", "us-east-1d", "us-east-1f"]
    made = declared.program("platform", {"name": "eco-local", "platform": {"zones": zones}})
    assert {one.inputs["availabilityZone"] for one in made.of("Subnet")} == set(zones)
    assert len(made.of("Subnet")) == 6


def test_a_refused_pool_ends_the_program_with_its_sentence() -> None:
    with pytest.raises(pulumi.RunError, match="min \\(3\\) is more than max \\(2\\)"):
        declared.program(
            "platform", {"name": "eco-local", "platform": {"gpu_pools": [{**POOL, "min": 3, "max": 2}]}}
        )
