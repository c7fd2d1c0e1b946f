"""Follow the API server, keep the proxy's table, write what the Gateway API has a controller say."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass, field

from infra.kubernetes.client import KubernetesClient, KubernetesRefused, KubernetesUnreachable, Object
from infra.kubernetes.follow import Follow
from infra.kubernetes.objects import now
from infra.rehearsal.cloud.kubernetes.gateway.build import build_table
from infra.rehearsal.cloud.kubernetes.gateway.observed import API, Observed
from infra.rehearsal.cloud.kubernetes.gateway.proxy import EnvoyProxy, NotTaken
from infra.rehearsal.cloud.kubernetes.gateway.statuses import differing
from infra.rehearsal.cloud.kubernetes.gateway.table import RoutingTable

KINDS = {
    "classes": (API, "GatewayClass"),
    "gateways": (API, "Gateway"),
    "routes": (API, "HTTPRoute"),
    "grants": ("gateway.networking.k8s.io/v1beta1", "ReferenceGrant"),
    "namespaces": ("v1", "Namespace"),
    "services": ("v1", "Service"),
    "slices": ("discovery.k8s.io/v1", "EndpointSlice"),
}
GATHERED_SECONDS = 0.02
"""Changes come in bursts: a Deployment that grows says so in its slices one after the other."""
AGAIN_SECONDS = 1.0
"""Before what failed is tried again, and Envoy is looked at."""


@dataclass
class GatewayController:
    """`run` until `stop`; the proxy is served by the thread that calls `run`."""

    client: KubernetesClient
    proxy: EnvoyProxy
    _changed: threading.Event = field(default_factory=threading.Event)
    _stopped: bool = False

    def run(self) -> None:
        """Serve. What was served last is served at once, before the API server answers."""
        self.proxy.start()
        follows = {
            name: Follow(self.client, *kind, changed=self._changed.set).start()
            for name, kind in KINDS.items()
        }
        served: RoutingTable | None = None
        try:
            while not self._stopped:
                if self.proxy.exit_status() is not None:
                    say(f"Envoy ended with {self.proxy.exit_status()} and is started again")
                    self.proxy.start()
                served = self._round(follows, served)
        finally:
            for follow in follows.values():
                follow.stop()
            self.proxy.stop()

    def stop(self) -> None:
        """From any thread, or a signal's handler: that may have interrupted whoever holds the lock of an event, so that
        it sets none. It takes effect within `AGAIN_SECONDS`."""
        self._stopped = True

    def _round(self, follows: dict[str, Follow], served: RoutingTable | None) -> RoutingTable | None:
        """Wait for a change and carry it out; the table that is served after it."""
        if not self._changed.wait(AGAIN_SECONDS):
            return served
        time.sleep(GATHERED_SECONDS)
        self._changed.clear()
        if not all(follow.listed.is_set() for follow in follows.values()):
            return served
        observed = Observed(**{name: tuple(follow.all()) for name, follow in follows.items()})
        table = build_table(observed)
        try:
            if table != served:
                self.proxy.serve(table)
                served = table
            self._write_statuses(observed)
        except (NotTaken, KubernetesRefused, KubernetesUnreachable) as problem:
            say(str(problem))
            time.sleep(AGAIN_SECONDS)
            self._changed.set()
        return served

    def _write_statuses(self, observed: Observed) -> None:
        for obj, status in differing(observed, now()):
            try:
                self._write(obj, status)
            except KubernetesRefused as refused:
                # moved on or gone meanwhile: what happened to it comes along as its own change
                if refused.status not in (404, 409):
                    raise

    def _write(self, obj: Object, status: Object) -> None:
        version = {"resourceVersion": obj["metadata"]["resourceVersion"]}
        self.client.patch(obj, {"metadata": version, "status": status}, "status", "ecomdeploy-gateway")


def say(words: str) -> None:
    """Onto the log of this part."""
    print(f"gateway: {words}", file=sys.stderr, flush=True)
