"""The platform: seen by a stranger's client, drift by other hands seen, nothing left after `down`."""

from __future__ import annotations

import json
import re
import signal
from typing import Any

import pytest
from iam_policies import is_allowed
from platform_calls import list_platform_requests
from typed import SECONDS, Terminal

pytestmark = pytest.mark.slow

POOLS = "\nplatform: {gpu_pools: [{name: g6, instances: [g6.xlarge, g5.xlarge], min: 0, max: 4, capacity: spot}]}\n"


@pytest.fixture
def project(terminal: Terminal) -> Terminal:
    terminal.type("init", "recommendation", "shop")
    shop = terminal.into("shop")
    spec = shop.folder / "ecomdeploy.yaml"
    spec.write_text(spec.read_text() + POOLS)
    return shop


def types(changes: list[dict]) -> dict[str, str]:  # type: ignore[type-arg]
    return {change["urn"].split("::")[2].rpartition("$")[2]: change["op"] for change in changes}


def test_the_platform_from_nothing_to_nothing(project: Terminal) -> None:
    asked = {task: project.type("ci", "policy", "--for", task).json for task in ("platform-plan", "platform")}
    done = project.type("platform", "up", "--yes", "--json").json
    assert done["state"] == "up"
    seen = set(project.operations())
    assert len(done["changes"]) >= 25
    eks = project.client("eks")
    (cluster,) = eks.list_clusters()["clusters"]
    assert eks.describe_cluster(name=cluster)["cluster"]["status"] == "ACTIVE"
    groups = eks.list_nodegroups(clusterName=cluster)["nodegroups"]
    (group,) = [one for one in groups if one.startswith("g6-")]
    found = eks.describe_nodegroup(clusterName=cluster, nodegroupName=group)["nodegroup"]
    assert found["instanceTypes"] == ["g6.xlarge", "g5.xlarge"]
    assert found["capacityType"] == "SPOT"
    assert found["scalingConfig"]["maxSize"] == 4

    nothing_to_do(project)
    other_hands(project, eks, cluster, group)
    seen_by_plan = another_instance_type(project)

    before = project.operations()
    project.type("platform", "down", "--yes", "--json")
    seen |= operations_since(project, before)
    the_policy_allows(asked["platform-plan"], seen_by_plan)
    the_policy_allows(asked["platform"], seen)
    assert eks.list_clusters()["clusters"] == []
    ec2 = project.client("ec2")
    ours = [{"Name": "tag:ecomdeploy:managed-by", "Values": ["ecomdeploy"]}]
    assert ec2.describe_vpcs(Filters=ours)["Vpcs"] == []
    assert ec2.describe_addresses()["Addresses"] == []
    assert ec2.describe_launch_templates()["LaunchTemplates"] == []
    assert project.client("iam").list_roles()["Roles"] == []
    assert project.client("logs").describe_log_groups()["logGroups"] == []
    assert project.type("platform", "down", "--yes", "--json").json["changes"] == []


def operations_since(project: Terminal, before: dict[str, int]) -> set[str]:
    return {name for name, count in project.operations().items() if count > before.get(name, 0)}


def the_policy_allows(document: dict[str, Any], operations: set[str]) -> None:
    """Every call that the daemon saw, by IAM's rules, on what is the platform's own."""
    requests = list_platform_requests(operations, "local", "123456789012", "us-east-1")
    assert len(requests) > 15
    assert {(one.action, one.resource) for one in requests if not is_allowed(one, document)} == set()


def nothing_to_do(project: Terminal) -> None:
    before = project.counts()["mutating"]
    assert project.type("platform", "up", "--yes", "--json").json["changes"] == []
    assert project.counts()["mutating"] == before
    assert project.type("platform", "plan", "--json").json["changes"] == []


def other_hands(project: Terminal, eks: object, cluster: str, group: str) -> None:
    eks.update_nodegroup_config(  # type: ignore[attr-defined]
        clusterName=cluster, nodegroupName=group, scalingConfig={"minSize": 0, "maxSize": 9, "desiredSize": 3}
    )
    seen = project.type("platform", "plan", "--json").json["changes"]
    assert types(seen) == {"aws:eks/nodeGroup:NodeGroup": "update"}
    assert any("scalingConfig" in key for key in seen[0]["keys"])
    project.type("platform", "up", "--yes", "--json")
    found = eks.describe_nodegroup(clusterName=cluster, nodegroupName=group)["nodegroup"]  # type: ignore[attr-defined]
    assert found["scalingConfig"]["maxSize"] == 4


