"""SageMaker endpoints over real model servers: what they are made of, and how their servers come and go.

One server process per production variant, whatever its InitialInstanceCount: instances of a variant share it here. How
an endpoint moves from one configuration to another is in updates/.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from infra.rehearsal.cloud.addresses import ACCOUNT, LOOPBACK
from infra.rehearsal.cloud.aws.overlay.base import now
from infra.rehearsal.cloud.aws.pace import CloudClock
from infra.rehearsal.cloud.aws.sagemaker_runtime.invocations import Key, Servers, WeightedServer
from infra.rehearsal.cloud.aws.secrets import look_up
from infra.rehearsal.cloud.servers.host import ModelServer, ServerFailed
from modelpack.server.metric_names import EVERY, RELEASE, SECONDS

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
NO_INTERFACE = (
    "Unable to create a network interface for production variant {variant}: {place} does not exist."
)
LEAST_WINDOW = 0.1
"""Seconds of this machine's."""
READY_SECONDS = 300.0
"""How long a server may take to its first good /ping, unless ContainerStartupHealthCheckTimeoutInSeconds says."""


@dataclass(frozen=True, kw_only=True)
class ProductionVariant:
    """A production variant with the image it runs. `wrong`: a planted fault spoils its answers; `placed`: subnets and
    security groups of its Model; `shadow`: one of the ShadowProductionVariants, whose weight is the share of the
    requests that it gets copies of."""

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
    placed: tuple[str, ...] = ()
    shadow: bool = False


@dataclass(frozen=True, kw_only=True)
class PendingDeployment:
    """The configuration an endpoint is on its way to, and how far it is: `stage` in the words of a variant's status,
    `since` when, the `step` of its deployment, and the `share` of the requests that the new fleet gets."""

    configuration: str
    variants: tuple[ProductionVariant, ...]
    started: datetime
    deployment: dict[str, Any] | None = None
    stage: str = "Creating"
    since: datetime | None = None
    step: int = 0
    share: float = 0.0


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

    def places_in_use(self, region: str) -> frozenset[str]:
        """Subnets and security groups that model servers have network interfaces in."""
        here = [one for one in self.endpoints.values() if one.region == region]
        pending = [one.pending.variants for one in here if one.pending]
        fleets = [*(one.variants for one in here), *pending]
        return frozenset(place for fleet in fleets for variant in fleet for place in variant.placed)


