"""The local cloud's Kubernetes through the client: it outlives a killed daemon, and comes back after a stop."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import wait_for

from infra.kubernetes.client import KubernetesClient
from infra.rehearsal.cloud.addresses import Identity
from infra.rehearsal.cloud.client import LocalCloud
from infra.rehearsal.cloud.kubernetes import binaries
from infra.rehearsal.cloud.kubernetes.binaries import NAMES, Binaries
from modelpack.errors import BadInput
from modelpack.home import Home
from tests.kubernetes_cluster import cache, request_or_skip

pytestmark = pytest.mark.kubernetes
KEPT = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "kept", "namespace": "default"},
    "data": {"word": "before"},
}


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[LocalCloud]:
    request_or_skip()
    made = LocalCloud(Home(tmp_path, cache()))
    yield made
    made.stop()


def processes(cloud: LocalCloud) -> dict[str, Identity]:
    """Those of the control plane."""
    found = {one["name"]: Identity.of(one["pid"]) for one in cloud.kubernetes_status()["processes"]}
    return {name: identity for name in NAMES if (identity := found[name])}


def has_what_was_made(cloud: LocalCloud) -> bool:
    client = KubernetesClient(cloud.ensure_kubernetes().kubeconfig)
    try:
        return client.get("v1", "ConfigMap", "kept", "default") is not None
    finally:
        client.close()


@pytest.mark.nightly(
    like="tests/infra/test_kubernetes_control_plane.py::test_a_new_keeper_takes_over_what_a_killed_one_left"
)
@pytest.mark.slow
def test_it_outlives_whoever_keeps_it(cloud: LocalCloud) -> None:
    access = cloud.ensure_kubernetes()
    assert cloud.environment()["KUBECONFIG"] == str(access.kubeconfig)
    assert cloud.environment()["ECOMDEPLOY_GATEWAY"] == access.gateway
    client = KubernetesClient(access.kubeconfig)
    client.create(KEPT)
    client.close()
    before = processes(cloud)
    assert set(before) == set(NAMES)

    os.kill(cloud.ensure().pid, signal.SIGKILL)
    wait_for(lambda: cloud.running() is None)
    cloud.ensure()
    wait_for(lambda: cloud.kubernetes_status()["state"] == "ready")
    assert processes(cloud) == before
    assert has_what_was_made(cloud)

    cloud.stop()
    assert not any(identity.alive for identity in before.values())
    cloud.ensure()
    wait_for(lambda: cloud.kubernetes_status()["state"] == "ready")
    assert has_what_was_made(cloud)

    left = processes(cloud)
    os.kill(cloud.ensure().pid, signal.SIGKILL)
    wait_for(lambda: cloud.running() is None)
    assert cloud.stop() is not None
    assert not any(identity.alive for identity in left.values())

    cloud.reset()
    assert cloud.kubernetes_status()["state"] == "stopped"
    assert "KUBECONFIG" not in cloud.environment()
    assert not cloud.folder.kubernetes.exists()


def test_without_binaries_it_is_said_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    with pytest.raises(BadInput) as refused:
        binaries.require(tmp_path)
    assert refused.value.hint == "ecomdeploy cloud kubernetes install"


def test_the_users_own_binaries_come_first(tmp_path: Path) -> None:
    for folder, names in (("assets", NAMES[:2]), ("path", NAMES)):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).touch(mode=0o755)
    found = binaries.find(
        tmp_path, {"KUBEBUILDER_ASSETS": str(tmp_path / "assets"), "PATH": str(tmp_path / "path")}
    )
    assert found == Binaries.of({name: tmp_path / "path" / name for name in NAMES}, "PATH")
