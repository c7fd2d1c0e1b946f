"""The acting side on a cluster: one object over observe.py, shift.py, invoke.py and logs.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from infra.kubernetes.base import KubernetesApi
from infra.kubernetes.patience import look_patiently
from infra.spec import ClusterSpec
from infra.targets.base import JSON, Answer, Clock, Look, Observation, look_away
from infra.targets.guard import Guard
from infra.targets.kserve import invoke, logs, observe, scaler, shift
from infra.targets.kserve.doors import Door, GatewayDoor, door_of_release, find_door, has_services_hosts
from infra.targets.kserve.guard import PrometheusGuard
from infra.targets.kserve.names import ClusterPlace, own_host
from infra.targets.kserve.steps import SteppedRollout
from infra.targets.moves import ShiftPolicy
from modelpack.errors import EcomdeployError
from modelpack.progress import Progress


@dataclass
class KServeTraffic:
    """`infra.targets.base.Traffic` over one API server and one gateway."""

    api: KubernetesApi
    place: ClusterPlace
    clock: Clock = field(default_factory=Clock)

    @property
    def guard(self) -> Guard:
        return PrometheusGuard(
            self.api, self.place, lambda endpoint, *why: self._steps(endpoint).turn_back(*why)
        )

    def observe(self, endpoint: str) -> Observation:
        return observe.observe(self.api, self.place.namespace, endpoint)

    def obstacles(self, revision: str) -> tuple[str, ...]:
        return observe.obstacles(self.api, self.place.namespace, revision)

    def find_scaling_trouble(self, revision: str) -> tuple[str, ...]:
        return scaler.find_trouble(self.api, self.place.namespace, revision)

    def prepare(self, endpoint: str, revision: str, progress: Progress, deadline: float) -> bool:
        shift.prepare(self.api, self.place.namespace, endpoint, revision, progress, deadline, self.clock)
        return True

    def mirror(
        self,
        endpoint: str,
        revision: str,
        policy: ShiftPolicy,
        progress: Progress,
        look: Look = look_away,
    ) -> None:
        """Led from here, as a step in which it has no share; in the end nothing is copied any more."""
        assert policy.shadow is not None, "asked only where copies are"
        steps, deadline = self._steps(endpoint, policy.shadow.share), policy.timeout + policy.shadow.bake
        record = look_patiently(steps.lease.read, self.clock.now() + deadline, self.clock)
        if record is None or not record.watching or (record.new, record.shares) != (revision, (0,)):
            shift.may_move(self.api, self.place.namespace, endpoint, revision)
            steps.begin(revision, policy.keep_copies())
            record = steps.lease.read()
        assert record is not None, "it was written just now"
        steps.lead(record, progress, deadline, look)

    def shift(self, endpoint: str, revision: str, policy: ShiftPolicy) -> bool:
        if not policy.bake:
            return shift.shift(self.api, self.place.namespace, endpoint, revision)
        return shift.may_move(self.api, self.place.namespace, endpoint, revision) and self._steps(
            endpoint
        ).begin(revision, policy)

    def wait(
        self, endpoint: str, revision: str, progress: Progress, deadline: float, look: Look = look_away
    ) -> Observation:
        """A move in steps is led from here, from where it is. One at once has nothing to be looked at on the way."""
        steps, end = self._steps(endpoint), self.clock.now() + deadline
        record = look_patiently(steps.lease.read, end, self.clock)
        if record and record.watching and record.new == revision:
            steps.lead(record, progress, deadline, look)
        namespace = self.place.namespace
        left = end - self.clock.now()
        return shift.wait(self.api, namespace, endpoint, revision, progress, left, self.clock)

    def resize(self, endpoint: str, replicas: int, progress: Progress, deadline: float) -> bool:
        """A release's own autoscaler keeps it between what is declared."""
        return False

    def invoke(
        self, endpoint: str, body: bytes, content_type: str = JSON, release: str | None = None
    ) -> Answer:
        host = own_host(release, self.place.namespace) if release else self._host(endpoint)
        return invoke.invoke(self._door(release), host, body, content_type, self.clock)

    def stream(self, endpoint: str, body: bytes, content_type: str = JSON) -> Iterator[bytes]:
        return invoke.stream(self._door(), self._host(endpoint), body, content_type)

    def logs(self, endpoint: str, lines: int) -> list[str]:
        return logs.tail(self.api, self.place.namespace, endpoint, lines)

    def logs_to_keep(self, revision: str, lines: int) -> list[str]:
        return logs.tail_revision(self.api, self.place.namespace, revision, lines)

    def _steps(self, endpoint: str, copied: int = 0) -> SteppedRollout:
        return SteppedRollout(self.api, self.place, endpoint, self.clock, copied=copied)

    def _host(self, endpoint: str) -> str:
        way = observe.find_way(self.api, self.place.namespace, endpoint)
        if way is None:
            raise EcomdeployError(f"there is no endpoint {endpoint}", hint="ecomdeploy up makes it")
        return way.hostname

    def _door(self, release: str | None = None) -> Door:
        gateway, parent = self.place.gateway, self.place.parent
        if gateway and (release is None or not parent or has_services_hosts(self.api, parent)):
            return GatewayDoor(gateway)
        if release:
            return door_of_release(self.api, self.place.namespace, release)
        return find_door(self.api, parent or ClusterSpec.gateway)
