"""infra's slice of the Spec: where and on what a release serves, how it scales, which GPU pools exist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from annotated_types import Ge, Gt, Le, MaxLen, MinLen

from infra.hosting import HostingOptions

MOST_REPLICAS = 10_000
"""More than any quota gives: a slip of the hand."""


@dataclass(frozen=True, kw_only=True)
class SecretPlace:
    """Where a value is, exactly one of: a variable of whoever ships, a parameter of SSM, one of Secrets Manager."""

    env: str | None = None
    ssm: str | None = None
    secretsmanager: str | None = None


@dataclass(frozen=True, kw_only=True)
class SecretName:
    """A value of the environment that is nowhere written out (infra/secrets.py)."""

    secret: SecretPlace


@dataclass(frozen=True, kw_only=True)
class ClusterSpec:
    """What a release's objects must know of a cluster that is there already (`infra/kubernetes/distributions.py`).

    `domain`: below it callers' host names lie; `gateway`: namespace and name of the Gateway that routes attach to;
    `image_pull_secret`: the name of a Secret in the service's namespace, "" where nodes pull without one; `prometheus`:
    where alarms are asked for, NAMESPACE/SERVICE:PORT or a URL that pods and we reach alike, "" for none;
    `rule_labels`: what its Prometheus selects PrometheusRules by.
    """

    distribution: Literal["aks", "gke", "eks", "kind", "bare"] = "bare"
    domain: str = "example.com"
    gateway: str = "kserve/kserve-ingress-gateway"
    image_pull_secret: str = ""
    prometheus: str = ""
    rule_labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ServeSpec(HostingOptions):
    """`target` is a package in `infra/targets/`; `instance` one of its instance types (the default here is SageMaker's;
    another target's own is filled in when a spec is read)."""

    target: str = "sagemaker"
    instance: str = "ml.c7i.xlarge"
    environment: dict[str, str | SecretName] = field(default_factory=dict)
    """Extra variables for the model server, part of a release's serving configuration."""
    host_image: str | None = None
    """What a GPU instance boots from (`ami` in the file); None: the target's newest, for its newer driver."""


@dataclass(frozen=True, kw_only=True)
class Period:
    """From `start` to before `end` (`from` and `to` in the file); a moment without an offset is UTC."""

    name: str
    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            moment = getattr(self, name)
            if moment.tzinfo is None:
                object.__setattr__(self, name, moment.replace(tzinfo=UTC))


@dataclass(frozen=True, kw_only=True)
class Window(Period):
    """A sale day: at least `min` replicas run."""

    min: Annotated[int, Ge(1), Le(MOST_REPLICAS)]


Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEK: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, kw_only=True)
class BusyHours:
    """Every week on these days at least `min` replicas run, from `start` to before `end` (`from` and `to` in the file):
    times of a day ("18:30") in `time_zone`; one that ends earlier than it begins ends on the next day."""

    name: str
    start: str
    end: str
    min: Annotated[int, Ge(1), Le(MOST_REPLICAS)]
    days: Annotated[tuple[Weekday, ...], MinLen(1)] = WEEK
    time_zone: str = "UTC"


@dataclass(frozen=True, kw_only=True)
class ScaleStep:
    """At once: `add` replicas while there are more than `over` requests per second and replica, or `remove` while there
    are fewer than `under`; of several that hold, the furthest."""

    over: Annotated[float, Gt(0)] | None = None
    add: Annotated[int, Ge(1), Le(MOST_REPLICAS)] | None = None
    under: Annotated[float, Gt(0)] | None = None
    remove: Annotated[int, Ge(1), Le(MOST_REPLICAS)] | None = None


@dataclass(frozen=True, kw_only=True)
class ScaleSpec:
    """Replicas; `target_rps` is requests per second per replica, `target_concurrency` requests under way at once per
    replica, `steps` add and take some at once; one of the three, or none: no automatic scaling. `min` 0: none while
    nobody asks, where the target can."""

    min: Annotated[int, Ge(0), Le(MOST_REPLICAS)] = 1
    max: Annotated[int, Ge(1), Le(MOST_REPLICAS)] = 1
    target_rps: Annotated[float, Gt(0)] | None = None
    schedule: tuple[Window, ...] = ()
    recurring: tuple[BusyHours, ...] = ()
    target_concurrency: Annotated[float, Gt(0)] | None = None
    steps: tuple[ScaleStep, ...] = ()

    @property
    def is_automatic(self) -> bool:
        """Whether anything is to scale: a load to aim at, steps, sale days, or busy hours."""
        loads = (self.target_rps, self.target_concurrency)
        return any(load is not None for load in loads) or bool(self.steps or self.schedule or self.recurring)

    def by_hand(self) -> Self:
        """The same range, and nothing that moves within it by itself."""
        return replace(self, target_rps=None, target_concurrency=None, steps=(), schedule=(), recurring=())


