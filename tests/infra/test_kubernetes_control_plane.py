"""The real control plane: brought up, killed piece by piece, ended."""

from __future__ import annotations

import json
import os
import signal
import stat
from pathlib import Path

import pytest
from waiting import wait_for

from infra.kubernetes.client import KubernetesUnreachable
from infra.rehearsal.cloud.kubernetes.binaries import NAMES
from infra.rehearsal.cloud.kubernetes.local import LocalKubernetes
from infra.rehearsal.cloud.kubernetes.places import GATEWAY, GATEWAY_CLASS, KubernetesPlaces
from modelpack.home import write_atomically
from tests.kubernetes_cluster import Cluster, run_cluster

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]


def test_a_cluster_has_its_gateway(cluster: Cluster) -> None:
    namespace, _, name = GATEWAY.partition("/")
    found = cluster.client.get("gateway.networking.k8s.io/v1", "Gateway", name, namespace)
    assert found
    assert found["spec"]["gatewayClassName"] == GATEWAY_CLASS


def test_only_this_user_reads_its_files(cluster: Cluster) -> None:
    files = [
        path
        for folder in (cluster.places.certificates, cluster.places.root)
        for path in folder.iterdir()
        if path.is_file()
    ]
    assert files
    assert {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in files} == {
        path.name: "0o600" for path in files
    }
    assert stat.S_IMODE(cluster.places.root.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", NAMES)
def test_a_killed_one_comes_back_with_its_data(cluster: Cluster, namespace: str, name: str) -> None:
    made = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "kept", "namespace": namespace},
        "data": {"word": "before"},
    }
    uid = cluster.client.create(made)["metadata"]["uid"]
    keeper = cluster.local.keepers[name]
    killed = keeper.identity
    os.kill(killed.pid, signal.SIGKILL)
    wait_for(lambda: keeper.identity and keeper.identity != killed)

    def is_back() -> bool:
        try:
            found = cluster.client.get("v1", "ConfigMap", "kept", namespace)
            return found is not None and found["metadata"]["uid"] == uid
        except KubernetesUnreachable:
            return False

    wait_for(is_back)
    kept = cluster.client.get("v1", "ConfigMap", "kept", namespace)
    assert kept is not None
    assert kept["data"] == {"word": "before"}
    # the controllers work again: they give a new namespace its account
    wait_for(lambda: cluster.new_namespace())


def test_an_addon_that_is_gone_or_only_ever_ends_leaves_the_rest_ready(tmp_path: Path) -> None:
    places = KubernetesPlaces(tmp_path / "kubernetes")
    places.root.mkdir(mode=0o700)
    write_atomically(
        places.addon("keda"), json.dumps({"folder": str(tmp_path / "gone")}).encode(), private=True
    )
    broken = tmp_path / "broken"
    (broken / "bin").mkdir(parents=True)
    (broken / "definitions").mkdir()
    for name in ("operator", "adapter"):
        (broken / "bin" / name).write_text("#!/bin/sh\necho 'it cannot be run here'; exit 3\n")
        (broken / "bin" / name).chmod(0o755)

    def keda(local: LocalKubernetes) -> tuple[str, str]:
        (found,) = local.status()["addons"]
        return found["state"], found["reason"]

    with run_cluster(tmp_path) as running:
        wait_for(lambda: keda(running.local)[0] == "failed")
        assert keda(running.local)[1].endswith("ecomdeploy cloud kubernetes install --keda")
        running.local.add_addon("keda", broken)
        wait_for(lambda: keda(running.local)[0] == "failed")
        assert "keda-operator ends again and again: it cannot be run here; see " in keda(running.local)[1]
        assert running.local.status()["state"] == "ready"
        assert {one["name"] for one in running.local.status()["processes"]} == set(NAMES)
        # an API that nobody answers would keep it from going
        name = running.new_namespace()
        gone = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        running.client.delete(gone)
        wait_for(lambda: running.client.get("v1", "Namespace", name) is None)


def test_a_new_keeper_takes_over_what_a_killed_one_left(tmp_path: Path) -> None:
    with run_cluster(tmp_path) as first:
        before = {name: first.local.keepers[name].identity for name in NAMES}
        # a keeper that is killed says nothing to anybody: a second one beside it is what comes then
        with run_cluster(tmp_path) as second:
            assert {name: second.local.keepers[name].identity for name in NAMES} == before
            assert [second.local.keepers[name].starts for name in NAMES] == [0] * len(NAMES)
            for name in NAMES:
                first.local.keepers[name]._stopping.set()
        assert not any(identity.alive for identity in before.values())
