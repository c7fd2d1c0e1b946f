"""infra's slice of the Spec: where and on what a release serves, how it scales, which GPU pools exist."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, MinLen

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
class ServeSpec:
    """`target` is a file in `infra/targets/`; `instance` one of its instance types (the default is SageMaker's)."""

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


@dataclass(frozen=True, kw_only=True)
class ScaleSpec:
    """Replicas; `target_rps` is requests per second per replica (None: no automatic scaling). `min` 0: none while
    nobody asks, where the target can."""

    min: Annotated[int, Ge(0), Le(MOST_REPLICAS)] = 1
    max: Annotated[int, Ge(1), Le(MOST_REPLICAS)] = 1
    target_rps: Annotated[float, Gt(0)] | None = None
    schedule: tuple[Window, ...] = ()

    @property
    def is_automatic(self) -> bool:
        """Whether anything is to scale: a load to aim at, or sale days."""
        return self.target_rps is not None or bool(self.schedule)


@dataclass(frozen=True, kw_only=True)
class AlarmSpec:
    """What makes a release unhealthy: share of failed requests (0..1), p99 model latency in ms."""

    error_rate: Annotated[float, Gt(0)] | None = 0.01
    p99_ms: Annotated[float, Gt(0)] | None = None


@dataclass(frozen=True, kw_only=True)
class GpuPoolSpec:
    """One EKS managed node group with GPUs."""

    name: Annotated[str, MinLen(1)]
    instances: Annotated[tuple[str, ...], MinLen(1)]
    min: Annotated[int, Ge(0), Le(MOST_REPLICAS)] = 0
    max: Annotated[int, Ge(1), Le(MOST_REPLICAS)] = 2
    desired: Annotated[int, Ge(0), Le(MOST_REPLICAS)] | None = None
    capacity: Literal["spot", "on-demand"] = "on-demand"
    disk_gb: Annotated[int, Ge(20), Le(16_384)] = 100


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
    flow_logs: Literal["rejected", "all", "none"] = "rejected"
    log_days: Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731] = 30
    """How long the cluster's and the network's logs are kept."""
    public_cidrs: tuple[str, ...] = ()
    """From where the cluster's public endpoint is reached; empty: it has a private one alone."""
    access: tuple[AccessSpec, ...] = ()
    system_nodes: SystemNodesSpec = SystemNodesSpec()
