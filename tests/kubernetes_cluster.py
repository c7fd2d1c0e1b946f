"""A real control plane for tests: one a test process, a namespace a test. What is ours (node agent, gateway, KServe)
runs in it only where a test asks for it.

It is skipped, with the reason, only where there are neither binaries nor Go to build them.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs
import pytest
from waiting import wait_for

from infra.kubernetes.client import KubernetesClient, Object
from infra.rehearsal.cloud.kubernetes import binaries, gateway_api
from infra.rehearsal.cloud.kubernetes.addons.source import SOURCES
from infra.rehearsal.cloud.kubernetes.local import LocalKubernetes, StartRequest
from infra.rehearsal.cloud.kubernetes.parts import Images, part
from infra.rehearsal.cloud.kubernetes.places import KubernetesPlaces, KubernetesPorts
from infra.rehearsal.cloud.kubernetes.processes import Keeper
from infra.rehearsal.cloud.kubernetes.start_up import listens
from modelpack.progress import Silent

METRICS_API: Object = {
    "apiVersion": "apiregistration.k8s.io/v1",
    "kind": "APIService",
    "metadata": {"name": "v1beta1.metrics.k8s.io"},
}


def cache() -> Path:
    """The user's, where an install keeps the binaries."""
    return Path(os.environ.get("ECOMDEPLOY_CACHE") or platformdirs.user_cache_path("ecomdeploy"))


def request_or_skip() -> StartRequest:
    """What a control plane is started with; the binaries are built where they are not, and Go is."""
    from infra.rehearsal.cloud.kubernetes.build import build, can_build

    found = binaries.find(cache())
    if found is None:
        if not can_build():
            pytest.skip(f"no {', '.join(binaries.NAMES)} here, and no go to build them")
        found = build(cache(), Silent())
    return StartRequest(binaries=found, definitions=gateway_api.ensure(cache(), Silent()))


def addon_or_skip(name: str) -> Path:
    """Where KEDA or Karpenter is; it is built where it is not, and Go is."""
    from infra.rehearsal.cloud.kubernetes.build import can_build

    (source,) = [one for one in SOURCES if one.name == name]
    if source.find(cache()) is None and not can_build():
        pytest.skip(f"no {source.title} here, and no go to build it")
    return source.build(cache(), Silent())


@dataclass
class Cluster:
    """A control plane that runs, and an administrator's client of it."""

    local: LocalKubernetes
    client: KubernetesClient
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def places(self) -> KubernetesPlaces:
        return self.local.places

    @property
    def ports(self) -> KubernetesPorts:
        return self.places.ports()

    def new_namespace(self) -> str:
        """One of its own, with the service account that pods need."""
        name = f"test-{os.getpid()}-{next(self._numbers)}"
        self.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        wait_for(lambda: self.client.get("v1", "ServiceAccount", "default", name))
        return name

    @contextlib.contextmanager
    def running(self, name: str) -> Iterator[Keeper]:
        """One of our parts as a process beside the control plane, as the local cloud starts it; ended afterwards."""
        program = part(name, self.places, self.ports, self.local.images, dict(os.environ))
        keeper = Keeper(program, self.places.records, self.places.logs / f"{name}.log")
        keeper.start()
        try:
            wait_for(lambda: listens(program.port))
            yield keeper
        finally:
            keeper.stop()
            # an API that nobody answers keeps every namespace from going
            self.client.delete(METRICS_API)


@contextlib.contextmanager
def run_cluster(root: Path) -> Iterator[Cluster]:
    """A control plane in that folder, without any part of ours. Ended afterwards."""
    images = Images(registry="127.0.0.1:1", blobs=root / "registry")
    local = LocalKubernetes(KubernetesPlaces(root / "kubernetes"), images, parts=())
    local.start(request_or_skip())
    try:
        wait_for(lambda: local.state != "starting")
        assert local.state == "ready", local.reason
        client = KubernetesClient(local.places.kubeconfig)
        yield Cluster(local, client)
        client.close()
    finally:
        local.stop()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The control plane of this test process, started when first asked for."""
    with run_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of this test's own; what is in it goes with it, in its own time."""
    name = cluster.new_namespace()
    yield name
    cluster.client.delete({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


__all__ = ["Cluster", "cluster", "namespace", "run_cluster"]
