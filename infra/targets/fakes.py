"""The fakes of a target: endpoints in memory, beside the protocols of base.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from infra.capabilities import Capability
from infra.hosts import Hosts
from infra.instances import table
from infra.targets.base import (
    JSON,
    Answer,
    Declared,
    Look,
    Observation,
    Phase,
    Provisioned,
    Service,
    Target,
    Traffic,
    look_away,
)
from infra.targets.guard import FakeGuard
from infra.targets.moves import ShiftPolicy
from modelpack.errors import EcomdeployError, Unhealthy
from modelpack.progress import Progress

if TYPE_CHECKING:
    from infra.aws_session import AwsSession


@dataclass
class FakeTraffic:
    """The fake: endpoints in memory. Each `shift` plays the next script, or succeeds without one.

    `images` maps a revision to what runs under it. A script is the list of observations that follow a shift; the last
    one stays. `answers`: by revision; `shares`: the revisions beside an endpoint's own that get some of its traffic;
    `copying`: what is seen, one after another, of a revision that gets copies;
    `dark`: revisions run before they have any; `written`: by a revision's servers; `unscaled`: why none
    follows the load; `calls`: what was asked, in order.
    """

    images: dict[str, str] = field(default_factory=dict)
    endpoints: dict[str, Observation] = field(default_factory=dict)
    scripts: list[list[Observation]] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    shares: dict[str, set[str]] = field(default_factory=dict)
    copying: list[Observation] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    written: dict[str, list[str]] = field(default_factory=dict)
    dark: bool = False
    unscaled: tuple[str, ...] = ()
    guard: FakeGuard = field(default_factory=FakeGuard)
    _coming: dict[str, list[Observation]] = field(default_factory=dict)

    def observe(self, endpoint: str) -> Observation:
        if self._coming.get(endpoint):
            self.endpoints[endpoint] = self._coming[endpoint].pop(0)
        return self.endpoints.get(endpoint, Observation(phase=Phase.ABSENT))

    def obstacles(self, revision: str) -> tuple[str, ...]:
        return () if revision in self.images else (f"there is no revision {revision}",)

    def find_scaling_trouble(self, revision: str) -> tuple[str, ...]:
        return self.unscaled

    def prepare(self, endpoint: str, revision: str, progress: Progress, deadline: float) -> bool:
        if self.dark:
            self.calls.append(f"prepare {revision}")
        return self.dark

    def mirror(
        self,
        endpoint: str,
        revision: str,
        policy: ShiftPolicy,
        progress: Progress,
        look: Look = look_away,
    ) -> None:
        assert policy.shadow is not None, "asked only where copies are"
        self.calls.append(f"mirror {policy.shadow.share} % of {endpoint} to {revision}")
        before = self.endpoints[endpoint]
        while self.copying:
            self.endpoints[endpoint] = seen = self.copying.pop(0)
            look(seen)
        if not self.endpoints[endpoint].copied:
            raise Unhealthy(f"{endpoint} copies nothing any more: {self.endpoints[endpoint].failure}")
        self.endpoints[endpoint] = before

    def shift(self, endpoint: str, revision: str, policy: ShiftPolicy) -> bool:
        seen = self.observe(endpoint)
        if seen.phase is Phase.ABSENT:
            raise EcomdeployError(f"there is no endpoint {endpoint}")
        if seen.answers and seen.revision == revision and not seen.copied:
            return False
        self.calls.append(f"shift {endpoint} to {revision}")
        self._coming[endpoint] = self.scripts.pop(0) if self.scripts else [self.settle(revision)]
        return True

    def settle(self, revision: str) -> Observation:
        """Serving from that revision."""
        images = (self.images[revision],) if revision in self.images else ()
        return Observation(phase=Phase.SERVING, status="fine", revision=revision, images=images, replicas=1)

    def wait(
        self, endpoint: str, revision: str, progress: Progress, deadline: float, look: Look = look_away
    ) -> Observation:
        look(seen := self.observe(endpoint))
        while self._coming.get(endpoint):
            progress.note(seen.status)
            look(seen := self.observe(endpoint))
        if seen.phase is not Phase.SERVING or seen.revision != revision:
            raise Unhealthy(f"endpoint {endpoint} did not reach {revision}: {seen.failure}")
        return seen

    def resize(self, endpoint: str, replicas: int, progress: Progress, deadline: float) -> bool:
        seen = self.observe(endpoint)
        if seen.replicas == replicas:
            return False
        self.calls.append(f"resize {endpoint} to {replicas}")
        self.endpoints[endpoint] = replace(seen, replicas=replicas)
        return True

    def invoke(
        self, endpoint: str, body: bytes, content_type: str = JSON, release: str | None = None
    ) -> Answer:
        self.calls.append(f"invoke {endpoint}" + (f" at {release}" if release else ""))
        seen = self.endpoints.get(endpoint, Observation(phase=Phase.ABSENT))
        apart = self.images if self.dark else self.shares.get(endpoint, ())
        if not seen.answers or release not in (None, seen.revision, *apart):
            raise EcomdeployError(
                f"endpoint {endpoint} takes no requests" + (f" for {release}" if release else "")
            )
        empty = Answer(status=200, body=b"{}", content_digest="", latency_ms=0.0)
        return self.answers.get(release or seen.revision, empty)

    def stream(self, endpoint: str, body: bytes, content_type: str = JSON) -> Iterator[bytes]:
        yield from self.invoke(endpoint, body, content_type).body.splitlines(keepends=True)

    def logs(self, endpoint: str, lines: int) -> list[str]:
        return self.calls[-lines:]

    def logs_to_keep(self, revision: str, lines: int) -> list[str]:
        return self.written.get(revision, [])[-lines:]


class FakeTarget(Target):
    """The fake: has the GPU pools' instances and no host images, declares nothing, acts through its FakeTraffic."""

    name = "fake"
    lacks: ClassVar[Mapping[Capability, str]] = {Capability.HOST_IMAGES: "its pools choose theirs"}

    def __init__(self, traffic: FakeTraffic | None = None) -> None:
        self.acting = traffic or FakeTraffic()

    def hosts(self) -> Hosts:
        return Hosts(instances=table("pool"), with_gpu="g6.xlarge")

    def resources(self, service: Service, releases: Sequence[Declared], opts: Any = None) -> Provisioned:
        names = {release.key: f"{service.endpoint}-{release.key}" for release in releases}
        return Provisioned(endpoint=service.endpoint if releases else "", revisions=names, alarms=())

    def traffic(self, environment: Mapping[str, str], session: AwsSession | None = None) -> Traffic:
        return self.acting