ALARM_PERIOD = 60
"""Seconds that one datapoint of an alarm is of: SageMaker sends what was asked of an endpoint each minute
(https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_MetricsConfig.html, MetricPublishFrequencyInSeconds)."""
METRIC_DELAY = 180
"""Seconds until a period's datapoint is there and looked at: metrics come a minute or two late, and alarms are
looked at once a minute (a judgement, not AWS's figure)."""


@dataclass(frozen=True, kw_only=True)
class AlarmSpec:
    """What makes a release unhealthy, by the minute: share of requests that end in a 5xx (0..1), p99 model latency in
    ms, share of requests that the model answers with anything but 2xx.

    `guardrails`: of the use case's own by name, the share of answers on the wrong side; None: not watched; one that is
    not named has the limit that the pack measured. A minute with fewer than `min_requests` says nothing; `periods` bad
    minutes in a row ring. `no_data`: what a bake is in which too few requests came. `topic`: where alarms are told, the
    ARN of an SNS topic, or `own` for one of the service's; None: nowhere.
    """

    error_rate: Annotated[float, Gt(0), Le(1)] | None = 0.01
    p99_ms: Annotated[float, Gt(0)] | None = None
    model_error_rate: Annotated[float, Gt(0), Le(1)] | None = None
    guardrails: Mapping[str, Annotated[float, Gt(0), Le(1)] | None] = field(default_factory=dict)
    min_requests: Annotated[int, Ge(1), Le(1_000_000)] = 10
    periods: Annotated[int, Ge(1), Le(30)] = 2
    no_data: Literal["bad", "good"] = "bad"
    topic: str | None = None

    @property
    def watches(self) -> bool:
        """Whether there is any alarm."""
        return any(limit is not None for limit in (self.error_rate, self.p99_ms, self.model_error_rate))

    def limits(self, packed: Mapping[str, float]) -> dict[str, float]:
        """Of a pack's guardrails (by name, the limits that it measured) those that are watched; from 1 on none is."""
        wanted = {name: self.guardrails.get(name, limit) for name, limit in packed.items()}
        return {name: limit for name, limit in wanted.items() if limit is not None and limit < 1}

    @property
    def seconds_to_ring(self) -> int:
        """From the first bad request to the alarm, at the latest."""
        return ALARM_PERIOD * self.periods + METRIC_DELAY


@dataclass(frozen=True, kw_only=True)
class GpuSharingSpec:
    """Each GPU of a node counts as so many. `by` time-slicing: in turns, without bounds of memory; mps: at once, each
    with its share of the memory; mig: parts of the hardware, on GPUs that have them."""

    by: Literal["time-slicing", "mps", "mig"]
    parts: Annotated[int, Ge(2), Le(48)]


@dataclass(frozen=True, kw_only=True)
class GpuPoolSpec:
    """Nodes with GPUs. `by`: an EKS managed node group, whose size somebody sets, or Karpenter, which brings nodes for
    pods that wait and lets those go that are empty for `idle_minutes`; it has no `min` and no `desired`. `image`: what
    its nodes boot from; `sharing` None: a GPU is one pod's."""

    name: Annotated[str, MinLen(1)]
    instances: Annotated[tuple[str, ...], MinLen(1)]
    min: Annotated[int, Ge(0), Le(MOST_REPLICAS)] = 0
    max: Annotated[int, Ge(1), Le(MOST_REPLICAS)] = 2
    desired: Annotated[int, Ge(0), Le(MOST_REPLICAS)] | None = None
    capacity: Literal["spot", "on-demand"] = "on-demand"
    disk_gb: Annotated[int, Ge(20), Le(16_384)] = 100
    image: Literal["bottlerocket", "al2023"] = "bottlerocket"
    sharing: GpuSharingSpec | None = None
    by: Literal["node-group", "karpenter"] = "node-group"
    idle_minutes: Annotated[int, Ge(0), Le(1440)] = 5

    @property
    def is_karpenters(self) -> bool:
        return self.by == "karpenter"


