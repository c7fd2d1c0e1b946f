"""Network, cluster and GPU pool, as the platform program puts them together."""

from __future__ import annotations

import tomllib
from ipaddress import IPv4Network
from typing import Any

import declared
import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.components.gpu_pool import check as check_pool
from infra.components.gpu_pool import node_group_name
from infra.components.networking.endpoints import SERVICES, SERVING
from infra.components.networking.network import check as check_network
from infra.gpu_nodes import user_data
from infra.ground.addresses import EIGHTHS, QUARTERS, blocks, find_slots
from infra.spec import GpuPoolSpec, GpuSharingSpec
from modelpack.errors import BadInput

POOL = {"name": "g6", "instances": ["g6.xlarge", "g5.xlarge"], "min": 1, "max": 4, "capacity": "spot"}


@pytest.fixture(scope="module")
def platform() -> declared.Declaration:
    return declared.program(
        "platform", {"name": "eco-local", "platform": {"gpu_pools": [POOL]}}, stack="local"
    )


def test_everything_and_the_promised_outputs(platform: declared.Declaration) -> None:
    assert set(platform.outputs) == {
        *(
            "vpc_id",
            "private_subnets",
            "public_subnets",
            "cluster",
            "cluster_endpoint",
            "node_groups",
            "kubernetes_version",
        )
    }
    assert platform.outputs["cluster"] == "eco-local"
    assert set(platform.outputs["node_groups"]) == {"g6"}


@given(length=st.integers(16, 22), net=st.integers(0, 255), form=st.sampled_from([QUARTERS, EIGHTHS]))
def test_subnets_lie_in_the_network_and_do_not_overlap(length: int, net: int, form: int) -> None:
    cidr = str(IPv4Network((f"10.{net}.0.0", length)))
    found = [blocks(cidr, form, slot) for slot in range((1 << form) - 1)]
    every = [IPv4Network(block) for one in found for block in (one.public, one.private)]
    assert all(block.subnet_of(IPv4Network(cidr)) and block.prefixlen <= 28 for block in every)
    assert not any(a.overlaps(b) for a in every for b in every if a is not b)


@given(
    first=st.sets(st.sampled_from("abcdef"), min_size=2),
    second=st.sets(st.sampled_from("abcdef"), min_size=2),
)
def test_a_zones_addresses_follow_its_letter_whatever_others_there_are(
    first: set[str], second: set[str]
) -> None:
    _, one = find_slots([f"us-east-1{letter}" for letter in first], "10.0.0.0/16", {})
    _, two = find_slots([f"us-east-1{letter}" for letter in second], "10.0.0.0/16", {})
    assert all(one[zone] == two[zone] for zone in one.keys() & two.keys())
    assert len(set(one.values())) == len(one)


def test_a_network_of_an_earlier_release_keeps_its_addresses() -> None:
    """It gave them by a zone's place in the list."""
    standing = {"us-east-1c": "10.42.64.0/18", "us-east-1d": "10.42.128.0/18"}
    form, found = find_slots(["us-east-1d", "us-east-1c"], "10.42.0.0/16", standing)
    assert (form, found) == (QUARTERS, {"us-east-1c": 0, "us-east-1d": 1})
    assert {zone: blocks("10.42.0.0/16", form, slot).private for zone, slot in found.items()} == standing
    _, more = find_slots(["us-east-1a", "us-east-1c", "us-east-1d"], "10.42.0.0/16", standing)
    assert more == {**found, "us-east-1a": 2}
    with pytest.raises(BadInput, match="no addresses left"):
        find_slots([f"us-east-1{letter}" for letter in "abcd"], "10.42.0.0/16", standing)


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
    (endpoint,) = [one.inputs for one in platform.of("VpcEndpoint") if one.name.endswith("-s3")]
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
    (template,) = [one.inputs for one in platform.of("LaunchTemplate") if "-g6-" in one.name]
    assert template["metadataOptions"] == {
        "httpEndpoint": "enabled",
        "httpTokens": "required",
        "httpPutResponseHopLimit": 1,
    }
    disks = {one["deviceName"]: one["ebs"] for one in template["blockDeviceMappings"]}
    kept = {"volumeType": "gp3", "encrypted": "true", "deleteOnTermination": "true"}
    assert disks == {"/dev/xvda": kept, "/dev/xvdb": {**kept, "volumeSize": 100}}
    (group,) = [one.inputs for one in platform.of("NodeGroup") if one.name == "eco-local-g6"]
    assert group["amiType"] == "BOTTLEROCKET_x86_64_NVIDIA"
    assert "userData" not in template
    assert group["taints"] == [{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}]
    assert group["instanceTypes"] == ["g6.xlarge", "g5.xlarge"]
    assert group["capacityType"] == "SPOT"
    assert group["launchTemplate"]["version"] == "1"


