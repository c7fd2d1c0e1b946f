"""Who owns what is live: a second checkout, a copy of the folder, a lost one, another name, two writers at once."""

from __future__ import annotations

import re
import shutil
import signal
from dataclasses import replace
from typing import Any

import pytest
from typed import SECONDS, Terminal

pytestmark = pytest.mark.slow

ENDPOINT, STATE = "shop-local", ".ecomdeploy"
POOLS = "\nplatform: {gpu_pools: [{name: g6, instances: [g6.xlarge], min: 0, max: 4, capacity: spot}]}\n"


@pytest.fixture
def live(shop: Terminal) -> Terminal:
    """Release 1 serves."""
    shop.type("up", "--json")
    return shop


def change(shop: Terminal, word: str) -> None:
    """Another release of the same pack."""
    shop.edit(
        r"^  instance: (ml\S+).*(\n  environment: .*)?$", rf"  instance: \1\n  environment: {{V: {word}}}"
    )


def checkout(shop: Terminal, name: str, *without: str) -> Terminal:
    """The project's folder once more, as git or `cp` would make it."""
    there = shop.folder.with_name(name)
    shutil.copytree(shop.folder, there, ignore=shutil.ignore_patterns(*without))
    return replace(shop, folder=there)


def served(shop: Terminal) -> tuple[int, str]:
    """Which release answers, and on what the endpoint is."""
    found = shop.client("sagemaker").describe_endpoint(EndpointName=ENDPOINT)
    return shop.type("predict", "--json").json["release"], found["EndpointConfigName"]


@pytest.mark.parametrize(
    "without",
    [
        pytest.param(
            (STATE,),
            marks=pytest.mark.nightly(like="test_another_folder_takes_nothing_unless_it_is_asked_to"),
            id="a checkout",
        ),
        pytest.param((), id="a copy, its state with it"),
    ],
)
def test_another_folder_takes_nothing_unless_it_is_asked_to(live: Terminal, without: tuple[str, ...]) -> None:
    """aws-cdk, pulumi: a branch's folder that is thrown away with `down --all` took what production served."""
    before, other = served(live), checkout(live, "experiment", *without)
    change(other, "experiment")
    calls = live.counts()["mutating"]
    for verb in (("up",), ("down", "--all", "--yes"), ("down", "--yes"), ("rollback", "--yes"), ("recover",)):
        refused = other.type(*verb, expect=2)
        assert f"{live.folder}" in refused.err, verb
        assert "--adopt" in refused.err, verb
    assert any("belongs to the project in" in note for note in other.type("plan", "--json").json["notes"])
    told = other.type("status", "--json").json
    assert any(f"{live.folder}" in line for line in (*told["notes"], *told["problems"]))
    assert live.counts()["mutating"] == calls
    assert served(live) == before
    assert live.type("up", "--json").json["outcome"] == "nothing to do"

    other.type("up", "--adopt", "--json")
    assert served(other)[0] == 2
    assert f"{other.folder}" in live.type("up", expect=2).err
    other.type("down", "--all", "--yes", "--json")
    assert live.client("sagemaker").list_endpoints()["Endpoints"] == []


@pytest.mark.nightly(like="test_another_folder_takes_nothing_unless_it_is_asked_to")
def test_a_copy_under_another_name_lives_beside_the_original(live: Terminal) -> None:
    """A folder is copied to begin another service with, state and all."""
    before, other = served(live), checkout(live, "store")
    other.edit(r"^service: \S+", "service: store")
    assert other.type("up", "--json").json["endpoint"] == "store-local"
    begun = [one.type("logs", "--lines", "1000").out.count('"listening"') for one in (live, other)]
    assert begun == [1, 1], "of the same image each shows its own server's lines"
    assert f"{live.folder}" in other.type("down", "--service", "shop", "--yes", expect=2).err
    assert served(live) == before
    other.type("down", "--all", "--yes", "--json")
    assert served(live) == before
    assert live.type("up", "--json").json["outcome"] == "nothing to do"


def test_a_lost_folder_comes_back_with_its_history(live: Terminal) -> None:
    """skypilot#4313: the folder with all state is deleted."""
    change(live, "a")
    live.type("up", "--json")
    before = served(live)
    shutil.rmtree(live.folder / STATE)
    for verb in (("up",), ("rollback", "--yes"), ("down", "--all", "--yes")):
        assert "ecomdeploy recover" in live.type(*verb, expect=2).err
    told = live.type("status", "--json", expect=None).json
    assert "records of 2 releases" in told["problems"][0]
    live.type("recover", "--json")
    assert served(live) == before
    states = {one["number"]: one["state"] for one in live.type("releases", "--json").json}
    assert states == {1: "superseded", 2: "live"}
    back = live.type("rollback", "--yes", "--json").json
    assert (back["release"], back["restores"]) == (3, 1)
    live.type("down", "--all", "--yes", "--json")
    sagemaker = live.client("sagemaker")
    assert sagemaker.list_models()["Models"] == sagemaker.list_endpoint_configs()["EndpointConfigs"] == []


