"""The product's story on Kubernetes: a real control plane, with a client at the gateway from the first release to the
last."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kserve_shop import ISVC, OURS, ROUTE, Gateway, backends, going, move_to_kserve, places
from typed import Poller, Terminal
from waiting import wait_for

from infra.kubernetes.client import KubernetesClient, Object
from tests.kubernetes_cluster import request_or_skip

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.kubernetes]


@pytest.fixture
def on_kserve(shop: Terminal) -> Terminal:
    """The packed project, for the other target."""
    request_or_skip()  # the binaries, or a reason to skip
    move_to_kserve(shop)
    return shop


def pods(api: KubernetesClient) -> dict[str, str]:
    """Pods of the service that are to stay, with when their server began."""
    found = [one for one in api.list("v1", "Pod", "default", OURS) if not going(one)]
    return {
        one["metadata"]["name"]: json.dumps([each["state"] for each in one["status"]["containerStatuses"]])
        for one in found
    }


def test_releases_come_and_go_without_a_failed_request(on_kserve: Terminal) -> None:
    shop = on_kserve
    first = shop.type("up", "--yes", "--json").json
    assert (first["state"], first["verified"], first["release"]) == ("live", True, 1)
    predicted = shop.type("predict", "--json").json
    api = KubernetesClient(places(shop).kubeconfig)
    gateway = Gateway(places(shop).ports().gateway, predicted)
    assert gateway.ask() == predicted["predictions"]
    with Poller(gateway.ask) as poller:
        assert shop.type("up", "--yes", "--json").json["outcome"] == "nothing to do"
        assert shop.type("plan", "--json").json["changes"] == []
        second_takes_over(shop, api)
        broken_one_gets_no_traffic(shop, api)
        first_comes_back(shop, api, first)
        assert gateway.ask() == predicted["predictions"]
    assert poller.requests > 20
    assert poller.errors == []
    assert any("ready" in line for line in shop.type("logs").out.splitlines())
    nothing_is_left(shop, api)


def second_takes_over(shop: Terminal, api: KubernetesClient) -> None:
    shop.edit("STORY: one", "STORY: two")
    changes = shop.type("plan", "--json").json["changes"]
    assert [change["op"] for change in changes] == ["create"]
    done = shop.type("up", "--yes", "--json").json
    assert (done["release"], done["state"], done["verified"]) == (2, "live", True)
    assert len(api.list(*ISVC, "default", OURS)) == 2
    assert len(backends(api)) == 1
    images = {each["imageID"].rpartition("@")[2] for one in running(api) for each in one}
    assert images == {done["image"].rpartition("@")[2]}


def running(api: KubernetesClient) -> list[list[Object]]:
    return [one["status"]["containerStatuses"] for one in api.list("v1", "Pod", "default", OURS)]


def broken_one_gets_no_traffic(shop: Terminal, api: KubernetesClient) -> None:
    """It is ready, by all that Kubernetes can see, and takes no request."""
    before = backends(api)
    shop.edit("STORY: two", 'ECOMDEPLOY_LIMIT_BODY: "5"')
    failed = shop.type("up", "--yes", "--json", expect=4)
    assert "golden request 1: answered 413" in failed.json["error"]["what"]
    assert [one["state"] for one in shop.type("releases", "--json").json] == ["superseded", "live", "failed"]
    assert backends(api) == before
    assert failed.json["error"]["hint"] == "ecomdeploy logs --release 3"
    assert any("ready" in line for line in shop.type("logs", "--release", "3").out.splitlines())
    status = shop.type("status", "--json").json
    assert (status["release"], status["verified"]) == (2, True)
    assert len(api.list(*ISVC, "default", OURS)) == 2  # the third is gone


def first_comes_back(shop: Terminal, api: KubernetesClient, first: dict[str, Any]) -> None:
    """Nothing is started for it: the same pods, and the same servers in them."""
    before, there = backends(api), pods(api)
    done = shop.type("rollback", "--yes", "--json").json
    assert (done["restores"], done["image"], done["verified"]) == (1, first["image"], True)
    assert backends(api) != before
    assert pods(api) == there


def nothing_is_left(shop: Terminal, api: KubernetesClient) -> None:
    shop.type("down", "--yes", "--json")
    assert api.list(*ISVC, "default") == []
    assert api.list(*ROUTE, "default") == []
    # KServe's children go by garbage collection, in its own time
    wait_for(lambda: left(api) == [])
    assert shop.type("down", "--yes", "--json").json["changes"] == []
    shop.type("down", "--all", "--yes", "--json")


def left(api: KubernetesClient) -> list[str]:
    """What is there of the service beside what Pulumi made."""
    kinds = (
        ("v1", "Pod"),
        ("apps/v1", "Deployment"),
        ("autoscaling/v2", "HorizontalPodAutoscaler"),
        ("v1", "Secret"),
        ("policy/v1", "PodDisruptionBudget"),
    )
    return [one["metadata"]["name"] for kind in kinds for one in api.list(*kind, "default", OURS)]
