"""A service on Kubernetes whose servers follow its load, by the real KEDA, the real HorizontalPodAutoscaler and a real
Prometheus, with a client at the gateway throughout.

Periods pass twelve times as fast; the fifteen seconds between two looks of the autoscaler do not.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from kserve_shop import Gateway, places
from lent_layers import keep, lend
from own_shop import write_model, write_shop
from typed import Poller, Terminal
from waiting import wait_for

from infra.kubernetes.client import KubernetesClient
from infra.rehearsal.cloud.client import LocalCloud
from infra.targets.kserve.scaling import SCALED, SCALED_KIND
from modelpack.home import Home
from tests.kubernetes_cluster import addon_or_skip, cache, request_or_skip

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.kubernetes]

PACE, MOST = 12, 3
FURTHER = pytest.mark.nightly(like="test_servers_come_and_go_with_the_load")
SPEC = """\
version: 1
service: aisles
usecase: ./shop.py:ShopRecs
model: {path: model.onnx}
serve: {target: kserve}
scale: {min: 1, max: 3, target_rps: 2}
rollout: {strategy: all-at-once}
"""
"""A client of ours asks more than six times a second on any machine: as many servers as there may be."""


@dataclass(frozen=True)
class Live:
    """A service with a live release, how a customer asks it, and what the cluster says."""

    terminal: Terminal
    api: KubernetesClient
    gateway: Gateway

    def cloud(self) -> LocalCloud:
        return LocalCloud(Home(self.terminal.home, cache()))

    def wanted(self) -> int:
        (found,) = self.api.list("apps/v1", "Deployment", "default")
        return int(found["spec"]["replicas"])

    def serving(self) -> int:
        """Servers that answer."""
        (found,) = self.api.list("apps/v1", "Deployment", "default")
        return int((found.get("status") or {}).get("availableReplicas", 0))

    def notes(self) -> str:
        """What `status` tells beside that the release is verified."""
        found = self.terminal.type("status", "--json").json
        assert found["verified"] is True
        return " ".join(found["notes"])

    def pid(self, name: str) -> int:
        processes = self.cloud().kubernetes_status()["processes"]
        (found,) = [one for one in processes if one["name"] == name]
        return int(found["pid"] or 0)

    @contextmanager
    def under_load(self) -> Iterator[Poller]:
        """A client that asks without a pause, once all servers are there that it takes; none of its requests fails."""
        with Poller(self.gateway.ask) as poller:
            wait_for(lambda: self.serving() == MOST)
            yield poller
        assert poller.errors == []

    def fewest(self, seconds: float) -> int:
        """The fewest servers that were wanted in a time in which somebody might wrongly take some."""
        end, seen = time.monotonic() + seconds, MOST
        while time.monotonic() < end:
            seen = min(seen, self.wanted())
            time.sleep(0.2)
        return seen


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, shared_layers: Path) -> Iterator[Live]:
    request_or_skip()
    addon_or_skip("keda")
    if not shutil.which("prometheus"):
        pytest.skip("no prometheus here (apt-get install prometheus)")
    root = tmp_path_factory.mktemp("keda")
    (root / "work").mkdir()
    terminal = Terminal(root / "work", root / "home")
    lend(shared_layers, terminal.home / "images")
    write_shop(terminal.folder)
    write_model(terminal.folder / "model.onnx")
    (terminal.folder / "ecomdeploy.yaml").write_text(SPEC)
    try:
        cloud = LocalCloud(Home(terminal.home, cache()))
        cloud.ensure()
        cloud.set_pace(PACE)
        assert terminal.type("up", "--yes", "--json").json["verified"] is True
        predicted = terminal.type("predict", "--json").json
        gateway = Gateway(places(terminal).ports().gateway, predicted)
        yield Live(terminal, KubernetesClient(places(terminal).kubeconfig), gateway)
    finally:
        terminal.end()
        keep(terminal.home / "images", shared_layers)


def test_servers_come_and_go_with_the_load(live: Live) -> None:
    assert live.serving() == 1
    with live.under_load():
        (scaled,) = live.api.list(SCALED, SCALED_KIND, "default")
        assert scaled["spec"]["triggers"][0]["metadata"]["ignoreNullValues"] == "false"
        (made,) = live.api.list("autoscaling/v2", "HorizontalPodAutoscaler", "default")
        assert made["metadata"]["name"] == f"keda-hpa-{scaled['metadata']['name']}"
        assert "do not follow" not in live.notes()
        assert live.terminal.type("up", "--yes", "--json").json["outcome"] == "nothing to do"
        assert live.serving() == MOST, "which is the autoscaler's number, and not ours"
    wait_for(lambda: live.wanted() == live.serving() == 1)


@FURTHER
def test_a_prometheus_that_is_restarted_takes_no_server_of_a_loaded_service(live: Live) -> None:
    with live.under_load():
        before = live.pid("prometheus")
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: live.pid("prometheus") not in (0, before))
        assert live.fewest(45) == MOST
        assert "do not follow" not in live.notes()


@FURTHER
def test_servers_stay_while_the_operator_is_away_and_status_says_so(live: Live) -> None:
    with live.under_load() as poller:
        operator = live.pid("keda-operator")
        os.kill(operator, signal.SIGSTOP)
        try:
            assert (
                "its servers do not follow the load: KEDA does not answer for s0-prometheus" in live.notes()
            )
            poller.halt.set()
            assert live.fewest(60) == MOST, "the load is gone, and nobody knows"
        finally:
            os.kill(operator, signal.SIGCONT)
    wait_for(lambda: live.wanted() == live.serving() == 1)
    wait_for(lambda: "do not follow" not in live.notes())


@FURTHER
def test_a_killed_operator_and_a_killed_daemon_come_back(live: Live) -> None:
    before = {name: live.pid(name) for name in ("keda-operator", "keda-adapter")}
    cloud = live.cloud()
    os.kill(cloud.ensure().pid, signal.SIGKILL)
    wait_for(lambda: cloud.running() is None)
    cloud.ensure()
    wait_for(lambda: [one["state"] for one in cloud.kubernetes_status().get("addons", ())] == ["ready"])
    assert {name: live.pid(name) for name in before} == before, "they went on, and are known again"
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    with live.under_load():
        assert not set(before.values()) & {live.pid(name) for name in before}


@FURTHER
def test_a_second_autoscaler_on_the_same_pods_is_told(live: Live) -> None:
    (own,) = live.api.list(SCALED, SCALED_KIND, "default")
    metadata = {"name": "somebody-elses", "namespace": "default"}
    other = {"apiVersion": SCALED, "kind": SCALED_KIND, "metadata": metadata, "spec": own["spec"]}
    live.api.create(other)
    try:
        assert "ScaledObject somebody-elses scales the same pods, and of two neither works" in live.notes()
    finally:
        live.api.delete(other)


@FURTHER
def test_what_was_scaled_goes_and_leaves_nothing(live: Live) -> None:
    """The last of this file: it takes the service down."""
    live.terminal.type("down", "--yes", "--json")
    assert live.api.list(SCALED, SCALED_KIND, "default") == []
    wait_for(lambda: not live.api.list("autoscaling/v2", "HorizontalPodAutoscaler", "default"))
    wait_for(lambda: not live.api.list("apps/v1", "Deployment", "default"))
