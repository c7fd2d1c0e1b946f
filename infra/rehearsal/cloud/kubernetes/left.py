"""What of the local Kubernetes outlived a killed local cloud. Light to import."""

from __future__ import annotations

from typing import Any

from infra.rehearsal.cloud.kubernetes.binaries import NAMES
from infra.rehearsal.cloud.kubernetes.places import KubernetesPlaces
from infra.rehearsal.cloud.kubernetes.processes import ProcessRecord, end_all

ENDED = (
    ("keda-adapter", "karpenter"),
    ("keda-operator",),
    ("prometheus",),
    ("kserve",),
    ("node_agent",),
    ("gateway",),
    NAMES[2:],
    NAMES[1:2],
    NAMES[:1],
)
"""What is ended together, in order. KEDA's adapter first: without its operator it takes its time."""


def tell_left(places: KubernetesPlaces) -> dict[str, Any]:
    """Its status while no local cloud runs, told as the daemon does: "stopped", or "left" with what still runs."""
    records = {name: ProcessRecord(places.records / f"{name}.json").read() for name in _names()}
    left = [{"name": name, "pid": found[0].pid, "starts": 0} for name, found in records.items() if found]
    words = "the local cloud does not run"
    if not left:
        return {"state": "stopped", "reason": words, "processes": []}
    words += ", these outlived it; they end with: ecomdeploy cloud kubernetes stop"
    return {"state": "left", "reason": words, "processes": left}


def end_left(places: KubernetesPlaces) -> int:
    """End what runs; how many processes that were."""
    return end_all(places.records, _names(), 10.0)


def _names() -> list[str]:
    return [name for together in ENDED for name in together]
