"""What a place that runs releases must do. One target is one package (or file) beside this one.

Two sides, so that Pulumi owns what exists and the rollout owns traffic: `Target.resources` declares, inside a Pulumi
program; `Traffic` acts and observes, through the place's own API. Nothing here imports either.

What a target provisions for one release is called its *revision*: something that is ready to take traffic, or can be
made so, under a name that the target gives. Nobody but the target looks into that name.
"""

from __future__ import annotations

import abc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from infra.hosts import Hosts
from infra.instances import table
from infra.spec import AlarmSpec, ScaleSpec
from infra.tags import Tags
from modelpack.errors import BadInput, EcomdeployError, Problem, Unhealthy
from modelpack.progress import Progress

JSON = "application/json"


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A release as the `service` stack declares it: its serving configuration, fixed when the release was made.

    `key`: 12 hex of its content; `image`: by digest; `count`: replicas it starts with, where nothing is kept.
    `initial`: the endpoint is first created on it (later ignored: the rollout owns traffic); `host_image`: what its
    instances boot from, "" where the place's own will do.
    """

    key: str
    image: str
    instance: str
    count: int
    environment: Mapping[str, str] = field(default_factory=dict)
    initial: bool = False
    host_image: str = ""


@dataclass(frozen=True, kw_only=True)
class Service:
    """What all releases of a service share. `base`: the base stack's outputs, of which a target takes what it needs
    (as whom to serve, for one); `now`: for sale days that have begun; `confidential`: values of parameters by name, of
    those that are new (infra/secrets.py)."""

    endpoint: str
    base: Mapping[str, Any]
    project_tags: Tags
    now: datetime
    scale: ScaleSpec = field(default_factory=ScaleSpec)
    alarms: AlarmSpec = field(default_factory=AlarmSpec)
    account: str = ""
    region: str = ""
    partition: str = "aws"
    confidential: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class Provisioned:
    """Pulumi outputs of a service. `revisions`: names by release key; `endpoint` is "" without any release."""

    endpoint: Any
    revisions: Mapping[str, Any]
    alarms: tuple[str, ...]


class Phase(StrEnum):
    """Where an endpoint is, whatever the place calls it."""

    ABSENT = "absent"
    CREATING = "creating"
    """It has never answered yet."""
    SERVING = "serving"
    """It answers, and all traffic is where it was asked to be."""
    CHANGING = "changing"
    """It answers, on the way to another revision or back."""
    DEGRADED = "degraded"
    """It does not answer, or from a mixture; it can be moved."""
    FAILED = "failed"
    """It does not answer, and can only be removed."""
    REMOVING = "removing"


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What the place says of an endpoint.

    `status`: in its own word, for messages only; `revision`: where traffic is; `images`: what runs, as
    `...@sha256:...`; `failure`: its reason, if any; `destination`: to which revision it is changing, where the place
    says so; `replicas`: running now; `shortage`: the failure is the place's own, which had no capacity or quota.
    """

    phase: Phase
    status: str = ""
    revision: str = ""
    images: tuple[str, ...] = ()
    failure: str = ""
    replicas: int = 0
    destination: str = ""
    shortage: bool = False

    @property
    def answers(self) -> bool:
        """Whether requests are answered now."""
        return self.phase in (Phase.SERVING, Phase.CHANGING)

    @property
    def moving(self) -> bool:
        """Whether it will be something else without being asked."""
        return self.phase in (Phase.CREATING, Phase.CHANGING, Phase.REMOVING)

    @property
    def gone(self) -> bool:
        """Whether there is nothing that could be moved."""
        return self.phase in (Phase.ABSENT, Phase.FAILED)


