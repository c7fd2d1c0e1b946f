"""Waits for an object to be ready, or to be gone; says why when it does not come to that."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from infra.kubernetes.client import Object
from infra.kubernetes.patience import look_patiently
from infra.rehearsal.engine.provider import ProviderError, Values
from infra.rehearsal.providers.kubernetes.causes import find_causes, find_holders
from infra.rehearsal.providers.kubernetes.objects import SKIP_AWAIT, TIMEOUT, annotation, metadata_of, title
from infra.rehearsal.providers.kubernetes.readiness import ClusterReads, Readiness, Sighting, judge
from infra.targets.base import Clock

SECONDS: Final = 600.0
"""pulumi-kubernetes' own, unless an annotation says otherwise."""
FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 2.0
SKIPPED_ON_DELETE: Final = frozenset(
    {
        *(("v1", kind) for kind in ("Namespace", "Pod", "ReplicationController")),
        *(("apps/v1", kind) for kind in ("DaemonSet", "Deployment", "StatefulSet")),
        ("batch/v1", "Job"),
    }
)
"""Whose deletion `pulumi.com/skipAwait` does not wait for either (provider/pkg/metadata/overrides.go)."""


class NotReady(ProviderError):
    """It is there, and not as it should be; `live` is how it was last seen."""

    def __init__(self, live: Object, message: str) -> None:
        super().__init__("NotReady", message)
        self.live = live


@dataclass(frozen=True)
class Patience:
    """Looks again and again, at growing intervals, until the deadline."""

    cluster: ClusterReads
    clock: Clock

    def await_ready(self, inputs: Values, live: Object, before: Object | None = None) -> Object:
        """The object once it is ready. Raises `NotReady` when that will not come, or not in time."""
        if annotation(inputs, SKIP_AWAIT) == "true":
            return live
        limit, began, pause = timeout_of(inputs), self.clock.now(), FIRST_PAUSE
        while True:
            elapsed = self.clock.now() - began
            found = self._judge(live, Sighting(self.cluster, elapsed, before), began + limit)
            if found.ready:
                return live
            if found.failed or elapsed >= limit:
                raise NotReady(live, self._tell(live, found, 0 if found.failed else limit))
            self.clock.sleep(min(pause, max(limit - elapsed, 0.01)))
            pause = min(pause * 1.5, LONGEST_PAUSE)
            seen = self._look(live, began + limit)
            if seen is None:
                raise NotReady(live, f"{title(live)} was deleted while it was waited for")
            live = seen

    def trouble(self, inputs: Values, live: Object) -> str:
        """Why it is not ready now; "" when it is."""
        if annotation(inputs, SKIP_AWAIT) == "true":
            return ""
        found = judge(live, Sighting(self.cluster, math.inf))
        return "" if found.ready else self._tell(live, found, 0)

    def await_gone(self, inputs: Values, live: Object) -> None:
        """Return once it is gone, or another has its name. Raises `ProviderError` when that is not so in time."""
        if (
            annotation(inputs, SKIP_AWAIT) == "true"
            and (live.get("apiVersion"), live.get("kind")) in SKIPPED_ON_DELETE
        ):
            return
        limit, began, pause = timeout_of(inputs), self.clock.now(), FIRST_PAUSE
        while True:
            seen = self._look(live, began + limit)
            if seen is None or metadata_of(seen).get("uid") != metadata_of(live).get("uid"):
                return
            if self.clock.now() - began >= limit:
                held = "; ".join(find_holders(seen)) or "nothing says what holds it"
                raise ProviderError("NotGone", f"{title(live)} is still there after {limit:g} s: {held}")
            self.clock.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)

    def _judge(self, live: Object, sighting: Sighting, end: float) -> Readiness:
        return look_patiently(lambda: judge(live, sighting), end, self.clock)

    def _look(self, live: Object, end: float) -> Object | None:
        metadata = metadata_of(live)
        named = live["apiVersion"], live["kind"], metadata["name"], metadata.get("namespace", "")
        return look_patiently(lambda: self.cluster.get(*named), end, self.clock)

    def _tell(self, live: Object, found: Readiness, limit: float) -> str:
        causes = [cause for cause in find_causes(live, self.cluster) if cause not in found.reason]
        after = f" after {limit:g} s" if limit else ""
        return "; ".join((f"{title(live)} is there and not ready{after}: {found.reason}", *causes))


def timeout_of(inputs: Values) -> float:
    """How long to wait, in seconds."""
    try:
        return float(annotation(inputs, TIMEOUT) or SECONDS)
    except ValueError:
        return SECONDS
