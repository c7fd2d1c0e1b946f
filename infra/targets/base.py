"""What a place that runs releases must do. One target is one package (or file) beside this one.

Two sides, so that Pulumi owns what exists and the rollout owns traffic: `Target.resources` declares, inside a
Pulumi program; `Traffic` acts and observes, through the place's own API. Nothing here imports Pulumi or an SDK.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from infra.labels import Labels
from infra.spec import AlarmSpec, ScaleSpec
from modelpack.errors import BadInput, Problem
from modelpack.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A release as the `service` stack declares it: its serving contract, fixed when the release was made.

    `key`: 12 hex of its content; `image`: by digest; `count`: replicas it starts with, where nothing is kept.
    `serving`: the endpoint is first created on it (later ignored: the rollout owns traffic).
    """

    key: str
    image: str
    instance: str
    count: int
    environment: Mapping[str, str] = field(default_factory=dict)
    serving: bool = False


@dataclass(frozen=True, kw_only=True)
class Service:
    """What all releases of a service share. `now`: for sale days that have begun."""

    endpoint: str
    role_arn: str
    labels: Labels
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

    `status`: its own word ("InService"); `configuration`: where traffic is; `images`: the resolved digests that
    run (`...@sha256:...`); `failure`: its reason, if any; `serving`: whether requests are answered now;
    `changing`: whether it is on its way to something else; `replicas`: running now.
    """

    status: str
    configuration: str
    images: tuple[str, ...] = ()
    failure: str = ""
    serving: bool = False
    changing: bool = False
    replicas: int = 0


@dataclass(frozen=True, kw_only=True)
class ShiftPolicy:
    """How traffic moves. Seconds throughout.

    `keep_capacity`: keep the replicas that run now instead of the new configuration's count (for what scales by
    itself). `alarms`: names that turn the shift back while `bake` lasts. `timeout`: the place's own limit.
    """

    keep_capacity: bool = False
    alarms: tuple[str, ...] = ()
    bake: int = 0
    timeout: int = 1800


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A prediction's answer through the route. `content_id`: what the server says it serves; "" if it does not."""

    status: int
    body: bytes
    content_id: str
    latency_ms: float


class Traffic(Protocol):
    """Acts on endpoints. Raises `CloudRefused` (credentials, quota, capacity), `EcomdeployError` otherwise."""

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


class Target(Protocol):
    """A place that runs releases. `lacks`: what it cannot do, each with the reason or the way round."""

    name: str
    lacks: Mapping[str, str]

    def resources(self, service: Service, releases: Sequence[Declared], opts: Any = None) -> Provisioned:
        """Declare everything the releases need, inside a running Pulumi program (`opts`: ResourceOptions)."""
        ...

    def traffic(self, environment: Mapping[str, str]) -> Traffic:
        """The acting side, for the credentials and addresses in `environment` (AWS's variable names)."""
        ...


def serving(releases: Sequence[Declared]) -> Declared | None:
    """The release that the endpoint is created on: the marked one, else the last; None without any."""
    marked = [release for release in releases if release.serving]
    keys = [release.key for release in releases]
    problems = []
    if len(marked) > 1:
        problems.append(Problem(f"only one release may be serving, got {', '.join(one.key for one in marked)}"))
    if len(set(keys)) != len(keys):
        problems.append(Problem(f"releases must have different keys, got {', '.join(keys)}"))
    if problems:
        raise BadInput(problems)
    return next(iter(marked or releases[-1:]), None)