def another_instance_type(project: Terminal) -> set[str]:
    """Returns what `plan` asks."""
    project.edit(r"g6\.xlarge, g5\.xlarge", "g6.2xlarge")
    before = project.operations()
    seen = types(project.type("platform", "plan", "--json").json["changes"])
    assert seen["aws:eks/nodeGroup:NodeGroup"] == "replace"
    assert set(seen) <= {"aws:eks/nodeGroup:NodeGroup", "aws:ec2/launchTemplate:LaunchTemplate"}
    return operations_since(project, before)


ADDRESSES = 'platform: {zones: [us-east-1a, us-east-1b], kubernetes_version: "1.33",'


@pytest.mark.nightly(like="test_twelve_things_changed_by_hand_are_named_and_mended_at_once")
def test_zones_come_and_go_and_the_control_plane_stays(project: Terminal) -> None:
    """Exchanged, in another order, one more: by letter, and without a conflict."""
    project.edit("platform: {", ADDRESSES)
    project.type("platform", "up", "--yes", "--json")
    ec2 = project.client("ec2")

    def blocks() -> dict[str, str]:
        ours = [{"Name": "tag:ecomdeploy:managed-by", "Values": ["ecomdeploy"]}]
        found = ec2.describe_subnets(Filters=ours)["Subnets"]
        return {one["CidrBlock"]: one["AvailabilityZone"] for one in found}

    first = blocks()
    project.edit("us-east-1a, us-east-1b", "us-east-1b, us-east-1a")
    assert project.type("platform", "plan", "--json").json["changes"] == []

    project.edit("us-east-1b, us-east-1a", "us-east-1a, us-east-1c")
    seen = project.type("platform", "plan", "--json").json
    assert any("us-east-1b keeps its subnets" in note for note in seen["notes"])
    project.type("platform", "up", "--yes", "--json")
    assert first.items() <= blocks().items()
    assert project.type("platform", "up", "--yes", "--json").json["changes"] == []

    project.edit("us-east-1a, us-east-1c", "us-east-1a, us-east-1b, us-east-1c")
    project.type("platform", "up", "--yes", "--json")
    assert first.items() <= blocks().items()

    project.edit("us-east-1a, us-east-1b, us-east-1c", "us-east-1a, us-east-1e")
    assert "EKS makes no control plane in us-east-1e" in project.type("platform", "plan", expect=2).err

    project.edit("us-east-1a, us-east-1e", "us-east-1a, us-east-1b")
    the_version_goes_up_and_never_back(project)


def the_version_goes_up_and_never_back(project: Terminal) -> None:
    project.edit('"1.33"', '"1.35"')
    assert "one minor version at a time" in project.type("platform", "plan", expect=2).err
    project.edit('"1.35"', '"1.34"')
    project.type("platform", "up", "--yes", "--json")
    eks = project.client("eks")
    (cluster,) = eks.list_clusters()["clusters"]
    groups = eks.list_nodegroups(clusterName=cluster)["nodegroups"]
    found = [eks.describe_nodegroup(clusterName=cluster, nodegroupName=one)["nodegroup"] for one in groups]
    assert {one["version"] for one in found} == {"1.34"}
    addon = eks.describe_addon(clusterName=cluster, addonName="kube-proxy")["addon"]
    assert addon["addonVersion"].startswith("v1.34.")
    project.edit('"1.34"', '"1.33"')
    assert "is not taken back to 1.33" in project.type("platform", "plan", expect=2).err


FULL = (
    "platform: {public_cidrs: [203.0.113.0/24], access: [{principal: 'arn:aws:iam::123456789012:role/ops', "
    "policy: view}],"
)


def test_twelve_things_changed_by_hand_are_named_and_mended_at_once(project: Terminal) -> None:
    """The whole platform; `plan` names each, one `up` mends all, the next makes no mutating call."""
    project.edit("platform: {", FULL)
    two_services_at_once(project)
    ec2, eks, iam, logs = (project.client(one) for one in ("ec2", "eks", "iam", "logs"))
    (cluster,) = eks.list_clusters()["clusters"]
    spoil_network(ec2, logs)
    spoil_cluster(eks, iam, cluster)

    seen = project.type("platform", "plan", "--json").json["changes"]
    names = {change["urn"].rpartition("::")[2].removeprefix("ecomdeploy-local-") for change in seen}
    (entry,) = [name for name in names if name.startswith("access-ops-")]
    assert names == {
        *(
            entry,
            "addons-vpc-cni",
            "cluster",
            "cluster-logs",
            "cluster-node-role",
            "endpoints",
            "endpoints-sts",
        ),
        *("g6", "network", "network-private-b", "network-public-a", "network-public-out"),
    }
    project.type("platform", "up", "--yes", "--json")
    assert project.type("platform", "plan", "--json").json["changes"] == []
    before = project.counts()["mutating"]
    assert project.type("platform", "up", "--yes", "--json").json["changes"] == []
    assert project.counts()["mutating"] == before