@dataclass(frozen=True, kw_only=True)
class ShiftPolicy:
    """How traffic moves. Seconds throughout.

    `keep_capacity`: keep the replicas that run now instead of the new revision's count (for what scales by itself).
    `alarms`: names that turn the shift back while `bake` lasts. `timeout`: the place's own limit.
    """

    keep_capacity: bool = False
    alarms: tuple[str, ...] = ()
    bake: int = 0
    timeout: int = 1800


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer through the route. `content_digest`: what the server says it serves; "" if it does not."""

    status: int
    body: bytes
    content_digest: str
    latency_ms: float


@dataclass(frozen=True)
class Clock:
    """Seconds that only grow, and waiting; tests give their own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Traffic(Protocol):
    """Acts on endpoints. Raises `CloudRefused` (credentials, quota, capacity), else `EcomdeployError`."""

    def observe(self, endpoint: str) -> Observation:
        """What is there now; no such endpoint is a phase, too."""
        ...

    def obstacles(self, revision: str) -> tuple[str, ...]:
        """Why traffic cannot move to that revision, in words; empty: it can."""
        ...

    def shift(self, endpoint: str, revision: str, policy: ShiftPolicy) -> bool:
        """Begin to move traffic. False: it is on (or on its way to) that revision already."""
        ...

    def wait(self, endpoint: str, revision: str, progress: Progress, deadline: float) -> Observation:
        """Until the endpoint serves from that revision; `deadline` in seconds from now.

        `Unhealthy` when it failed, ended elsewhere (a silent roll back) or the deadline passed."""
        ...

    def invoke(
        self, endpoint: str, body: bytes, content_type: str = JSON, release: str | None = None
    ) -> Answer:
        """One request through the route. An error of the model is a `Answer` with its status.

        `release`: only from the release of this revision, whatever its share of the traffic. `EcomdeployError` when
        it takes no requests, or cannot be told from another just now."""
        ...

    def stream(self, endpoint: str, body: bytes, content_type: str = JSON) -> Iterator[bytes]:
        """One request through the route, its answer in parts as they come.

        EcomdeployError when the model refuses it, or the stream breaks."""
        ...

    def logs(self, endpoint: str, lines: int) -> list[str]:
        """The last lines that the endpoint's servers wrote, the newest last."""
        ...


class Capability(StrEnum):
    """What a spec may ask of a target that not every target has (by which keys: `stacks/reading/rules.py`)."""

    SCALE_TO_ZERO = "scale to zero"
    HOST_IMAGES = "choose a host image"


class Target(abc.ABC):
    """A place that runs releases. `lacks`: what it cannot do, each with the reason or the way round; a spec that asks
    for it is refused with these words."""

    name: ClassVar[str]
    lacks: ClassVar[Mapping[Capability, str]] = {}

    @abc.abstractmethod
    def hosts(self) -> Hosts:
        """The instance types and host images that a release can run on here."""

    @abc.abstractmethod
    def resources(self, service: Service, releases: Sequence[Declared], opts: Any = None) -> Provisioned:
        """Declare everything the releases need, inside a running Pulumi program (`opts`: ResourceOptions)."""

    @abc.abstractmethod
    def traffic(self, environment: Mapping[str, str]) -> Traffic:
        """The acting side, for the credentials and addresses in `environment` (AWS's variable names)."""


def initial_release(releases: Sequence[Declared]) -> Declared | None:
    """The release that the endpoint is created on: the marked one, else the last; None without any."""
    marked = [release for release in releases if release.initial]
    keys = [release.key for release in releases]
    problems = []
    if len(marked) > 1:
        problems.append(
            Problem(f"only one release may be the initial one, got {', '.join(one.key for one in marked)}")
        )
    if len(set(keys)) != len(keys):
        problems.append(Problem(f"releases must have different keys, got {', '.join(keys)}"))
    if problems:
        raise BadInput(problems)
    return next(iter(marked or releases[-1:]), None)


