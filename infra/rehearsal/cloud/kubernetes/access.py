"""How callers reach the local Kubernetes: its kubeconfig and its gateway."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from infra.rehearsal.cloud.addresses import LOOPBACK


@dataclass(frozen=True, kw_only=True)
class KubernetesAccess:
    """A local Kubernetes that is ready. `gateway`: where callers of services ask, "http://127.0.0.1:PORT";
    `prometheus`: the same of Prometheus, "" where there is none here."""

    kubeconfig: Path
    gateway: str
    prometheus: str = ""


def variables(root: Path) -> dict[str, str]:
    """Of the local Kubernetes below `root`, from when it is first asked for until it is stopped for good."""
    if not (root / "wanted.json").exists():
        return {}
    from infra.rehearsal.cloud.kubernetes.places import KubernetesPlaces

    places = KubernetesPlaces(root)
    try:
        ports = places.ports()
    except (FileNotFoundError, KeyError):
        return {}
    found = {"KUBECONFIG": str(places.kubeconfig), "ECOMDEPLOY_GATEWAY": f"http://{LOOPBACK}:{ports.gateway}"}
    if (places.records / "prometheus.json").exists():
        found["ECOMDEPLOY_PROMETHEUS"] = f"http://{LOOPBACK}:{ports.prometheus}"
    return found
