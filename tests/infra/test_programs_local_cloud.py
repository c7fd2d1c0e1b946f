"""The three programs on the embedded engine against the local cloud, and SageMaker's acting side beside them.

Model servers are the ones that tests speak with; everything else is what `ecomdeploy up` uses.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import programs
import pytest

from infra.rehearsal.cloud.client import LocalCloud
from infra.targets.base import Phase, Traffic
from infra.targets.catalog import targets
from infra.targets.moves import ShiftPolicy
from modelpack.errors import EcomdeployError, Unhealthy
from modelpack.home import Home
from modelpack.progress import Silent

pytestmark = pytest.mark.slow

BASE = {"service": "shop", "bucket": "shop-local-123456789012", "target": "sagemaker", "log_days": 30}
NAME = "shop-local"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[programs.Place]:
    folder = tmp_path_factory.mktemp("programs")
    cloud = LocalCloud(Home(folder / "home", folder / "cache"), host=programs.SPEAKING)
    cloud.ensure()
    yield programs.Place(cloud, folder)
    cloud.stop()


def release(letter: str, image: str, **more: Any) -> dict[str, Any]:
    common = {"key": letter * 12, "instance": "ml.c7i.xlarge", "count": 1, "environment": {}}
    return {**common, "image": image, **more}


def service(role: str, *releases: dict[str, Any]) -> dict[str, Any]:
    return {
        "service": "shop",
        "base": {"role_arn": role},
        "target": "sagemaker",
        "scale": {"min": 1, "max": 4, "target_rps": 100.0},
        "alarms": {"error_rate": 0.01, "p99_ms": 50.0},
        "releases": list(releases),
    }


def same_only(stack: Any) -> bool:
    return bool(set(stack.up().summary.resource_changes) == {"same"})


@pytest.fixture(scope="module")
def base(place: programs.Place) -> dict[str, Any]:
    stack = place.stack("base", NAME, BASE)
    outputs = {key: value.value for key, value in stack.up().outputs.items()}
    before = place.mutating()
    stack.refresh()
    assert same_only(stack)
    assert place.mutating() == before
    return outputs


def test_the_base_is_what_its_outputs_say(place: programs.Place, base: dict[str, Any]) -> None:
    assert base["repository_url"] == f"{place.variables['ECOMDEPLOY_REGISTRY']}/{NAME}"
    s3 = place.client("s3")
    assert s3.get_bucket_versioning(Bucket=base["bucket"])["Status"] == "Enabled"
    s3.put_object(Bucket=base["bucket"], Key="ledger/1.json", Body=b"{}")
    keys = place.client("kms").describe_key(KeyId=base["key_arn"])
    assert keys["KeyMetadata"]["Enabled"]


def test_the_command_of_docs_pulumi_prints_the_digest_of_the_newest_image(
    place: programs.Place, base: dict[str, Any]
) -> None:
    page = (programs.ROOT / "docs" / "pulumi.md").read_text()
    (command,) = re.findall(r"^\$ (digest=\$\(.*?\)\"\))$", page, re.DOTALL | re.MULTILINE)
    place.push(NAME, "older")
    image = place.push(NAME, "newer")
    there = {**os.environ, **place.variables, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    typed = ["bash", "-c", f"{command}; echo $digest"]
    done = subprocess.run(typed, env=there, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == image.rpartition("@")[2]


def move(traffic: Traffic, revision: str) -> Any:
    traffic.shift(NAME, revision, ShiftPolicy())
    return traffic.wait(NAME, revision, Silent(), 60)


def test_releases_come_and_go_and_traffic_is_the_rollouts(
    place: programs.Place, base: dict[str, Any]
) -> None:
    role, traffic = base["role_arn"], targets().get("sagemaker").traffic(place.variables)
    images = {letter: place.push(NAME, letter) for letter in "abc"}
    one, two = release("a", images["a"], initial=True), release("b", images["b"])
    stack = place.stack("service", NAME, service(role, one))
    first = stack.up().outputs["revisions"].value["a" * 12]
    seen = traffic.observe(NAME)
    assert (seen.revision, seen.images, seen.phase) == (first, (images["a"],), Phase.SERVING)

    before = place.mutating()
    assert same_only(stack)
    assert place.mutating() == before

    stack = place.stack("service", NAME, service(role, one, two))
    second = stack.up().outputs["revisions"].value["b" * 12]
    assert traffic.observe(NAME) == seen, "a dark release moves nothing"
    assert traffic.obstacles(second) == ()
    assert move(traffic, second).images == (images["b"],)
    assert traffic.shift(NAME, second, ShiftPolicy()) is False
    answer = traffic.invoke(NAME, b'{"instances": []}')
    assert answer.status == 200
    assert images["b"].endswith(answer.content_digest)

    stack.refresh()
    moved = [{**one, "initial": False}, {**two, "initial": True}]
    stack = place.stack("service", NAME, service(role, *moved))
    assert programs.changes(stack) == {}, "where traffic is, is no drift"
    assert move(traffic, first).images == (images["a"],)


def test_a_release_that_never_gets_ready_is_found_and_the_old_one_serves(
    place: programs.Place, base: dict[str, Any]
) -> None:
    """The emulator goes back by itself and ends InService, as SageMaker does."""
    role, traffic = base["role_arn"], targets().get("sagemaker").traffic(place.variables)
    good, bad = place.push(NAME, "good"), place.push(NAME, "bad")
    releases = [
        release("a", place.push(NAME, "a"), initial=True),
        release("d", good),
        release("e", bad, environment={"READY": "no"}),
    ]
    stack = place.stack("service", NAME, service(role, *releases))
    names = stack.up().outputs["revisions"].value
    move(traffic, names["d" * 12])
    with pytest.raises(Unhealthy, match="ended on"):
        move(traffic, names["e" * 12])
    seen = traffic.observe(NAME)
    assert (seen.revision, seen.images) == (names["d" * 12], (good,))
    assert traffic.invoke(NAME, b"{}").status == 200


def test_a_canary_of_a_tenth_is_asked_by_name(place: programs.Place, base: dict[str, Any]) -> None:
    """Two releases on one endpoint: requests with TargetVariant reach the one that they are for, and no other."""
    traffic, sagemaker = targets().get("sagemaker").traffic(place.variables), place.client("sagemaker")
    images = {letter: place.push(NAME, letter) for letter in "ab"}
    releases = [release("a", images["a"], initial=True), release("b", images["b"])]
    stack = place.stack("service", NAME, service(base["role_arn"], *releases))
    stack.destroy()
    names = place.stack("service", NAME, service(base["role_arn"], *releases)).up().outputs["revisions"].value
    ways = {"a": ("AllTraffic", 0.9), "b": ("Canary", 0.1)}
    both = []
    for letter, (variant, weight) in ways.items():
        own = sagemaker.describe_endpoint_config(EndpointConfigName=names[letter * 12])["ProductionVariants"][
            0
        ]
        both.append({**own, "VariantName": variant, "InitialVariantWeight": weight})
    sagemaker.create_endpoint_config(EndpointConfigName="both", ProductionVariants=both)
    move(traffic, "both")
    for letter in ways:
        for _ in range(5):
            answer = traffic.invoke(NAME, b'{"instances": []}', release=names[letter * 12])
            assert images[letter].endswith(answer.content_digest)
    move(traffic, names["a" * 12])
    with pytest.raises(EcomdeployError, match="serves nothing of"):
        traffic.invoke(NAME, b"{}", release=names["b" * 12])
    sagemaker.delete_endpoint_config(EndpointConfigName="both")


def test_a_pruned_release_is_in_the_way_of_its_own_roll_back(
    place: programs.Place, base: dict[str, Any]
) -> None:
    traffic = targets().get("sagemaker").traffic(place.variables)
    assert traffic.obstacles("shop-local-gone") == ("there is no endpoint configuration shop-local-gone",)


def test_service_and_base_leave_nothing(place: programs.Place, base: dict[str, Any]) -> None:
    place.stack("service", NAME, service(base["role_arn"])).destroy()
    sagemaker = place.client("sagemaker")
    assert sagemaker.list_endpoints()["Endpoints"] == []
    assert sagemaker.list_endpoint_configs()["EndpointConfigs"] == []
    assert sagemaker.list_models()["Models"] == []
    assert place.client("cloudwatch").describe_alarms()["MetricAlarms"] == []
    place.stack("base", NAME, BASE).destroy()
    assert place.client("ecr").describe_repositories()["repositories"] == []
    assert place.client("s3").list_buckets()["Buckets"] == []


def platform(**pool: Any) -> dict[str, Any]:
    one = {"name": "g6", "instances": ["g6.xlarge"], "min": 0, "max": 4, "capacity": "spot", **pool}
    return {"name": "eco-local", "platform": {"gpu_pools": [one]}}


def test_the_platform_stands_shows_drift_and_goes(place: programs.Place) -> None:
    stack = place.stack("platform", "local", platform())
    outputs = stack.up().outputs
    eks, group = place.client("eks"), outputs["node_groups"].value["g6"]
    assert eks.describe_cluster(name="eco-local")["cluster"]["status"] == "ACTIVE"
    found = eks.describe_nodegroup(clusterName="eco-local", nodegroupName=group)["nodegroup"]
    assert found["instanceTypes"] == ["g6.xlarge"]
    assert found["taints"][0]["key"] == "nvidia.com/gpu"

    before = place.mutating()
    stack.refresh()
    assert same_only(stack)
    assert place.mutating() == before

    eks.update_nodegroup_config(
        clusterName="eco-local",
        nodegroupName=group,
        scalingConfig={"desiredSize": 3, "minSize": 0, "maxSize": 9},
    )
    stack.refresh()
    assert programs.changes(stack) == {"eco-local-g6": "update"}
    stack.up()
    found = eks.describe_nodegroup(clusterName="eco-local", nodegroupName=group)["nodegroup"]
    assert found["scalingConfig"] == {"minSize": 0, "maxSize": 4, "desiredSize": 3}, (
        "the size is the scaler's"
    )

    stack = place.stack("platform", "local", platform(instances=["g6.2xlarge"], disk_gb=200))
    assert programs.changes(stack) == {"eco-local-g6": "replace", "eco-local-g6-template": "update"}
    stack.up()
    assert group not in eks.list_nodegroups(clusterName="eco-local")["nodegroups"]

    stack.destroy()
    ec2 = place.client("ec2")
    assert eks.list_clusters()["clusters"] == []
    ours = [{"Name": "tag:ecomdeploy:managed-by", "Values": ["ecomdeploy"]}]
    assert ec2.describe_vpcs(Filters=ours)["Vpcs"] == []
    assert ec2.describe_launch_templates(Filters=ours)["LaunchTemplates"] == []