@dataclass
class FakeTraffic:
    """The fake: endpoints in memory. Each `shift` plays the next script, or succeeds without one.

    `images` maps a revision to what runs under it. A script is the list of observations that follow a shift; the last
    one stays. `answers`: by revision; `shares`: the revisions beside an endpoint's own that get some of its traffic;
    `calls`: what was asked, in order.
    """

    images: dict[str, str] = field(default_factory=dict)
    endpoints: dict[str, Observation] = field(default_factory=dict)
    scripts: list[list[Observation]] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    shares: dict[str, set[str]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    _coming: dict[str, list[Observation]] = field(default_factory=dict)

    def observe(self, endpoint: str) -> Observation:
        if self._coming.get(endpoint):
            self.endpoints[endpoint] = self._coming[endpoint].pop(0)
        return self.endpoints.get(endpoint, Observation(phase=Phase.ABSENT))

    def obstacles(self, revision: str) -> tuple[str, ...]:
        return () if revision in self.images else (f"there is no revision {revision}",)

    def shift(self, endpoint: str, revision: str, policy: ShiftPolicy) -> bool:
        seen = self.observe(endpoint)
        if seen.phase is Phase.ABSENT:
            raise EcomdeployError(f"there is no endpoint {endpoint}")
        if seen.answers and seen.revision == revision:
            return False
        self.calls.append(f"shift {endpoint} to {revision}")
        self._coming[endpoint] = self.scripts.pop(0) if self.scripts else [self.settle(revision)]
        return True

    def settle(self, revision: str) -> Observation:
        """Serving from that revision."""
        images = (self.images[revision],) if revision in self.images else ()
        return Observation(phase=Phase.SERVING, status="fine", revision=revision, images=images, replicas=1)

    def wait(self, endpoint: str, revision: str, progress: Progress, deadline: float) -> Observation:
        seen = self.observe(endpoint)
        while self._coming.get(endpoint):
            progress.note(seen.status)
            seen = self.observe(endpoint)
        if seen.phase is not Phase.SERVING or seen.revision != revision:
            raise Unhealthy(f"endpoint {endpoint} did not reach {revision}: {seen.failure}")
        return seen

    def invoke(
        self, endpoint: str, body: bytes, content_type: str = JSON, release: str | None = None
    ) -> Answer:
        self.calls.append(f"invoke {endpoint}" + (f" at {release}" if release else ""))
        seen = self.endpoints.get(endpoint, Observation(phase=Phase.ABSENT))
        if not seen.answers or release not in (None, seen.revision, *self.shares.get(endpoint, ())):
            raise EcomdeployError(
                f"endpoint {endpoint} takes no requests" + (f" for {release}" if release else "")
            )
        empty = Answer(status=200, body=b"{}", content_digest="", latency_ms=0.0)
        return self.answers.get(release or seen.revision, empty)

    def stream(self, endpoint: str, body: bytes, content_type: str = JSON) -> Iterator[bytes]:
        yield from self.invoke(endpoint, body, content_type).body.splitlines(keepends=True)

    def logs(self, endpoint: str, lines: int) -> list[str]:
        return self.calls[-lines:]


class FakeTarget(Target):
    """The fake: has the GPU pools' instances and no host images, declares nothing, acts through its FakeTraffic."""

    name = "fake"
    lacks: ClassVar[Mapping[Capability, str]] = {Capability.HOST_IMAGES: "its pools choose theirs"}

    def __init__(self, traffic: FakeTraffic | None = None) -> None:
        self.acting = traffic or FakeTraffic()

    def hosts(self) -> Hosts:
        return Hosts(instances=table("pool"), with_gpu="g6.xlarge")

    def resources(self, service: Service, releases: Sequence[Declared], opts: Any = None) -> Provisioned:
        first = initial_release(releases)
        names = {release.key: f"{service.endpoint}-{release.key}" for release in releases}
        return Provisioned(endpoint=service.endpoint if first else "", revisions=names, alarms=())

    def traffic(self, environment: Mapping[str, str]) -> Traffic:
        return self.acting