class Fleet:
    """Brings servers up and down. Long work runs in background threads; state changes under the account's lock."""

    def __init__(self, account: Surroundings, hosting: Hosting) -> None:
        self.account = account
        self.hosting = hosting
        self.invocations = account.invocations
        self.invocations.lost = self.replace_lost
        self._replacing: set[str] = set()

    def end(self, endpoint: Endpoint) -> None:
        """Take an endpoint out of service and forget it, in the background."""
        route = self.invocations.route(endpoint.key)
        self.invocations.flip(endpoint.key, ())
        self.account.background(f"end {endpoint.name}", lambda: self._end(endpoint, route))

    def reweigh(self, endpoint: Endpoint) -> None:
        """Give the route the weights that the variants have now."""
        weights = {variant.name: variant.weight for variant in endpoint.variants}
        route = tuple(
            replace(way, weight=weights[way.variant], full=weights[way.variant])
            for way in self.invocations.route(endpoint.key)
        )
        self.invocations.flip(endpoint.key, route)

    def adopt_mix(self, endpoint: Endpoint) -> None:
        """A failed rollback left servers of two configurations: from now on they are the old fleet, as they stand."""
        route = self.invocations.route(endpoint.key)
        self.invocations.flip(endpoint.key, tuple(replace(way, new=False, full=way.weight) for way in route))

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

    def settle(self, endpoint: Endpoint, status: str) -> None:
        """A move has ended, in this status."""
        endpoint.status, endpoint.pending, endpoint.modified = status, None, now()
        self.account.changed.set()

    def strike_and_start(self, endpoint: Endpoint, pending: PendingDeployment) -> Servers:
        """The servers of a pending configuration. Planted faults strike here, once per configuration.

        Raises:
            ServerFailed: not all of them came up; none is left.
        """
        faults, name = self.account.faults, endpoint.name
        self._refuse_lost_places(pending.variants, endpoint.region)
        if faults.strike("capacity", endpoint=name):
            raise ServerFailed(NO_CAPACITY)
        wrong = faults.strike("wrong-answers", endpoint=name) is not None
        variants = tuple(replace(variant, wrong=wrong or variant.wrong) for variant in pending.variants)
        if faults.strike("crash", endpoint=name):
            return self.start(variants, endpoint, pending.configuration, crash=True)
        if fault := faults.strike("never-ready", endpoint=name):
            return self.start(variants, endpoint, pending.configuration, never=fault.seconds)
        return self.start(variants, endpoint, pending.configuration)

    def _refuse_lost_places(self, variants: Sequence[ProductionVariant], region: str) -> None:
        """Instances get network interfaces in their Model's subnets: where those are gone none can start."""
        with self.account.lock:
            there = find_places(region) if any(one.placed for one in variants) else {}
        lost = [(one.name, place) for one in variants for place in one.placed if place not in there]
        if lost:
            raise ServerFailed(NO_INTERFACE.format(variant=lost[0][0], place=lost[0][1]))

    def start(
        self,
        variants: Sequence[ProductionVariant],
        endpoint: Endpoint,
        configuration: str,
        *,
        crash: bool = False,
        never: float | None = None,
    ) -> Servers:
        """A ready server for every variant, or none at all and ServerFailed."""
        host, ways = self.account.host, list[WeightedServer]()
        try:
            for variant in variants:
                environment = shorten_windows(dict(variant.environment), self.account.clock)
                with self.account.lock:
                    secrets = look_up(environment, endpoint.region)
                server = host.start(self._reference(variant), environment, secrets)
                ways.append(
                    WeightedServer(
                        variant=variant.name,
                        weight=variant.weight,
                        full=variant.weight,
                        server=server,
                        wrong=variant.wrong,
                        configuration=configuration,
                        instances=variant.count,
                        shadow=variant.shadow,
                    )
                )
                if crash:
                    host.stop(server)
            for variant, way in zip(variants, ways, strict=True):
                self._wait_ready(variant, way.server, never)
        except ServerFailed:
            self.stop_servers(tuple(ways))
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

    def restore(self, endpoint: Endpoint) -> None:
        """After a start: what served serves again, or the endpoint is Failed."""
        try:
            route = self.start(endpoint.variants, endpoint, endpoint.configuration)
        except ServerFailed as failed:
            with self.account.lock:
                endpoint.failure = failed.what
                self.settle(endpoint, "Failed")
            return
        self.invocations.flip(endpoint.key, route)

    def renew(self, endpoint: Endpoint, lost: WeightedServer) -> None:
        """Another server in the place of one that does not answer. Raises ServerFailed."""
        fleet, configuration = endpoint.variants, endpoint.configuration
        if lost.new and endpoint.pending:
            fleet, configuration = endpoint.pending.variants, endpoint.pending.configuration
        variants = [variant for variant in fleet if variant.name == lost.variant]
        (fresh,) = self.start(variants, endpoint, configuration)
        with self.account.lock:
            route = self.invocations.route(endpoint.key)
            there = any(way.server.id == lost.server.id for way in route)
            kept = tuple(
                replace(way, server=fresh.server) if way.server.id == lost.server.id else way for way in route
            )
            self.invocations.flip(endpoint.key, kept)
        self.stop_servers((lost,) if there else (fresh,))

    def _replace(self, endpoint: Endpoint, lost: WeightedServer) -> None:
        try:
            with contextlib.suppress(ServerFailed):  # the next request that finds it lost tries again
                self.renew(endpoint, lost)
        finally:
            self._replacing.discard(lost.server.id)

    def _end(self, endpoint: Endpoint, route: Servers) -> None:
        self.stop_servers(route)
        with self.account.lock:
            if self.current(endpoint):
                del self.hosting.endpoints[endpoint.key]
                self.account.changed.set()

    def current(self, endpoint: Endpoint) -> bool:
        """Whether the account still has this endpoint; a reset may have emptied it while servers came up."""
        here = self.account.state.get("sagemaker") is self.hosting
        return here and self.hosting.endpoints.get(endpoint.key) is endpoint

    def stop_servers(self, route: Servers) -> None:
        """Let each answer what it has begun, and end it."""
        for way in route:
            self.invocations.drain(way.server)
            self.account.host.stop(way.server)


def find_places(region: str) -> dict[str, str]:
    """The VPC of each subnet and security group there is. The first who asks has moto make its EC2, which takes half a
    second and makes every snapshot a megabyte larger: ask only where something is placed."""
    from moto.ec2.models import ec2_backends

    backend = ec2_backends[ACCOUNT][region]
    subnets = {name: one.vpc_id for zone in backend.subnets.values() for name, one in zone.items()}
    return subnets | {name: one.vpc_id or "" for of in backend.groups.values() for name, one in of.items()}


def shorten_windows(environment: dict[str, str], clock: CloudClock) -> dict[str, str]:
    """A server that writes metrics writes them as often in a minute of the cloud's as on AWS."""
    if RELEASE not in environment or EVERY in environment:
        return environment
    return {**environment, EVERY: f"{max(clock.shorten(SECONDS), LEAST_WINDOW):.3g}"}