@pytest.mark.parametrize(
    ("sharing", "instances", "said"),
    [
        (
            GpuSharingSpec(by="time-slicing", parts=4),
            ("g6.xlarge",),
            {
                "device-sharing-strategy": "time-slicing",
                "time-slicing": {
                    "replicas": 4,
                    "rename-by-default": False,
                    "fail-requests-greater-than-one": True,
                },
            },
        ),
        (
            GpuSharingSpec(by="mps", parts=2),
            ("g6.xlarge",),
            {"device-sharing-strategy": "mps", "mps": {"replicas": 2, "rename-by-default": False}},
        ),
        (
            GpuSharingSpec(by="mig", parts=3),
            ("p5en.48xlarge", "p4de.24xlarge"),
            {
                "device-partitioning-strategy": "mig",
                "mig": {"profile": {"a100.80gb": "3", "h200.141gb": "3"}},
            },
        ),
    ],
)
def test_how_gpus_are_shared_is_told_to_the_node(
    sharing: GpuSharingSpec, instances: tuple[str, ...], said: dict[str, Any]
) -> None:
    """By Bottlerocket's own names; EKS takes no TOML whose headers are quoted."""
    told = user_data(sharing, instances)
    assert tomllib.loads(told) == {"settings": {"kubelet-device-plugins": {"nvidia": said}}}
    assert '["' not in told
    assert '."' not in told


def test_the_size_is_whoevers_that_scales_unless_it_is_given(platform: declared.Declaration) -> None:
    (group,) = [one for one in platform.of("NodeGroup") if one.name == "eco-local-g6"]
    assert group.inputs["scalingConfig"] == {"minSize": 1, "maxSize": 4, "desiredSize": 1}
    assert group.ignored == ("scalingConfig.desiredSize",)
    given = declared.program("platform", {"name": "e", "platform": {"gpu_pools": [{**POOL, "desired": 2}]}})
    (group,) = [one for one in given.of("NodeGroup") if one.name == "e-g6"]
    assert (group.inputs["scalingConfig"]["desiredSize"], group.ignored) == (2, ())


def test_the_cluster_can_run_a_pod(platform: declared.Declaration) -> None:
    (system,) = [one for one in platform.of("NodeGroup") if one.name == "eco-local-system"]
    assert not system.inputs.get("taints")
    assert system.inputs["version"] == platform.one("Cluster").inputs["version"] == "1.35"
    addons = {one.inputs["addonName"]: one for one in platform.of("Addon")}
    assert len(addons) == 7
    assert any("eco-local-system" in urn for urn in addons["coredns"].depends_on)
    assert any("vpc-cni" in urn for urn in system.depends_on)
    assert platform.one("Cluster").inputs["upgradePolicy"] == {"supportType": "STANDARD"}
    assert platform.one("Cluster").inputs["vpcConfig"]["endpointPublicAccess"] is False


def test_nodes_wait_for_their_role_and_their_way_out(platform: declared.Declaration) -> None:
    names = {
        urn.rpartition("::")[2]
        for one in platform.of("NodeGroup")
        if one.name == "eco-local-g6"
        for urn in one.depends_on
    }
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
        ({"instances": ("g7.2xlarge",)}, "driver 595"),
        ({"image": "al2023", "sharing": GpuSharingSpec(by="mps", parts=2)}, "device plugin"),
        ({"sharing": GpuSharingSpec(by="mig", parts=2)}, "L4 of g6.xlarge"),
        ({"instances": ("p5.48xlarge",), "sharing": GpuSharingSpec(by="mig", parts=5)}, "not 5"),
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


