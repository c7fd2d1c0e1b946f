"""What a place that runs releases must do. One target is one package (or file) beside this one.

Two sides, so that Pulumi owns what exists and the rollout owns traffic: `Target.resources` declares, inside
a Pulumi program; `Traffic` acts and observes, through the place's own API. Nothing here imports either.
"""

from __future__ import annotations

import abc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Protocol

from infra.spec import AlarmSpec, ScaleSpec
from infra.tags import Tags
from modelpack.errors import BadInput, EcomdeployError, Problem, Unhealthy
from modelpack.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A release as the `service` stack declares it: its serving contract, fixed when the release was made.

    `key`: 12 hex of its content; `image`: by digest; `count`: replicas it starts with, where nothing is kept.
    `serving`: the endpoint is first created on it (later ignored: the rollout owns traffic); `ami`: the host image
    with the GPU driver it needs, "" where the place's own will do.
    """

    key: str
    image: str
    instance: str
    count: int
    environment: Mapping[str, str] = field(default_factory=dict)
    serving: bool = False
    ami: str = ""


@dataclass(frozen=True, kw_only=True)
class Service:
    """What all releases of a service share. `now`: for sale days that have begun."""

    endpoint: str
    role_arn: str
    project_tags: Tags
    now: datetime
    scale: ScaleSpec = field(default_factory=ScaleSpec)
    alarms: AlarmSpec = field(default_factory=AlarmSpec)


@dataclass(frozen=True, kw_only=True)
class Provisioned:
    """Pulumi outputs of a service: names by release key. Empty `endpoint`: there is no release to serve."""

    endpoint: Any
    configurations: Mapping[str, Any]
    models: Mapping[str, Any]
    alarms: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What the place says of an endpoint.

    `status`: its own word ("InService"); `configuration`: where traffic is; `images`: what runs, as
    `...@sha256:...`; `failure`: its reason, if any; `serving`: whether requests are answered now; `changing`:
    whether it is on its way to something else; `destination`: to which configuration, where the place says
    so; `replicas`: running now.
    """

    status: str
    configuration: str
    images: tuple[str, ...] = ()
    failure: str = ""
    serving: bool = False
    changing: bool = False
    replicas: int = 0
    destination: str = ""


