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
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from infra.capabilities import Capability
from infra.hosting import HostingOptions
from infra.hosts import Hosts
from infra.spec import AlarmSpec, ClusterSpec, ScaleSpec
from infra.tags import Tags
from infra.targets.guard import Guard
from infra.targets.moves import ShiftPolicy
from modelpack.progress import Progress

if TYPE_CHECKING:
    from infra.aws_session import AwsSession

JSON = "application/json"
OURS = ClusterSpec(distribution="eks")
"""The local cloud's cluster, and the platform's."""


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A release as the `service` stack declares it: its serving configuration, fixed when the release was made.

    `key`: 12 hex of its content; `image`: by digest; `count`: replicas it starts with, where nothing is kept.
    `initial`: the endpoint is first created on it (later ignored: the rollout owns traffic); `stopped`: it may stand
    without servers, being neither live, nor on its way, nor what a rollback goes to; `host_image`: what its instances
    boot from, "" where the place's own will do; `hosting`: as it was asked for when the release was made;
    `guardrails`: of its pack, by name, from which share of the answers on it is no longer normal; `shadow_of`: the key
    of the release of whose requests it is to get copies first, `copied` percent of them.
    """

    key: str
    image: str
    instance: str
    count: int
    environment: Mapping[str, str] = field(default_factory=dict)
    initial: bool = False
    stopped: bool = False
    host_image: str = ""
    hosting: HostingOptions = field(default_factory=HostingOptions)
    guardrails: Mapping[str, float] = field(default_factory=dict)
    shadow_of: str = ""
    copied: int = 0


@dataclass(frozen=True, kw_only=True)
class MetricsPlace:
    """Where a cluster's autoscaler asks how much load there is: `prometheus` as `ClusterSpec` has it, "" for nowhere;
    `pace`: how many seconds of its periods pass in one, which is more than one on the local cloud alone."""

    prometheus: str = ""
    pace: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Service:
    """What all releases of a service share. `base`: the base stack's outputs, of which a target takes what it needs
    (as whom to serve, for one); `now`: for sale days that have begun; `namespace`: where on a cluster; `cluster`:
    what that one wants to be said; `watched`: its releases bake; `rules`: that cluster takes alarms as objects;
    `metrics`: where its load is asked for; `confidential`: values of parameters by name, of those that are new
    (infra/secrets.py)."""

    endpoint: str
    base: Mapping[str, Any]
    project_tags: Tags
    now: datetime
    scale: ScaleSpec = field(default_factory=ScaleSpec)
    alarms: AlarmSpec = field(default_factory=AlarmSpec)
    account: str = ""
    region: str = ""
    partition: str = "aws"
    namespace: str = "default"
    cluster: ClusterSpec = field(default_factory=lambda: OURS)
    watched: bool = False
    rules: bool = False
    metrics: MetricsPlace = MetricsPlace()
    confidential: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class Provisioned:
    """Pulumi outputs of a service. `revisions`: names by release key; `endpoint` is "" without any release; `alarms`:
    on all that the endpoint answers; `release_alarms`: by release key, on what that one answers alone; `shadows`: by
    the key of a release that is to get copies, by what name that is ready; `shadow_alarms`: on what it answers to them.
    """

    endpoint: Any
    revisions: Mapping[str, Any]
    alarms: tuple[str, ...]
    release_alarms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shadows: Mapping[str, Any] = field(default_factory=dict)
    shadow_alarms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


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
    says so; `replicas`: running now; `shortage`: the failure is the place's own, which had no capacity or quota;
    `share`: percent of the traffic that the destination has; `baking`: since when that share is being watched; `due`:
    the same, once it was watched long enough where the place waits for our word; `turned_back`: what became of the last
    rollout, where the place put traffic back by itself, in words; `copied`: percent of the requests that the
    destination gets copies of, while it has no share.
    """

    phase: Phase
    status: str = ""
    revision: str = ""
    images: tuple[str, ...] = ()
    failure: str = ""
    replicas: int = 0
    destination: str = ""
    shortage: bool = False
    share: int = 0
    baking: datetime | None = None
    due: datetime | None = None
    turned_back: str = ""
    copied: int = 0

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


Look = Callable[[Observation], None]
"""Called with what is seen while something is waited for; `Unhealthy` ends the waiting."""


