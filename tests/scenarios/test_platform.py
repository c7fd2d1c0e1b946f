"""The platform: seen by a stranger's client, drift by other hands seen, nothing left after `down`."""

from __future__ import annotations

import pytest
from typed import Terminal

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
    done = project.type("platform", "up", "--yes", "--json").json
    assert done["state"] == "up"
    assert len(done["changes"]) >= 25
    eks = project.client("eks")
    (cluster,) = eks.list_clusters()["clusters"]
    assert eks.describe_cluster(name=cluster)["cluster"]["status"] == "ACTIVE"
    (group,) = eks.list_nodegroups(clusterName=cluster)["nodegroups"]
    found = eks.describe_nodegroup(clusterName=cluster, nodegroupName=group)["nodegroup"]
    assert found["instanceTypes"] == ["g6.xlarge", "g5.xlarge"]
    assert found["capacityType"] == "SPOT"
    assert found["scalingConfig"]["maxSize"] == 4

    nothing_to_do(project)
    other_hands(project, eks, cluster, group)
    another_instance_type(project)

    project.type("platform", "down", "--yes", "--json")
    assert eks.list_clusters()["clusters"] == []
    ec2 = project.client("ec2")
    ours = [{"Name": "tag:ecomdeploy:managed-by", "Values": ["ecomdeploy"]}]
    assert ec2.describe_vpcs(Filters=ours)["Vpcs"] == []
    assert ec2.describe_addresses()["Addresses"] == []
    assert ec2.describe_launch_templates()["LaunchTemplates"] == []
    assert project.client("iam").list_roles()["Roles"] == []
    assert project.type("platform", "down", "--yes", "--json").json["changes"] == []


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


def another_instance_type(project: Terminal) -> None:
    project.edit(r"g6\.xlarge, g5\.xlarge", "g6.2xlarge")
    seen = types(project.type("platform", "plan", "--json").json["changes"])
    assert seen["aws:eks/nodeGroup:NodeGroup"] == "replace"
    assert set(seen) <= {"aws:eks/nodeGroup:NodeGroup", "aws:ec2/launchTemplate:LaunchTemplate"}
