"""The programs of ours that stand for what a laptop lacks: nodes, a gateway, KServe. Each is a package beside this
file that runs in the foreground until SIGTERM, and waits for the API server by itself. Prometheus is the real one."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.rehearsal.cloud.kubernetes.addons import prometheus
from infra.rehearsal.cloud.kubernetes.places import KubernetesPlaces, KubernetesPorts
from infra.rehearsal.cloud.kubernetes.processes import Program
from modelpack.inputs.children import child_environment, module_command

ROOM = "infra.rehearsal.cloud.kubernetes"
PARTS = ("node_agent", "gateway", "kserve", prometheus.PROMETHEUS)
"""In the order in which they are ended, last first: a pod's last answers still go through the gateway."""
END_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class Images:
    """Where the node agent takes images from: the registry's `host:port`, and its folder of blobs."""

    registry: str
    blobs: Path


def part(
    name: str,
    places: KubernetesPlaces,
    ports: KubernetesPorts,
    images: Images,
    variables: Mapping[str, str],
) -> Program:
    """One of PARTS."""
    if name == prometheus.PROMETHEUS:
        return prometheus.program(places, ports)
    words = ["--root", str(places.root)]
    if name == "node_agent":
        words += ["--registry", images.registry, "--blobs", str(images.blobs)]
    bound = {"node_agent": ports.kubelet, "gateway": ports.gateway, "kserve": ports.webhook}
    return Program(
        name=name,
        command=tuple(module_command(f"{ROOM}.{name}", *words)),
        port=bound[name],
        environment=child_environment(variables),
        seconds=END_SECONDS,
    )


def there() -> tuple[str, ...]:
    """Those of PARTS that this installation has; Prometheus where it is on the PATH."""
    ours = [
        name for name in PARTS if name != prometheus.PROMETHEUS and importlib.util.find_spec(f"{ROOM}.{name}")
    ]
    return (*ours, *([prometheus.PROMETHEUS] if prometheus.find() else []))
