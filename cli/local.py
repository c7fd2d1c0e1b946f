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


def where_keda(cache: Path) -> str:
    """Whether it is installed, in words."""
    from infra.rehearsal.cloud.kubernetes.keda import install

    return f"KEDA is in {found}" if (found := install.find(cache)) else f"no KEDA: {install.INSTALL_KEDA}"


def install_keda(cache: Path, progress: Progress) -> str:
    """Fill the user's cache with KEDA; where it is."""
    from infra.rehearsal.cloud.kubernetes.keda import install

    return str(install.build(cache, progress))


def install_kubernetes(cache: Path, progress: Progress, from_source: bool) -> str:
    """Fill the user's cache with what the local Kubernetes runs; where it is, in words."""
    from infra.rehearsal.cloud.kubernetes import binaries, gateway_api
    from infra.rehearsal.cloud.kubernetes.build import build

    found = None if from_source else binaries.find(cache)
    if found is None:
        found = build(cache, progress)
    gateway_api.ensure(cache, progress)
    return found.found
