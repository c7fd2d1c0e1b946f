"""`kill -9` of each program of the local Kubernetes while a release rolls out, with a client at the gateway: what
served serves on, the next `up` converges, and the cluster has what it should and nothing besides."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kserve_shop import ISVC, OURS, ROUTE, Gateway, backends, going, places, ship_first
from typed import SECONDS, Poller, Terminal
from waiting import wait_for

from infra.kubernetes.client import KubernetesClient, KubernetesRefused, KubernetesUnreachable
from infra.rehearsal.cloud.addresses import Identity
from infra.rehearsal.cloud.kubernetes.processes import ProcessRecord
from tests.kubernetes_cluster import request_or_skip

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.kubernetes]


@dataclass
class Live:
    """A release that is live, and how many there have been."""

    shop: Terminal
    api: KubernetesClient
    gateway: Gateway
    answer: Any
    releases: int = 1
    asked: list[str] = field(default_factory=list)

    def ask(self) -> None:
        """Write down how it went: "." answered as it should be, "x" not."""
        self.asked.append("x")
        assert self.gateway.ask() == self.answer
        self.asked[-1] = "."


@pytest.fixture(scope="module")
def live(packed: Terminal, shared_layers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The first release, for all of these tests: each of them ships the next."""
    request_or_skip()
    root = tmp_path_factory.mktemp("kills")
    shop = ship_first(packed, shared_layers, root)
    predicted = shop.type("predict", "--json").json
    api = KubernetesClient(places(shop).kubeconfig)
    yield Live(shop, api, Gateway(places(shop).ports().gateway, predicted), predicted["predictions"])
    shop.end()
    shutil.rmtree(root, ignore_errors=True)


def is_declared(live: Live, before: set[str]) -> bool:
    """There is the new release's InferenceService."""
    return bool(services(live.api) - before)


def is_made(live: Live, before: set[str]) -> bool:
    """KServe has made its Deployment."""
    found = live.api.list("apps/v1", "Deployment", "default", OURS)
    return any(one["metadata"]["name"].removesuffix("-predictor") not in before for one in found)


def is_starting(live: Live, before: set[str]) -> bool:
    """Its server runs, and has not loaded its model yet."""
    new = services(live.api) - before
    return any(
        pod["metadata"]["labels"]["serving.kserve.io/inferenceservice"] in new and is_running(pod)
        for pod in live.api.list("v1", "Pod", "default", OURS)
    )


def is_running(pod: dict[str, Any]) -> bool:
    found = pod["status"].get("containerStatuses") or ()
    return any("running" in one["state"] and not one["ready"] for one in found)


def has_traffic(live: Live, before: set[str]) -> bool:
    """The route leads to it."""
    return not {name.removesuffix("-predictor") for name in backends(live.api)} & before


def services(api: KubernetesClient) -> set[str]:
    return {one["metadata"]["name"] for one in api.list(*ISVC, "default", OURS)}


MOMENTS: dict[str, Callable[[Live, set[str]], bool]] = {
    "etcd": is_made,
    "kube-apiserver": is_made,
    "kube-controller-manager": is_declared,
    "node_agent": is_starting,
    "gateway": has_traffic,
    "kserve": is_declared,
}
IN_CI = ("gateway",)
SERVES_NOTHING = ("gateway", "node_agent")
"""Without whom nothing is served until they are back: the way in, and the machine, whose pods end and start with it."""


@pytest.mark.parametrize(
    "name",
    [
        name
        if name in IN_CI
        else pytest.param(
            name,
            marks=pytest.mark.nightly(like="test_what_served_serves_on_and_the_next_up_converges"),
        )
        for name in MOMENTS
    ],
)
def test_what_served_serves_on_and_the_next_up_converges(live: Live, name: str) -> None:
    shop, before = live.shop, services(live.api)
    shop.edit(r"STORY: \w+", f"STORY: after{live.releases}")
    live.asked.clear()
    with Poller(live.ask):
        rollout = shop.start("up", "--yes", "--json")
        wait_for_moment(rollout, lambda: MOMENTS[name](live, before))
        killed = kill(shop, name)
        assert rollout.poll() is None, "it was killed while the release rolled out"
        said = rollout.communicate(timeout=SECONDS)
        assert "Traceback" not in said[1], said[1]
        # 1: the API went away in the middle of an answer
        assert rollout.returncode in (0, 4, 5) or "does not answer" in said[0], said
        wait_for(lambda: (now := process(shop, name)) and now != killed)
        done = shop.type("up", "--yes", "--json").json
        live.releases += 1
        assert (done["state"], done["verified"]) == ("live", True)
        enough = len(live.asked) + 5
        wait_for(lambda: len(live.asked) > enough)
    told = "".join(live.asked)
    # only while nobody was there, and never again once one was answered
    assert re.fullmatch(r"\.+x*\.+" if name in SERVES_NOTHING else r"\.+", told), told
    assert shop.type("status", "--json").json["verified"] is True
    assert shop.type("plan", "--json").json["changes"] == []
    exactly_what_is_declared(live, before)


def wait_for_moment(rollout: subprocess.Popen[str], moment: Callable[[], bool]) -> None:
    """Asked without a pause: it may be over soon."""
    while not moment():
        assert rollout.poll() is None, rollout.communicate()
        time.sleep(0)


def process(shop: Terminal, name: str) -> Identity | None:
    found = ProcessRecord(places(shop).records / f"{name}.json").read()
    return found[0] if found else None


def kill(shop: Terminal, name: str) -> Identity:
    found = process(shop, name)
    assert found is not None
    os.kill(found.pid, signal.SIGKILL)
    return found


def exactly_what_is_declared(live: Live, before: set[str]) -> None:
    """Of the cluster itself: the new release and the one before it, each with its pods, and a route to the new one."""
    api = live.api
    wait_for(lambda: is_settled(api))
    [backend] = backends(api)
    newest = backend.removesuffix("-predictor")
    assert newest not in before
    isvc = api.get(*ISVC, newest, "default")
    assert isvc is not None
    variables = isvc["spec"]["predictor"]["containers"][0]["env"]
    assert {"name": "STORY", "value": f"after{live.releases - 1}"} in variables
    assert len(api.list(*ROUTE, "default", OURS)) == 1
    running = {
        name for name in services(api) if api.get("apps/v1", "Deployment", f"{name}-predictor", "default")
    }
    assert newest in running
    assert len(running) == 2
    assert {
        pod["metadata"]["labels"]["serving.kserve.io/inferenceservice"]
        for pod in api.list("v1", "Pod", "default", OURS)
    } == running


def is_settled(api: KubernetesClient) -> bool:
    """No pod is on its way in or out."""
    try:
        pods = api.list("v1", "Pod", "default", OURS)
    except (KubernetesRefused, KubernetesUnreachable):
        return False
    return all(
        not going(pod)
        and all(one["ready"] for one in pod["status"].get("containerStatuses") or [{"ready": False}])
        for pod in pods
    )
