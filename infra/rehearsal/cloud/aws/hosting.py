"""SageMaker endpoints over real model servers: what they are made of and how they come up, move over and end.

One server process per production variant, whatever its InitialInstanceCount: instances of a variant share it here.
No bake time and no gradual shift: a DeploymentConfig is kept and told, its alarms are looked at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from infra.rehearsal.cloud.addresses import ACCOUNT, LOOPBACK
from infra.rehearsal.cloud.aws.invocations import Key, Servers, WeightedServer
from infra.rehearsal.cloud.aws.overlay.base import now
from infra.rehearsal.cloud.aws.secrets import look_up
from infra.rehearsal.cloud.servers.host import ModelServer, ServerFailed

if TYPE_CHECKING:
    from infra.rehearsal.cloud.aws.overlay.base import Surroundings

NO_CAPACITY = (
    "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error. "
    "Please retry using a different ML instance type or after some time."
)
NOT_HEALTHY = (
    "The primary container for production variant {variant} did not pass the ping health check. "
    "Please check CloudWatch logs for this endpoint."
)
READY_SECONDS = 300.0
"""How long a server may take to its first good /ping, unless ContainerStartupHealthCheckTimeoutInSeconds says."""


@dataclass(frozen=True, kw_only=True)
class ProductionVariant:
    """A production variant with the image it runs. `wrong`: a planted fault spoils its answers."""

    name: str
    model: str
    specified: str
    repository: str
    digest: str
    environment: tuple[tuple[str, str], ...]
    weight: float
    count: int
    resolved_at: datetime
    ready_seconds: float = READY_SECONDS
    wrong: bool = False


@dataclass(frozen=True, kw_only=True)
class PendingDeployment:
    """The configuration an endpoint is on its way to."""

    configuration: str
    variants: tuple[ProductionVariant, ...]
    started: datetime
    deployment: dict[str, Any] | None = None


@dataclass(kw_only=True)
class Endpoint:
    """`configuration` and `variants` are what serves now (nothing yet while Creating)."""

    name: str
    region: str
    configuration: str
    status: str
    created: datetime
    modified: datetime
    variants: tuple[ProductionVariant, ...] = ()
    failure: str = ""
    deployment: dict[str, Any] | None = None
    pending: PendingDeployment | None = None

    @property
    def key(self) -> Key:
        return (self.region, self.name)


@dataclass
class Hosting:
    """Everything the emulated SageMaker hosting keeps: by region and name, in the API's own words."""

    models: dict[Key, dict[str, Any]] = field(default_factory=dict)
    configurations: dict[Key, dict[str, Any]] = field(default_factory=dict)
    endpoints: dict[Key, Endpoint] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)