def look_away(seen: Observation) -> None:
    """Nobody looks on."""


class Traffic(Protocol):
    """Acts on endpoints. Raises `CloudRefused` (credentials, quota, capacity), else `EcomdeployError`."""

    @property
    def guard(self) -> Guard: ...

    def observe(self, endpoint: str) -> Observation:
        """What is there now; no such endpoint is a phase, too."""
        ...

    def obstacles(self, revision: str) -> tuple[str, ...]:
        """Why traffic cannot move to that revision, in words; empty: it can."""
        ...

    def find_scaling_trouble(self, revision: str) -> tuple[str, ...]:
        """Why its servers do not follow load and schedule, in words; empty: they do, or nobody asks it of them."""
        ...

    def prepare(self, endpoint: str, revision: str, progress: Progress, deadline: float) -> bool:
        """Until that revision answers by itself, whatever its share of the traffic; `deadline` in seconds from now.

        False: nothing of it runs before traffic is shifted to it. Raises as `wait`."""
        ...

    def mirror(
        self,
        endpoint: str,
        revision: str,
        policy: ShiftPolicy,
        progress: Progress,
        look: Look = look_away,
    ) -> None:
        """Copy requests to that revision, as `policy.shadow` says, until they have been watched for long enough and
        `look` has seen it due; goes on where an earlier run was. All traffic stays where it is.

        `Unhealthy` when the place ended it (an alarm), or `look` did. Raises as `wait`."""
        ...

    def shift(self, endpoint: str, revision: str, policy: ShiftPolicy) -> bool:
        """Begin to move traffic. False: it is on (or on its way to) that revision already."""
        ...

    def wait(
        self, endpoint: str, revision: str, progress: Progress, deadline: float, look: Look = look_away
    ) -> Observation:
        """Until the endpoint serves from that revision; `deadline` in seconds from now. `look` sees each observation.

        `Unhealthy` when it failed, ended elsewhere (a silent roll back) or the deadline passed."""
        ...

    def resize(self, endpoint: str, replicas: int, progress: Progress, deadline: float) -> bool:
        """Run that many replicas, and wait until they do; `deadline` in seconds from now. False: they do already, or
        the place sees to it by itself (`Hosts.counts_by_hand`).

        `Unhealthy`, or `CloudRefused` for want of capacity, when it ended with another number."""
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

    def logs_to_keep(self, revision: str, lines: int) -> list[str]:
        """The last lines that the servers of a revision wrote, where they go with the revision; else none."""
        ...


class Target(abc.ABC):
    """A place that runs releases. `lacks`: what it cannot do, each with the reason or the way round; a spec that asks
    for it is refused with these words."""

    name: ClassVar[str]
    lacks: ClassVar[Mapping[Capability, str]] = {}
    on_cluster: ClassVar[bool] = False
    """Whether its resources are a Kubernetes cluster's; else they are AWS's."""

    slowest_ms: ClassVar[float] = float("inf")
    """The longest time of an answer that is told from longer ones there: no alarm rings above it."""

    def longest_endpoint(self, namespace: str) -> int:
        """How many characters an endpoint's name may have there."""
        return 49

    def log_group(self, endpoint: str) -> str:
        """Where CloudWatch has what the endpoint's servers write; "" where they write elsewhere."""
        return ""

    @abc.abstractmethod
    def hosts(self) -> Hosts:
        """The instance types and host images that a release can run on here."""

    @abc.abstractmethod
    def resources(self, service: Service, releases: Sequence[Declared], opts: Any = None) -> Provisioned:
        """Declare everything the releases need, inside a running Pulumi program (`opts`: ResourceOptions)."""

    @abc.abstractmethod
    def traffic(self, environment: Mapping[str, str], session: AwsSession | None = None) -> Traffic:
        """The acting side, for the credentials and addresses in `environment` (`session`: one that was made of them
        already, with its clients): AWS's variables, and for a cluster
        KUBECONFIG, ECOMDEPLOY_CONTEXT, ECOMDEPLOY_NAMESPACE, ECOMDEPLOY_GATEWAY (where callers ask),
        ECOMDEPLOY_PROMETHEUS (where alarms are asked for), ECOMDEPLOY_PACE (how fast bakes pass) and, where the cluster
        is another's, ECOMDEPLOY_PARENT (its Gateway's namespace and name)."""
