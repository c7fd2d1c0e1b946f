"""The Spec: what the user wants shipped, complete and frozen. Each layer owns its slice; they join here.

`stacks/reading/load.py` reads it from `ecomdeploy.yaml`; nothing here knows about files.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, MinLen

from infra.spec import AlarmSpec, ClusterSpec, GovernanceSpec, Period, PlatformSpec, ScaleSpec, ServeSpec
from infra.targets.base import Target
from infra.targets.moves import ShadowPhase, ShiftPolicy, Strategy
from modelpack.inputs.spec import DataSpec, ModelSpec, PackSpec

LOCAL_ACCOUNT = "123456789012"
"""The local cloud's account number (moto's default)."""

NAME_PATTERN = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
SERVICE_LENGTH = 40
NAMES_LENGTH = 48
"""Service, dash and environment together: `<that>-<12 hex>` must fit 63 characters (SageMaker, Kubernetes)."""

OVERLAYS = ("model", "data", "pack", "serve", "scale", "rollout", "platform", "governance")
"""Top-level keys that an environment may override."""


@dataclass(frozen=True, kw_only=True)
class BakeSpec:
    """`bake`: seconds that alarms watch each step; in the file also `5m`."""

    bake: Annotated[float, Gt(0), Le(3600)] = 300


@dataclass(frozen=True, kw_only=True)
class CanarySpec(BakeSpec):
    """`steps`: percent of the traffic that the new release gets, one after another, before it gets everything."""

    steps: Annotated[tuple[Annotated[int, Ge(1), Le(50)], ...], MinLen(1)] = (10,)


@dataclass(frozen=True, kw_only=True)
class LinearSpec(BakeSpec):
    """`step`: percent of the traffic that every step adds."""

    step: Annotated[int, Ge(10), Le(50)] = 20


@dataclass(frozen=True, kw_only=True)
class RollingSpec(BakeSpec):
    """`batch`: percent of the servers that are replaced at a time."""

    batch: Annotated[int, Ge(5), Le(50)] = 25


@dataclass(frozen=True, kw_only=True)
class ShadowSpec(BakeSpec):
    """`share`: percent of the requests that the new release gets copies of while they bake; `then`: the strategy by
    which traffic moves after that."""

    share: Annotated[int, Ge(1), Le(100)] = 100
    bake: Annotated[float, Gt(0), Le(3600)] = 1800
    then: Literal["all-at-once", "blue-green", "canary", "linear"] = "all-at-once"


@dataclass(frozen=True, kw_only=True)
class RolloutSpec:
    """How traffic moves to a new release, what makes it unhealthy, and how many minutes a move may take, bakes aside.
    `silence`: seconds that a bake goes on without a sign of whoever leads it (on a cluster; SageMaker leads itself).

    No rollout begins in `freeze`, nor, unless `sale_days` allows it, in the windows of the scale's schedule.
    """

    strategy: Literal["all-at-once", "blue-green", "canary", "linear", "rolling", "auto", "shadow"] = (
        "all-at-once"
    )
    blue_green: BakeSpec = field(default_factory=BakeSpec)
    canary: CanarySpec = field(default_factory=CanarySpec)
    linear: LinearSpec = field(default_factory=LinearSpec)
    rolling: RollingSpec = field(default_factory=RollingSpec)
    shadow: ShadowSpec = field(default_factory=ShadowSpec)
    alarms: AlarmSpec = field(default_factory=AlarmSpec)
    deadline_minutes: Annotated[float, Gt(0), Le(480)] = 30
    silence: Annotated[float, Ge(10), Le(3600)] = 60
    freeze: tuple[Period, ...] = ()
    sale_days: Literal["refuse", "allow"] = "refuse"

    def policy(self, alarms: tuple[str, ...], *, keep_capacity: bool) -> ShiftPolicy:
        """The strategy that was chosen, guarded by alarms of these names wherever it bakes. `auto` is settled before
        anything moves (stacks/rollout/choice.py); until then it is what it is where there is room."""
        if self.strategy == "shadow":
            then = replace(self, strategy=self.shadow.then).policy(alarms, keep_capacity=keep_capacity)
            copies = ShadowPhase(share=self.shadow.share, bake=int(self.shadow.bake), alarms=alarms)
            return replace(then, shadow=copies, requests=self.least_requests, silence=self.silence)
        strategy = Strategy.BLUE_GREEN if self.strategy == "auto" else Strategy(self.strategy)
        at_once = ShiftPolicy(keep_capacity=keep_capacity, timeout=self.deadline_minutes * 60)
        share, baked = {
            Strategy.BLUE_GREEN: (100, self.blue_green),
            Strategy.CANARY: (self.canary.steps[0], self.canary),
            Strategy.LINEAR: (self.linear.step, self.linear),
            Strategy.ROLLING: (self.rolling.batch, self.rolling),
        }.get(strategy, (100, None))
        if baked is None:
            return at_once
        return replace(
            at_once,
            strategy=strategy,
            share=share,
            steps=self.canary.steps if strategy is Strategy.CANARY else (),
            bake=int(baked.bake),
            alarms=alarms,
            requests=self.least_requests,
            silence=self.silence,
        )

    @property
    def least_requests(self) -> int:
        """How many must come in a bake."""
        return self.alarms.min_requests if self.alarms.no_data == "bad" else 0


@dataclass(frozen=True, kw_only=True)
class Environment(ClusterSpec):
    """Where a spec is shipped to. `account`: 12 digits; `state`: an `s3://` URL, for `cloud: cluster` a folder;
    `secrets`: `awskms://`; `namespace`: of the cluster, for a target that is on one.

    For `cloud: cluster`, beside what ClusterSpec says: `context`: of the kubeconfig, the file `kubeconfig` or what
    KUBECONFIG names; `registry`: HOST/PREFIX, below which each service has its repository.
    """

    name: str = "local"
    cloud: Literal["local", "aws", "cluster"]
    account: str = LOCAL_ACCOUNT
    region: str = "us-east-1"
    state: str | None = None
    secrets: str | None = None
    namespace: str = "default"
    context: str | None = None
    kubeconfig: str | None = None
    registry: str | None = None

    @property
    def cluster(self) -> ClusterSpec | None:
        """The cluster that is there already; None where the cluster, if any, is ours."""
        kept = {each.name: getattr(self, each.name) for each in fields(ClusterSpec)}
        return ClusterSpec(**kept) if self.cloud == "cluster" else None


@dataclass(frozen=True, kw_only=True)
class Spec:
    """One service in one environment, with every default filled in."""

    version: Annotated[int, Ge(1), Le(1)]
    service: str
    usecase: str
    model: ModelSpec = field(default_factory=ModelSpec)
    data: DataSpec | None = None
    pack: PackSpec = field(default_factory=PackSpec)
    serve: ServeSpec = field(default_factory=ServeSpec)
    scale: ScaleSpec = field(default_factory=ScaleSpec)
    rollout: RolloutSpec = field(default_factory=RolloutSpec)
    platform: PlatformSpec = field(default_factory=PlatformSpec)
    governance: GovernanceSpec = field(default_factory=GovernanceSpec)
    environment: Environment = field(default_factory=lambda: Environment(cloud="local"))

    @property
    def name(self) -> str:
        """`<service>-<environment>`: the name of its stacks and its endpoint."""
        return f"{self.service}-{self.environment.name}"


@dataclass(frozen=True, kw_only=True)
class KnownNames:
    """What the catalogs know, given to the loader so that it needs none of them.

    `pool_instances`: EC2 types for GPU pools; empty means: not checked.
    """

    usecases: Collection[str]
    targets: Mapping[str, Target]
    passes: Collection[str]
    pool_instances: frozenset[str] = frozenset()
