"""What of the local cloud stands on this machine: where it answers, how it keeps servers apart, its binaries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cli import wiring
from modelpack.progress import Progress

if TYPE_CHECKING:
    from stacks.spec import Spec


def where_local_cloud() -> str:
    """Where the local cloud answers, in words; empty when it does not run."""
    running = wiring.local_cloud().running()
    return f"{running.aws_url} (pid {running.pid})" if running else ""


def isolation(spec: Spec) -> str:
    """How the local cloud keeps model servers apart; "" for a real cloud and for pods, whose node agent sees to it."""
    here = spec.environment.cloud == "local" and not wiring.is_on_cluster(spec)
    running = wiring.local_cloud().running() if here else None
    return running.isolation if running else ""


def where_kubernetes(cache: Path) -> str:
    """Where the local Kubernetes' binaries are, in words; empty when there are none."""
    from infra.rehearsal.cloud.kubernetes import binaries

    found = binaries.find(cache)
    return found.found if found else ""


def tell_addons(cache: Path) -> tuple[str, ...]:
    """Which add-ons of the local Kubernetes are installed, in words."""
    from infra.rehearsal.cloud.kubernetes.addons.source import SOURCES

    return tuple(
        f"{one.title} is in {found}" if (found := one.find(cache)) else f"no {one.title}: {one.hint}"
        for one in SOURCES
    )


def tell_failed_addons() -> str:
    """Why one that was asked for does not run, in words; empty when all do, or the local cloud does not run."""
    cloud = wiring.local_cloud()
    found = cloud.kubernetes_status().get("addons", ()) if cloud.running() else ()
    return "; ".join(f"{one['name']}: {one['reason']}" for one in found if one["state"] == "failed")


def install_addon(cache: Path, name: str, progress: Progress) -> str:
    """Fill the user's cache with an add-on; where it is."""
    from infra.rehearsal.cloud.kubernetes.addons.catalog import find_addon

    return str(find_addon(name).source.build(cache, progress))


def install_kubernetes(cache: Path, progress: Progress, from_source: bool) -> str:
    """Fill the user's cache with what the local Kubernetes runs; where it is, in words."""
    from infra.rehearsal.cloud.kubernetes import binaries, gateway_api
    from infra.rehearsal.cloud.kubernetes.build import build

    found = None if from_source else binaries.find(cache)
    if found is None:
        found = build(cache, progress)
    gateway_api.ensure(cache, progress)
    return found.found