class Fleet:
    """Brings servers up and down. Long work runs in background threads; state changes under the account's lock."""

    def __init__(self, account: Surroundings, hosting: Hosting) -> None:
        self.account = account
        self.hosting = hosting
        self.invocations = account.invocations
        self.invocations.lost = self.replace_lost
        self._replacing: set[str] = set()

    def roll(self, endpoint: Endpoint) -> None:
        """Move an endpoint to its pending configuration, in the background."""
        self.account.background(f"roll {endpoint.name}", lambda: self._roll(endpoint))

    def end(self, endpoint: Endpoint) -> None:
        """Take an endpoint out of service and forget it, in the background."""
        route = self.invocations.route(endpoint.key)
        self.invocations.flip(endpoint.key, ())
        self.account.background(f"end {endpoint.name}", lambda: self._end(endpoint, route))

    def reweigh(self, endpoint: Endpoint) -> None:
        """Give the route the weights that the variants have now."""
        weights = {variant.name: variant.weight for variant in endpoint.variants}
        route = tuple(
            replace(way, weight=weights[way.variant]) for way in self.invocations.route(endpoint.key)
        )
        self.invocations.flip(endpoint.key, route)

    def restore(self) -> None:
        """After a start: every endpoint that served serves again, interrupted moves go on."""
        for endpoint in tuple(self.hosting.endpoints.values()):
            if endpoint.status == "Deleting":
                self.end(endpoint)
                continue
            if endpoint.variants and endpoint.status != "Failed":
                self._restore(endpoint)
            if endpoint.pending:
                self.roll(endpoint)

    def stop(self) -> None:
        """Empty every route; the servers are stopped by their host."""
        for key in tuple(self.hosting.endpoints):
            self.invocations.flip(key, ())

    def replace_lost(self, key: Key, server: ModelServer) -> None:
        """A server in service does not answer: a new one takes its place, as SageMaker replaces an instance."""
        with self.account.lock:
            endpoint = self.hosting.endpoints.get(key)
            ways = [way for way in self.invocations.route(key) if way.server.id == server.id]
            if (
                endpoint is None
                or not ways
                or server.id in self._replacing
                or self.account.host.ready(server)
            ):
                return
            self._replacing.add(server.id)
        self.account.background(f"replace {server.id}", lambda: self._replace(endpoint, ways[0]))

    # ---- background ----

    def _roll(self, endpoint: Endpoint) -> None:
        pending = endpoint.pending
        assert pending is not None, "set before the move begins"
        try:
            route = self._strike_and_start(endpoint, pending)
        except ServerFailed as failed:
            self._roll_back(endpoint, failed.what)
            return
        with self.account.lock:
            alarm = _find_alarm(endpoint.region, pending.deployment)
        if alarm:
            self._stop(route)
            self._roll_back(endpoint, f"alarm {alarm} is in state ALARM")
            return
        with self.account.lock:
            if not self._current(endpoint):
                self.account.background("stop", lambda: self._stop(route))
                return
            old = self.invocations.route(endpoint.key)
            wrong = any(way.wrong for way in route)
            self.invocations.flip(endpoint.key, route)
            endpoint.configuration = pending.configuration
            endpoint.variants = tuple(replace(variant, wrong=wrong) for variant in pending.variants)
            endpoint.deployment = pending.deployment or endpoint.deployment
            endpoint.failure = ""
            self._settle(endpoint, "InService")
        self._stop(old)

    def _roll_back(self, endpoint: Endpoint, why: str) -> None:
        """SageMaker ends such an update InService on the old configuration; a creation ends Failed."""
        with self.account.lock:
            if not self._current(endpoint):
                return
            endpoint.failure = why
            if endpoint.status == "Updating":
                endpoint.status = "RollingBack"
            self._settle(endpoint, "InService" if endpoint.variants else "Failed")

    def _settle(self, endpoint: Endpoint, status: str) -> None:
        endpoint.status, endpoint.pending, endpoint.modified = status, None, now()
        self.account.changed.set()

    def _strike_and_start(self, endpoint: Endpoint, pending: PendingDeployment) -> Servers:
        """Planted faults strike here, once per configuration."""
        faults, name = self.account.faults, endpoint.name
        if faults.strike("capacity", endpoint=name):
            raise ServerFailed(NO_CAPACITY)
        wrong = faults.strike("wrong-answers", endpoint=name) is not None
        variants = tuple(replace(variant, wrong=wrong) for variant in pending.variants)
        if faults.strike("crash", endpoint=name):
            return self._start(variants, endpoint.region, crash=True)
        if fault := faults.strike("never-ready", endpoint=name):
            return self._start(variants, endpoint.region, never=fault.seconds)
        return self._start(variants, endpoint.region)

    def _start(
        self,
        variants: Sequence[ProductionVariant],
        region: str,
        *,
        crash: bool = False,
        never: float | None = None,
    ) -> Servers:
        """A ready server for every variant, or none at all and ServerFailed."""
        host, ways = self.account.host, list[WeightedServer]()
        try:
            for variant in variants:
                environment = dict(variant.environment)
                with self.account.lock:
                    secrets = look_up(environment, region)
                server = host.start(self._reference(variant), environment, secrets)
                ways.append(
                    WeightedServer(
                        variant=variant.name, weight=variant.weight, server=server, wrong=variant.wrong
                    )
                )
                if crash:
                    host.stop(server)
            for variant, way in zip(variants, ways, strict=True):
                self._wait_ready(variant, way.server, never)
        except ServerFailed:
            self._stop(tuple(ways))
            raise
        return tuple(ways)

    def _wait_ready(self, variant: ProductionVariant, server: ModelServer, never: float | None) -> None:
        try:
            if never is not None:
                self.account.ending.wait(never)
                raise ServerFailed(f"/ping did not answer 200 within {never:g} s (planted fault)")
            self.account.host.wait_ready(server, variant.ready_seconds)
        except ServerFailed as failed:
            raise ServerFailed(f"{NOT_HEALTHY.format(variant=variant.name)} {failed.what}") from None

    def _reference(self, variant: ProductionVariant) -> str:
        return f"{LOOPBACK}:{self.account.ports.registry}/{variant.repository}@{variant.digest}"

    def _restore(self, endpoint: Endpoint) -> None:
        try:
            route = self._start(endpoint.variants, endpoint.region)
        except ServerFailed as failed:
            with self.account.lock:
                endpoint.failure = failed.what
                self._settle(endpoint, "Failed")
            return
        self.invocations.flip(endpoint.key, route)

    def _replace(self, endpoint: Endpoint, lost: WeightedServer) -> None:
        variants = [variant for variant in endpoint.variants if variant.name == lost.variant]
        try:
            with contextlib.suppress(ServerFailed):  # the next request that finds it lost tries again
                (fresh,) = self._start(variants, endpoint.region)
                with self.account.lock:
                    route = self.invocations.route(endpoint.key)
                    kept = tuple(fresh if way.server.id == lost.server.id else way for way in route)
                    self.invocations.flip(endpoint.key, kept)
                self._stop((lost,) if fresh in kept else (fresh,))
        finally:
            self._replacing.discard(lost.server.id)

    def _end(self, endpoint: Endpoint, route: Servers) -> None:
        self._stop(route)
        with self.account.lock:
            if self._current(endpoint):
                del self.hosting.endpoints[endpoint.key]
                self.account.changed.set()

    def _current(self, endpoint: Endpoint) -> bool:
        """Whether the account still has this endpoint; a reset may have emptied it while servers came up."""
        here = self.account.state.get("sagemaker") is self.hosting
        return here and self.hosting.endpoints.get(endpoint.key) is endpoint

    def _stop(self, route: Servers) -> None:
        for way in route:
            self.invocations.drain(way.server)
            self.account.host.stop(way.server)


def _find_alarm(region: str, deployment: dict[str, Any] | None) -> str | None:
    """The first alarm of an AutoRollbackConfiguration that is in state ALARM."""
    names = [
        alarm["AlarmName"]
        for alarm in ((deployment or {}).get("AutoRollbackConfiguration") or {}).get("Alarms", ())
    ]
    if not names:
        return None
    from moto.cloudwatch.models import cloudwatch_backends

    alarms = cloudwatch_backends[ACCOUNT][region].alarms
    return next((name for name in names if name in alarms and alarms[name].state_value == "ALARM"), None)
