"""The local Kubernetes' starts and ends by themselves: its binaries are scripts that only tell that they ran."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from waiting import wait_for

from infra.rehearsal.cloud.addresses import LOOPBACK, Identity
from infra.rehearsal.cloud.client import LocalCloud
from infra.rehearsal.cloud.kubernetes.addons.source import SOURCES, AddonSource
from infra.rehearsal.cloud.kubernetes.binaries import NAMES, Binaries
from infra.rehearsal.cloud.kubernetes.local import LocalKubernetes, StartRequest
from infra.rehearsal.cloud.kubernetes.parts import Images
from infra.rehearsal.cloud.kubernetes.places import KubernetesPlaces
from infra.rehearsal.cloud.kubernetes.processes import ProcessRecord
from modelpack.errors import BadInput
from modelpack.home import Home


def request(folder: Path) -> StartRequest:
    """Binaries that write their name into `<folder>/ran` and never listen."""
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_text(f"#!/bin/sh\necho {name} >> {folder}/ran\nexec sleep 1000\n")
        (folder / name).chmod(0o755)
    found = Binaries.of({name: folder / name for name in NAMES}, str(folder))
    return StartRequest(binaries=found, definitions=folder)


def ran(folder: Path) -> set[str]:
    path = folder / "ran"
    return set(path.read_text().split()) if path.exists() else set()


def await_ran(local: LocalKubernetes, folder: Path) -> None:
    try:
        wait_for(lambda: ran(folder) == set(NAMES))
    except AssertionError as late:
        logs = {log.name: log.read_text() for log in local.places.logs.glob("*")}
        raise AssertionError(f"{late}: {ran(folder)} ran; {local.status()}; {logs}") from None


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalKubernetes]:
    """One that gives up at once."""
    images = Images(registry="127.0.0.1:1", blobs=tmp_path)
    made = LocalKubernetes(KubernetesPlaces(tmp_path / "kubernetes"), images, parts=(), seconds=0)
    yield made
    made.stop()


def fail(local: LocalKubernetes, asked: StartRequest) -> str:
    """A start that does not succeed, and why."""
    local.start(asked)
    wait_for(lambda: local.state != "starting")
    assert local.state == "failed"
    return local.reason


def test_a_start_after_a_failed_one_takes_new_binaries_and_new_ports(
    local: LocalKubernetes, tmp_path: Path
) -> None:
    assert "the API server was not there" in fail(local, request(tmp_path / "first"))
    await_ran(local, tmp_path / "first")
    before, ports = local.status()["processes"], local.places.ports()
    with socket.create_server((LOOPBACK, ports.etcd)):
        assert "the API server was not there" in fail(local, request(tmp_path / "second"))
        await_ran(local, tmp_path / "second")
        chosen = asdict(local.places.ports())
    kept = {name: port for name, port in asdict(ports).items() if name != "etcd"}
    assert len(set(chosen.values())) == len(chosen)
    assert chosen.pop("etcd") != ports.etcd
    assert chosen == kept
    assert not [one for one in before if Identity.of(one["pid"])]


def test_a_start_that_breaks_says_so(local: LocalKubernetes, tmp_path: Path) -> None:
    asked = StartRequest(binaries=Binaries((), "nowhere"), definitions=tmp_path)
    assert fail(local, asked) == "KeyError: 'etcd'"


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_an_addon_comes_to_one_that_runs_and_that_was_installed(
    local: LocalKubernetes, tmp_path: Path, source: AddonSource
) -> None:
    with pytest.raises(BadInput, match="takes a Kubernetes that runs, and this one is stopped"):
        local.add_addon(source.name, tmp_path)
    assert not local.places.addon(source.name).exists()
    assert source.find(tmp_path) is None
    with pytest.raises(BadInput) as refused:
        source.require(tmp_path)
    assert refused.value.hint == f"ecomdeploy cloud kubernetes install --{source.name}"
    source.folder(tmp_path).mkdir(parents=True)
    assert source.require(tmp_path).name.startswith(f"{source.name}-v")


@pytest.mark.parametrize("unusable", ["[]", "{", "", None])
def test_what_it_is_started_with_may_be_unusable(local: LocalKubernetes, unusable: str | None) -> None:
    local.places.root.mkdir(mode=0o700)
    if unusable is None:
        local.places.wanted.mkdir()
    else:
        local.places.wanted.write_text(unusable)
    local.resume()
    assert local.state == "failed"
    assert str(local.places.wanted) in local.reason


# ---- stopped from outside ----


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path, tmp_path / "cache")


def leave(places: KubernetesPlaces) -> subprocess.Popen[bytes]:
    """As a killed local cloud leaves it: a process with its record, and that it is wanted."""
    command = ["sleep", "1000"]
    places.records.mkdir(parents=True, mode=0o700)
    places.wanted.write_text(json.dumps({}))
    process = subprocess.Popen(command, start_new_session=True)
    identity = Identity.of(process.pid)
    assert identity
    ProcessRecord(places.records / "etcd.json").write(identity, command)
    return process


def test_without_a_local_cloud_what_it_left_is_ended_and_stays_away(home: Home) -> None:
    cloud = LocalCloud(home)
    assert not cloud.stop_kubernetes(), "there is none"
    assert cloud.kubernetes_status()["state"] == "stopped"
    cloud.folder.claim()
    left = leave(KubernetesPlaces(cloud.folder.kubernetes))
    status = cloud.kubernetes_status()
    assert status["state"] == "left"
    assert status["processes"] == [{"name": "etcd", "pid": left.pid, "starts": 0}]
    assert cloud.stop_kubernetes()
    assert cloud.kubernetes_status()["state"] == "stopped"
    assert left.wait() < 0
    assert not KubernetesPlaces(cloud.folder.kubernetes).wanted.exists()
    assert not cloud.stop_kubernetes()
    assert cloud.running() is None, "it is not started for that"


def test_what_was_left_and_not_taken_over_ends_with_a_stop(local: LocalKubernetes) -> None:
    left = leave(local.places)
    local.resume()
    assert local.state == "failed"
    local.forget()
    assert left.wait() < 0
    assert not local.places.wanted.exists()


def test_after_a_stop_of_the_local_cloud_it_need_not_come_back(home: Home) -> None:
    cloud = LocalCloud(home)
    wanted = KubernetesPlaces(cloud.folder.kubernetes).wanted
    cloud.folder.claim()
    wanted.parent.mkdir(mode=0o700)
    wanted.write_text("{}")
    assert cloud.stop_kubernetes()
    assert not wanted.exists()


def test_the_local_cloud_itself_is_told_where_it_runs(cloud: LocalCloud) -> None:
    wanted = KubernetesPlaces(cloud.folder.kubernetes).wanted
    wanted.parent.mkdir(mode=0o700)
    wanted.write_text("{}")
    assert cloud.stop_kubernetes()
    assert not wanted.exists()
    assert not cloud.stop_kubernetes()
    assert cloud.kubernetes_status()["state"] == "stopped"
    assert cloud.running()