def two_services_at_once(project: Terminal) -> None:
    """Two processes of two projects on the one platform: the second is refused with words, the first goes on."""
    other = Terminal(project.folder.parent / "search", project.home)
    other.folder.mkdir()
    spec = (project.folder / "ecomdeploy.yaml").read_text()
    (other.folder / "ecomdeploy.yaml").write_text(re.sub(r"(?m)^service: \S+", "service: search", spec))
    first = project.start("platform", "up", "--yes", "--json")
    assert first.stderr is not None
    assert any("Provisioning the platform" in line for line in first.stderr), (
        "it holds the lease from here on"
    )
    first.send_signal(signal.SIGSTOP)  # so that it is at work however fast it is
    try:
        refused = other.type("platform", "up", "--yes", expect=3)
    finally:
        first.send_signal(signal.SIGCONT)
    assert "`ecomdeploy platform up`" in refused.err
    assert f"process {first.pid}" in refused.err
    first.communicate(timeout=SECONDS)
    assert first.returncode == 0
    eks, ec2 = project.client("eks"), project.client("ec2")
    ours = [{"Name": "tag:ecomdeploy:managed-by", "Values": ["ecomdeploy"]}]
    assert (len(eks.list_clusters()["clusters"]), len(ec2.describe_vpcs(Filters=ours)["Vpcs"])) == (1, 1)


def named(things: list[dict[str, Any]], end: str) -> dict[str, Any]:
    """The one whose Pulumi name ends so."""
    (found,) = [
        one
        for one in things
        if any(tag["Key"] == "ecomdeploy:resource" and tag["Value"].endswith(end) for tag in one["Tags"])
    ]
    return found


def spoil_network(ec2: Any, logs: Any) -> None:
    ours = [{"Name": "tag:ecomdeploy:managed-by", "Values": ["ecomdeploy"]}]
    vpc = named(ec2.describe_vpcs(Filters=ours)["Vpcs"], "-network")["VpcId"]
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": False})
    subnets = ec2.describe_subnets(Filters=ours)["Subnets"]
    public = named(subnets, "-public-a")["SubnetId"]
    ec2.modify_subnet_attribute(SubnetId=public, MapPublicIpOnLaunch={"Value": False})
    private = named(subnets, "-private-b")["SubnetId"]
    ec2.create_tags(Resources=[private], Tags=[{"Key": "owner", "Value": "me"}])
    table = named(ec2.describe_route_tables(Filters=ours)["RouteTables"], "-network-public")["RouteTableId"]
    ec2.delete_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0")
    group = named(ec2.describe_security_groups(Filters=ours)["SecurityGroups"], "-endpoints")["GroupId"]
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[ssh])
    endpoint = named(ec2.describe_vpc_endpoints(Filters=ours)["VpcEndpoints"], "-endpoints-sts")
    ec2.modify_vpc_endpoint(
        VpcEndpointId=endpoint["VpcEndpointId"], RemoveSubnetIds=endpoint["SubnetIds"][:1]
    )
    logs.put_retention_policy(logGroupName="/aws/eks/ecomdeploy-local/cluster", retentionInDays=1)


def spoil_cluster(eks: Any, iam: Any, cluster: str) -> None:
    eks.update_cluster_config(name=cluster, resourcesVpcConfig={"publicAccessCidrs": ["198.51.100.0/24"]})
    eks.get_waiter("cluster_active").wait(name=cluster, WaiterConfig={"Delay": 1})
    eks.update_addon(clusterName=cluster, addonName="vpc-cni", addonVersion="v1.20.3-eksbuild.1")
    ops = "arn:aws:iam::123456789012:role/ops"
    view = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"
    eks.disassociate_access_policy(clusterName=cluster, principalArn=ops, policyArn=view)
    groups = eks.list_nodegroups(clusterName=cluster)["nodegroups"]
    (pool,) = [one for one in groups if one.startswith("g6-")]
    eks.update_nodegroup_config(
        clusterName=cluster, nodegroupName=pool, labels={"removeLabels": ["ecomdeploy/pool"]}
    )
    (role,) = [one["RoleName"] for one in iam.list_roles()["Roles"] if one["RoleName"].endswith("-node")]
    trust = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    trust["Statement"][0]["Principal"] = {"Service": ["ec2.amazonaws.com", "lambda.amazonaws.com"]}
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(trust))