def test_a_way_out_in_each_zone_survives_the_loss_of_one() -> None:
    zones = ["us-east-1a", "us-east-1b", "us-east-1c"]
    wanted = {"zones": zones, "nat": "per-zone", "gpu_pools": [POOL]}
    made = declared.program("platform", {"name": "e", "platform": wanted})
    by_zone = {one.name: one.inputs["availabilityZone"] for one in made.of("Subnet")}
    nats = {one.name: by_zone[one.inputs["subnetId"].removesuffix("-id")] for one in made.of("NatGateway")}
    assert sorted(nats.values()) == zones
    assert len({one.inputs["allocationId"] for one in made.of("NatGateway")}) == 3
    routes = {one.inputs["routeTableId"]: one.inputs.get("natGatewayId") for one in made.of("Route")}
    for association in made.of("RouteTableAssociation"):
        zone = by_zone[association.inputs["subnetId"].removesuffix("-id")]
        way_out = routes[association.inputs["routeTableId"]]
        assert way_out is None or nats[way_out.removesuffix("-id")] == zone
    (s3,) = [one.inputs for one in made.of("VpcEndpoint") if one.name.endswith("-s3")]
    assert len(s3["routeTableIds"]) == 3


def test_a_second_way_out_leaves_the_first_as_it_is() -> None:
    one, each = (
        declared.program("platform", {"name": "e", "platform": {"nat": nat}}) for nat in ("one", "per-zone")
    )
    first, second = ({part.name: part.inputs for part in made.of("NatGateway")} for made in (one, each))
    assert first.items() <= second.items()
    assert len(second) == len(first) + 1 == 2


def test_nothing_is_made_in_a_network_that_is_there() -> None:
    vpc = {"id": "vpc-0a1b2c3d", "subnets": ["subnet-01", "subnet-02"]}
    made = declared.program("platform", {"name": "e", "platform": {"vpc": vpc, "gpu_pools": [POOL]}})
    assert not [
        one.name for one in made.resources if ":ec2/" in one.type and "launchTemplate" not in one.type
    ]
    assert made.one("Cluster").inputs["vpcConfig"]["subnetIds"] == vpc["subnets"]
    assert {tuple(one.inputs["subnetIds"]) for one in made.of("NodeGroup")} == {("subnet-01", "subnet-02")}


def test_model_servers_reach_awss_services_and_nobody_reaches_them() -> None:
    made = declared.program("platform", {"name": "e", "platform": {"serving": True}})
    (group,) = [one for one in made.of("SecurityGroup") if one.name == "e-serving"]
    assert not {"ingress", "egress"} & set(group.inputs)
    rules = [one.inputs for one in made.of("SecurityGroupEgressRule")]
    assert {(one["ipProtocol"], one["fromPort"], one["toPort"]) for one in rules} == {("tcp", 443, 443)}
    assert {one["securityGroupId"] for one in rules} == {"e-serving-id"}
    assert [one.get("referencedSecurityGroupId") for one in rules] == ["e-endpoints-id", None]
    assert not any("cidrIpv4" in one or "cidrIpv6" in one for one in rules)
    services = {
        one.inputs["serviceName"].removeprefix("com.amazonaws.us-east-1.") for one in made.of("VpcEndpoint")
    }
    assert services == {"s3", *SERVING}
    subnets = [f"e-network-private-{zone}-id" for zone in "ab"]
    assert made.outputs["serving_network"] == {"subnets": subnets, "security_groups": ["e-serving-id"]}


def test_what_a_cluster_and_model_servers_need_is_made_once() -> None:
    both = {"serving": True, "gpu_pools": [POOL]}
    made = declared.program("platform", {"name": "e", "platform": both})
    interfaces = [one for one in made.of("VpcEndpoint") if one.inputs["vpcEndpointType"] == "Interface"]
    assert len(interfaces) == len({*SERVICES, *SERVING}) == 10
    alone = declared.program("platform", {"name": "e", "platform": {"gpu_pools": [POOL]}})
    before = {one.name: one.inputs for one in alone.custom()}
    assert before.items() <= {one.name: one.inputs for one in made.custom()}.items()


@pytest.mark.parametrize("wanted", [{}, {"gpu_pools": [POOL]}])
def test_without_being_asked_a_platform_makes_no_room_for_model_servers(wanted: dict[str, Any]) -> None:
    made = declared.program("platform", {"name": "e", "platform": wanted})
    assert made.of("SecurityGroupEgressRule") == []
    assert "serving_network" not in made.outputs
