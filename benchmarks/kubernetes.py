"""The local Kubernetes: from an empty folder to ready, from its data to ready, and to its end; memory when empty.

The control plane and what every cluster here is given; our own parts (nodes, gateway, KServe) are not started. Then,
with the node agent: 50 pods of a small model from none, and replaced by 50 others as a Deployment does it.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from infra.kubernetes.client import KubernetesClient, Object
from infra.rehearsal.cloud.kubernetes import binaries, gateway_api
from infra.rehearsal.cloud.kubernetes.local import LocalKubernetes, StartRequest
from infra.rehearsal.cloud.kubernetes.parts import Images
from infra.rehearsal.cloud.kubernetes.places import KubernetesPlaces
from infra.rehearsal.cloud.registry.registry import RegistryServer
from infra.rehearsal.cloud.registry.repositories import FakeRepositories
from modelpack.progress import Silent

ROUNDS, PODS = 3, 50
CACHE = Path(os.environ.get("ECOMDEPLOY_CACHE") or Path.home() / ".cache" / "ecomdeploy")


def lacks() -> str:
    """Why it cannot be measured here."""
    return (
        "" if binaries.find(CACHE) else "no binaries of a control plane: ecomdeploy cloud kubernetes install"
    )


def measure() -> dict[str, Any]:
    found = binaries.require(CACHE)
    request = StartRequest(binaries=found, definitions=gateway_api.ensure(CACHE, Silent()))
    rounds = [_round(request) for _ in range(ROUNDS)]
    medians = {name: round(statistics.median(each[name] for each in rounds), 2) for name in rounds[0]}
    return {"rounds": ROUNDS, "medians": medians, "each": rounds, "fifty_pods": _roll_out(request)}


def _round(request: StartRequest) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        images = Images(registry="127.0.0.1:1", blobs=Path(folder) / "registry")
        local = LocalKubernetes(KubernetesPlaces(Path(folder) / "kubernetes"), images, parts=())
        try:
            first = _seconds(lambda: _bring_up(local, request))
            memory = sum(_resident(one["pid"]) for one in local.status()["processes"])
            end = _seconds(local.stop)
            again = _seconds(lambda: _bring_up(local, request))
        finally:
            local.stop()
    return {"first_start_s": first, "restart_s": again, "stop_s": end, "resident_mib": memory}


def _roll_out(request: StartRequest) -> dict[str, float]:
    """Seconds from the Deployment to all pods available, and from a new template to all of them replaced."""
    with tempfile.TemporaryDirectory() as folder:
        images = Images(registry="127.0.0.1:1", blobs=Path(folder) / "registry")
        image = _push_small(Path(folder) / "image", images)
        local = LocalKubernetes(KubernetesPlaces(Path(folder) / "kubernetes"), images, parts=("node_agent",))
        try:
            _bring_up(local, request)
            client = KubernetesClient(local.places.kubeconfig)
            wanted = _deployment(image)
            first = _seconds(lambda: _await_pods(client, client.create(wanted)))
            change = {"spec": {"template": {"metadata": {"annotations": {"round": "two"}}}}}
            second = _seconds(lambda: _await_pods(client, client.patch(wanted, change)))
        finally:
            local.stop()
    return {"pods": PODS, "from_none_s": first, "replaced_s": second}


def _push_small(root: Path, images: Images) -> str:
    """A small model's image, of this machine's own interpreter and wheels; its reference."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
    small = import_module("small_image")
    root.mkdir()
    small.build_root(root)
    layers = [small.layer_of(root, "usr", "lib64", "tmp"), small.layer_of(root, "opt")]
    registry = RegistryServer(images.blobs, FakeRepositories(names={"small"}))
    return f"{images.registry}/small@{small.push(registry, 'small', layers)}"


def _deployment(image: str) -> Object:
    probe = {"httpGet": {"path": "/ping", "port": 8080}, "periodSeconds": 1, "timeoutSeconds": 30}
    container = {
        "name": "server",
        "image": image,
        "ports": [{"containerPort": 8080}],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
        "startupProbe": {**probe, "failureThreshold": 600},
        "readinessProbe": probe,
    }
    template = {"metadata": {"labels": {"app": "small"}}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "small", "namespace": "default"},
        "spec": {
            "replicas": PODS,
            "selector": {"matchLabels": {"app": "small"}},
            "progressDeadlineSeconds": 3600,
            "template": template,
        },
    }


def _await_pods(client: KubernetesClient, asked: Object) -> None:
    """Until all are of the template asked for, answer, and no other is left."""
    generation = asked["metadata"]["generation"]
    while True:
        found = client.get("apps/v1", "Deployment", "small", "default") or {}
        status = found.get("status") or {}
        counts = {status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")}
        if counts == {PODS} and status.get("observedGeneration", 0) >= generation:
            return
        time.sleep(0.2)


def _bring_up(local: LocalKubernetes, request: StartRequest) -> None:
    local.start(request)
    while local.state == "starting":
        time.sleep(0.02)
    if local.state != "ready":
        raise SystemExit(f"the control plane is {local.state}: {local.reason}")


def _seconds(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return round(time.monotonic() - began, 2)


def _resident(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith("VmRSS:"))
    return round(int(kilobytes) / 1024, 1)