@pytest.mark.nightly(like="test_a_lost_folder_comes_back_with_its_history")
def test_what_is_left_of_a_lost_folder_and_bucket_is_told(live: Terminal) -> None:
    """Not "nothing is deployed": neither while the endpoint serves, nor when only the base is there. Whose it was
    nobody can tell any more, so `up` asks."""
    shutil.rmtree(live.folder / STATE)
    s3, bucket = live.client("s3"), f"{ENDPOINT}-123456789012"
    for version in s3.list_object_versions(Bucket=bucket).get("Versions", []):
        s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
    told = live.type("status", "--json", expect=None).json
    assert f"there is an endpoint {ENDPOINT}" in told["problems"][0]
    sagemaker = live.client("sagemaker")
    sagemaker.delete_endpoint(EndpointName=ENDPOINT)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=ENDPOINT, WaiterConfig={"Delay": 1})
    told = live.type("status", "--json", expect=None).json
    assert f":{ENDPOINT}" in told["problems"][0] or f"repository/{ENDPOINT}" in told["problems"][0]
    assert "ecomdeploy up --adopt" in live.type("up", "--json", expect=1).json["error"]["hint"]
    assert live.type("up", "--adopt", "--yes", "--json").json["verified"]


@pytest.mark.nightly(like="test_a_lost_folder_comes_back_with_its_history")
def test_a_renamed_service_leaves_nothing_unnamed(live: Terminal) -> None:
    """aws-cdk#14911, kamal-proxy#61."""
    live.edit(r"^service: \S+", "service: store")
    former = f"still there: endpoint {ENDPOINT}"
    assert any(former in note for note in live.type("plan", "--json").json["notes"])
    done = live.type("up", "--json").json
    assert (done["endpoint"], done["verified"]) == ("store-local", True)
    assert any(former in note for note in done["notes"])
    live.type("down", "--service", "shop", "--all", "--yes", "--json")
    names = [one["EndpointName"] for one in live.client("sagemaker").list_endpoints()["Endpoints"]]
    assert names == ["store-local"]
    assert not any(former in note for note in live.type("status", "--json").json["notes"])


@pytest.mark.nightly(like="test_a_lost_folder_comes_back_with_its_history")
def test_another_region_is_refused_until_all_is_down_here(live: Terminal) -> None:
    """pulumi-aws#3777, pulumi#1391; then a whole life in that region."""
    before = served(live)
    live.edit(r"^  local: \{cloud: local\}.*$", "  local: {cloud: local, region: eu-west-1}")
    for verb in ("plan", "up", "status"):
        assert "was deployed in us-east-1" in live.type(verb, expect=2).err
    live.edit(r", region: eu-west-1", "")
    assert served(live) == before
    live.type("down", "--all", "--yes", "--json")
    live.edit(r"\{cloud: local\}", "{cloud: local, region: eu-west-1}")
    assert live.type("up", "--json").json["verified"]
    assert live.type("status", "--json").json["verified"]
    assert live.client("sagemaker").list_endpoints()["Endpoints"] == [], "this client is for us-east-1"


@pytest.mark.nightly(
    like="tests/stacks/test_shared_platform.py::test_two_services_do_not_write_the_platform_at_once"
)
def test_two_writers_at_once_are_one_after_the_other(live: Terminal) -> None:
    """And `down --all` waits for nobody: it is refused while `up` is at work."""
    change(live, "a")
    first = live.start("up", "--json")
    assert first.stderr is not None
    next(line for line in first.stderr if "created" in line)
    first.send_signal(signal.SIGSTOP)  # so that it is at work however fast it is
    try:
        for verb in (("up",), ("down", "--all", "--yes"), ("rollback", "--yes")):
            assert f"process {first.pid}" in live.type(*verb, expect=3).err
    finally:
        first.send_signal(signal.SIGCONT)
    first.communicate(timeout=SECONDS)
    assert first.returncode == 0
    assert [one["state"] for one in live.type("releases", "--json").json].count("live") == 1
    assert live.type("up", "--json").json["outcome"] == "nothing to do"


@pytest.mark.nightly(
    like="tests/stacks/test_shared_platform.py::test_down_all_leaves_a_platform_that_another_service_uses"
)
def test_a_platform_of_two_services_is_taken_down_by_neither_alone(terminal: Terminal) -> None:
    """What the second plans is what its `up` then does, and it says whose the things are."""
    terminal.type("init", "recommendation", "shop")
    shop = terminal.into("shop")
    file = shop.folder / "ecomdeploy.yaml"
    file.write_text(file.read_text() + POOLS)
    other = checkout(shop, "searcher")
    other.edit(r"^service: \S+", "service: other")
    shop.type("platform", "up", "--yes", "--json")
    planned = other.type("platform", "plan", "--json").json
    done = other.type("platform", "up", "--yes", "--json").json
    assert acts(done) == acts(planned)
    assert not any("made by this project" in note for one in (planned, done) for note in one["notes"])
    eks, ec2 = shop.client("eks"), shop.client("ec2")
    ours = [{"Name": "tag:ecomdeploy:managed-by", "Values": ["ecomdeploy"]}]
    assert (len(eks.list_clusters()["clusters"]), len(ec2.describe_vpcs(Filters=ours)["Vpcs"])) == (1, 1)
    assert shop.type("platform", "plan", "--json").json["changes"] == []

    assert "used by" in other.type("platform", "down", "--yes", expect=2).err
    other.type("down", "--all", "--yes", "--json")
    assert len(eks.list_clusters()["clusters"]) == 1
    assert shop.type("platform", "plan", "--json").json["changes"] == []
    shop.type("platform", "down", "--yes", "--json")
    assert eks.list_clusters()["clusters"] == []


def acts(document: Any) -> set[tuple[str, str]]:
    """Operation and resource."""
    return {(one["op"], re.sub(r".*::", "", one["urn"])) for one in document["changes"]}
