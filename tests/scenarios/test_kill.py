"""`kill -9` of `up` at five moments, and of the local cloud: the next command converges, nothing is left or doubled."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from typed import Terminal, asking

pytestmark = [pytest.mark.slow, pytest.mark.network]

MOMENTS = ("created Key", "Pushing", "Provisioning release", "created Endpoint", "Shifting")
"""Words of the progress: in the base stack, before the push, before and inside the service stack, at the route."""


def test_up_survives_a_kill_at_five_moments(shop: Terminal) -> None:
    """One `up` after the other is killed, each somewhat further on; then one is let through."""
    for moment in MOMENTS:
        code = shop.killed("up", "--yes", "--json", when=says(moment))
        assert code == -signal.SIGKILL, moment
    done = shop.type("up", "--yes", "--json").json
    assert (done["state"], done["verified"]) == ("live", True)
    asking(shop, shop.type("predict", "--json").json)()
    exactly_one_of_each(shop)
    assert shop.type("plan", "--json").json["changes"] == []
    shop.type("down", "--all", "--yes", "--json")
    aliases = [one["AliasName"] for one in shop.client("kms").list_aliases()["Aliases"]]
    assert [name for name in aliases if not name.startswith("alias/aws/")] == []
    assert shop.client("s3").list_buckets()["Buckets"] == []


@pytest.mark.nightly(like="test_up_survives_a_kill_at_five_moments")
def test_an_old_release_serves_through_kills_of_the_next(shop: Terminal) -> None:
    shop.type("up", "--yes", "--json")
    ask = asking(shop, shop.type("predict", "--json").json)
    answer = ask()
    shop.edit(r"instance: ml.c7i.xlarge", "instance: ml.c7i.2xlarge")
    for moment in ("Provisioning release", "Shifting"):
        code = shop.killed("up", "--yes", "--json", when=says(moment))
        assert code == -signal.SIGKILL, moment
        assert ask() == answer
    done = shop.type("up", "--yes", "--json").json
    assert (done["release"], done["state"], done["verified"]) == (2, "live", True)
    assert ask() == answer
    sagemaker = shop.client("sagemaker")
    assert len(sagemaker.list_endpoint_configs()["EndpointConfigs"]) == 2
    assert len(sagemaker.list_endpoints()["Endpoints"]) == 1


@pytest.mark.nightly(
    like="tests/infra/cloud/test_cloud_inference.py::test_real_inference_comes_back_after_a_kill"
)
def test_a_killed_cloud_comes_back_with_its_release(shop: Terminal) -> None:
    shop.type("up", "--yes", "--json")
    answer = shop.type("predict", "--json").json["predictions"]
    pid = shop.type("cloud", "status", "--json").json["pid"]
    os.kill(pid, signal.SIGKILL)
    assert shop.type("predict", "--json").json["predictions"] == answer
    assert shop.type("status", "--json").json["verified"] is True
    assert shop.type("up", "--yes", "--json").json["state"] == "live"
    exactly_one_of_each(shop)


def says(moment: str) -> Callable[[str], bool]:
    return lambda said: moment in said


def exactly_one_of_each(shop: Terminal) -> None:
    sagemaker = shop.client("sagemaker")
    assert len(sagemaker.list_endpoints()["Endpoints"]) == 1
    assert len(sagemaker.list_models()["Models"]) == 1
    assert len(sagemaker.list_endpoint_configs()["EndpointConfigs"]) == 1
    assert len(shop.client("s3").list_buckets()["Buckets"]) == 1
    assert len(shop.client("ecr").describe_repositories()["repositories"]) == 1
    keys = shop.client("kms")
    enabled = [
        one["KeyId"]
        for one in keys.list_keys()["Keys"]
        if keys.describe_key(KeyId=one["KeyId"])["KeyMetadata"]["KeyState"] == "Enabled"
    ]
    assert len(enabled) == 1
    assert len(shop.client("iam").list_roles()["Roles"]) == 1