@dataclass(frozen=True, kw_only=True)
class ShiftPolicy:
    """How traffic moves. Seconds throughout.

    `keep_capacity`: keep the replicas that run now instead of the new configuration's count (for what scales
    by itself). `alarms`: names that turn the shift back while `bake` lasts. `timeout`: the place's own limit.
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

    def observe(self, endpoint: str) -> Observation | None:
        """What is there now; None: no such endpoint."""
        ...

    def obstacles(self, configuration: str) -> tuple[str, ...]:
        """Why traffic cannot move to that configuration, in words; empty: it can."""
        ...

    def shift(self, endpoint: str, configuration: str, policy: ShiftPolicy) -> bool:
        """Begin to move traffic. False: it is on (or on its way to) that configuration already."""
        ...

    def wait(self, endpoint: str, configuration: str, progress: Progress, deadline: float) -> Observation:
        """Until the endpoint serves from that configuration; `deadline` in seconds from now.

        `Unhealthy` when it failed, ended elsewhere (a silent roll back) or the deadline passed."""
        ...

    def invoke(self, endpoint: str, body: bytes, content_type: str = "application/json") -> Answer:
        """One request through the route. An error of the model is an `Answer` with its status."""
        ...

    def stream(self, endpoint: str, body: bytes, content_type: str = "application/json") -> Iterator[bytes]:
        """One request through the route, its answer in parts as they come.

        EcomdeployError when the model refuses it, or the stream breaks."""
        ...


class Target(abc.ABC):
    """A place that runs releases. `lacks`: what it cannot do, each with the reason or the way round."""

    name: ClassVar[str]
    lacks: ClassVar[Mapping[str, str]] = {}

    @abc.abstractmethod
    def resources(self, service: Service, releases: Sequence[Declared], opts: Any = None) -> Provisioned:
        """Declare everything the releases need, inside a running Pulumi program (`opts`: ResourceOptions)."""

    @abc.abstractmethod
    def traffic(self, environment: Mapping[str, str]) -> Traffic:
        """The acting side, for the credentials and addresses in `environment` (AWS's variable names)."""


def serving(releases: Sequence[Declared]) -> Declared | None:
    """The release that the endpoint is created on: the marked one, else the last; None without any."""
    marked = [release for release in releases if release.serving]
    keys = [release.key for release in releases]
    problems = []
    if len(marked) > 1:
        problems.append(
            Problem(f"only one release may be serving, got {', '.join(one.key for one in marked)}")
        )
    if len(set(keys)) != len(keys):
        problems.append(Problem(f"releases must have different keys, got {', '.join(keys)}"))
    if problems:
        raise BadInput(problems)
    return next(iter(marked or releases[-1:]), None)


@dataclass
class FakeTraffic:
    """The fake: endpoints in memory. Each `shift` plays the next script, or succeeds without one.

    `images` maps a configuration to what runs under it. A script is the list of observations that follow a
    shift; the last one stays. `answers`: by configuration; `calls`: what was asked, in order.
    """

    images: dict[str, str] = field(default_factory=dict)
    endpoints: dict[str, Observation] = field(default_factory=dict)
    scripts: list[list[Observation]] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    _coming: dict[str, list[Observation]] = field(default_factory=dict)

    def observe(self, endpoint: str) -> Observation | None:
        if self._coming.get(endpoint):
            self.endpoints[endpoint] = self._coming[endpoint].pop(0)
        return self.endpoints.get(endpoint)

    def obstacles(self, configuration: str) -> tuple[str, ...]:
        return () if configuration in self.images else (f"there is no configuration {configuration}",)

    def shift(self, endpoint: str, configuration: str, policy: ShiftPolicy) -> bool:
        seen = self.endpoints.get(endpoint)
        if seen is None:
            raise EcomdeployError(f"there is no endpoint {endpoint}")
        if seen.serving and seen.configuration == configuration:
            return False
        self.calls.append(f"shift {endpoint} to {configuration}")
        self._coming[endpoint] = self.scripts.pop(0) if self.scripts else [self.settled(configuration)]
        return True

    def settled(self, configuration: str) -> Observation:
        """In service on that configuration."""
        images = (self.images[configuration],) if configuration in self.images else ()
        return Observation(
            status="InService", configuration=configuration, images=images, serving=True, replicas=1
        )

    def wait(self, endpoint: str, configuration: str, progress: Progress, deadline: float) -> Observation:
        seen = self.observe(endpoint)
        while seen is not None and self._coming.get(endpoint):
            progress.note(seen.status)
            seen = self.observe(endpoint)
        if seen is None or not seen.serving or seen.configuration != configuration:
            raise Unhealthy(f"endpoint {endpoint} did not reach {configuration}: {seen and seen.failure}")
        return seen

    def invoke(self, endpoint: str, body: bytes, content_type: str = "application/json") -> Answer:
        self.calls.append(f"invoke {endpoint}")
        seen = self.endpoints.get(endpoint)
        if seen is None or not seen.serving:
            raise EcomdeployError(f"endpoint {endpoint} takes no requests")
        empty = Answer(status=200, body=b"{}", content_digest="", latency_ms=0.0)
        return self.answers.get(seen.configuration, empty)

    def stream(self, endpoint: str, body: bytes, content_type: str = "application/json") -> Iterator[bytes]:
        yield from self.invoke(endpoint, body, content_type).body.splitlines(keepends=True)


class FakeTarget(Target):
    """The fake: declares nothing, acts through the FakeTraffic it was made with."""

    name = "fake"

    def __init__(self, traffic: FakeTraffic | None = None) -> None:
        self.acting = traffic or FakeTraffic()

    def resources(self, service: Service, releases: Sequence[Declared], opts: Any = None) -> Provisioned:
        first = serving(releases)
        names = {release.key: f"{service.endpoint}-{release.key}" for release in releases}
        return Provisioned(
            endpoint=service.endpoint if first else "", configurations=names, models=names, alarms=()
        )

    def traffic(self, environment: Mapping[str, str]) -> Traffic:
        return self.acting