@dataclass(frozen=True, kw_only=True)
class SystemNodesSpec:
    """The nodes that carry what the cluster itself needs (DNS, metrics, storage); no taint keeps anything away."""

    instances: Annotated[tuple[str, ...], MinLen(1)] = ("m6i.large", "m5.large")
    min: Annotated[int, Ge(1), Le(MOST_REPLICAS)] = 2
    max: Annotated[int, Ge(1), Le(MOST_REPLICAS)] = 4


@dataclass(frozen=True, kw_only=True)
class AccessSpec:
    """Who may use the cluster: an IAM user or role by its ARN; `policy`: one of EKS's own access policies."""

    principal: Annotated[str, MinLen(1)]
    policy: Literal["admin", "edit", "view"] = "view"


@dataclass(frozen=True, kw_only=True)
class ExistingVpc:
    """A network that is there already; nothing in it is changed. `subnets`: private ones, in two zones or more."""

    id: Annotated[str, MinLen(1)]
    subnets: Annotated[tuple[str, ...], MinLen(2)]


@dataclass(frozen=True, kw_only=True)
class PlatformSpec:
    """What the `platform` stack provisions. Without pools no cluster is made."""

    gpu_pools: tuple[GpuPoolSpec, ...] = ()
    cidr: str = "10.42.0.0/16"
    zones: tuple[str, ...] = ()
    """Two or three availability zones, by name or by id ("use1-az6"); empty: those that stand, else the account's first
    two where EKS makes a control plane."""
    kubernetes_version: str | None = None
    """None: the one that runs; for a new cluster the newest that was tried."""
    vpc: ExistingVpc | None = None
    nat: Literal["one", "per-zone"] = "one"
    """One NAT gateway for all zones is cheaper; with one a zone, a zone's failure leaves the others their way out."""
    endpoints: bool = True
    """AWS's services by private addresses in the cluster's network (about 10 USD a month for each of seven in each
    zone); S3 always."""
    serving: bool = False
    """Model servers may stand in the network (`serve.network: platform`): a security group of theirs, and those of
    AWS's services that they need by private addresses (seven, of which a cluster has four already)."""
    flow_logs: Literal["rejected", "all", "none"] = "rejected"
    log_days: Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731] = 30
    """How long the cluster's, the network's and the endpoint's logs are kept."""
    public_cidrs: tuple[str, ...] = ()
    """From where the cluster's public endpoint is reached; empty: it has a private one alone."""
    access: tuple[AccessSpec, ...] = ()
    system_nodes: SystemNodesSpec = SystemNodesSpec()


@dataclass(frozen=True, kw_only=True)
class PipelineAccessSpec:
    """Whose jobs may take the pipeline's roles, by a token instead of a key. `issuer`: github, gitlab, or the host of a
    GitLab of one's own; `repository`: ORG/REPO or GROUP/PROJECT; `environment`: GitHub's, which the role that ships is
    bound to (None: any job of `branch`); `make_provider`: an account has one identity provider an issuer, so one
    service makes it.
    """

    issuer: Annotated[str, MinLen(1)]
    repository: Annotated[str, MinLen(1)]
    branch: str = "main"
    environment: str | None = None
    make_provider: bool = True


@dataclass(frozen=True, kw_only=True)
class BudgetSpec:
    """US dollars that the account may spend in a month before somebody is told, at these shares of them in percent: by
    mail, or by topics of SNS (their ARNs)."""

    usd: Annotated[float, Gt(0)]
    alert_at: Annotated[tuple[Annotated[float, Gt(0), Le(1000)], ...], MinLen(1), MaxLen(5)] = (80.0, 100.0)
    emails: Annotated[tuple[str, ...], MaxLen(10)] = ()
    topics: Annotated[tuple[str, ...], MaxLen(1)] = ()


@dataclass(frozen=True, kw_only=True)
class GovernanceSpec:
    """What the account asks of everything that is made in it. `tags`: on every resource, beside ours, and on the nodes
    and disks of a cluster; `permissions_boundary`: the ARN of a managed policy that bounds every role made here."""

    tags: dict[str, str] = field(default_factory=dict)
    permissions_boundary: str | None = None
    pipeline: PipelineAccessSpec | None = None
    """Roles for a pipeline, in the `base` stack; None: none."""
    monthly_budget: BudgetSpec | None = None
