"""How callers reach the local Kubernetes: its kubeconfig and its gateway."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.rehearsal.cloud.addresses import LOOPBACK
from modelpack.errors import EcomdeployError


@dataclass(frozen=True, kw_only=True)
class KubernetesAccess:
    """A local Kubernetes that is ready. `gateway`: where callers of services ask, "http://127.0.0.1:PORT";
    `prometheus`: the same of Prometheus, "" where there is none here."""

    kubeconfig: Path
    gateway: str
    prometheus: str = ""

    @classmethod
    def read(cls, status: dict[str, Any]) -> KubernetesAccess:
        """Of the status of one that is ready."""
        kubeconfig, prometheus = Path(status["kubeconfig"]), status.get("prometheus", "")
        return cls(kubeconfig=kubeconfig, gateway=status["gateway"], prometheus=prometheus)


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


def await_ready(
    found: dict[str, Any], status: Callable[[], dict[str, Any]], seconds: float, logs: Path
) -> dict[str, Any]:
    """Its status once it is ready. Raises EcomdeployError when it comes to anything else, or to nothing in twice as
    many `seconds`."""
    deadline = time.monotonic() + 2 * seconds
    while found["state"] == "starting" and time.monotonic() < deadline:
        time.sleep(0.1)
        found = status()
    if found["state"] != "ready":
        raise EcomdeployError(
            f"the local Kubernetes is {found['state']}: {found['reason']}", hint=f"see {logs}"
        )
    return found


def await_addon(
    title: str, name: str, found: dict[str, Any], status: Callable[[], dict[str, Any]], seconds: float
) -> None:
    """Until that add-on does its work. Raises as `await_ready`."""
    deadline = time.monotonic() + 2 * seconds
    while True:
        addon: dict[str, Any] = next((one for one in found.get("addons", ()) if one["name"] == name), {})
        state, reason = addon.get("state", "stopped"), addon.get("reason") or found["reason"]
        if state != "starting" or time.monotonic() > deadline:
            break
        time.sleep(0.1)
        found = status()
    if state != "ready":
        raise EcomdeployError(
            f"{title} of the local Kubernetes is {state}: {reason}", hint="ecomdeploy cloud kubernetes status"
        )
