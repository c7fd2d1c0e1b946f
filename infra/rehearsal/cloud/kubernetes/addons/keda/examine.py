"""The local cloud's answer to a spec that scales by requests or by a schedule: KEDA started, or told to be missing."""

from __future__ import annotations

from typing import Protocol

from infra.preflight.base import Lack, Looked
from infra.rehearsal.cloud.kubernetes.addons.source import KEDA
from infra.spec import ScaleSpec
from infra.targets.base import Target
from modelpack.home import Home
from modelpack.progress import Progress


class KedaHost(Protocol):
    """Where KEDA can be started: the local cloud."""

    @property
    def home(self) -> Home: ...

    def ensure_addon(self, name: str, progress: Progress | None = None) -> None: ...


def examine_keda(cloud: KedaHost, target: Target, scale: ScaleSpec, progress: Progress) -> tuple[Looked, ...]:
    """Start it beside the local Kubernetes where the spec asks for it; what is lacking where it was not installed."""
    if not (target.on_cluster and scale.is_automatic):
        return ()
    if KEDA.find(cloud.home.cache) is None:
        what = "scale.target_rps, schedule and recurring take KEDA, and it is not installed here"
        return (Looked("keda", (Lack(what=what, hint=KEDA.hint),)),)
    cloud.ensure_addon(KEDA.name, progress)
    return (Looked("keda"),)
