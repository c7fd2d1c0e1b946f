"""The Spec: what the user wants shipped, complete and frozen. Each layer owns its slice; they join here.

`stacks/reading/load.py` reads it from `ecomdeploy.yaml`; nothing here knows about files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from infra.spec import AlarmSpec, Period, PlatformSpec, ScaleSpec, ServeSpec
from infra.targets.base import Target
from modelpack.inputs.spec import DataSpec, ModelSpec, PackSpec

LOCAL_ACCOUNT = "123456789012"
"""The local cloud's account number (moto's default)."""

NAME_PATTERN = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
SERVICE_LENGTH = 40
NAMES_LENGTH = 48
"""Service, dash and environment together: `<that>-<12 hex>` must fit 63 characters (SageMaker, Kubernetes)."""

STRATEGIES_TO_COME = ("blue-green", "canary", "linear", "rolling", "shadow")
OVERLAYS = ("model", "data", "pack", "serve", "scale", "rollout", "platform")
"""Top-level keys that an environment may override."""


@dataclass(frozen=True, kw_only=True)
class RolloutSpec:
    """How traffic moves to a new release, what makes it unhealthy, and how many minutes it may take.

    No rollout begins in `freeze`, nor, unless `sale_days` allows it, in the windows of the scale's schedule.
    """

    strategy: Literal["all-at-once"] = "all-at-once"
    alarms: AlarmSpec = field(default_factory=AlarmSpec)
    deadline_minutes: Annotated[float, Gt(0), Le(480)] = 30
    freeze: tuple[Period, ...] = ()
    sale_days: Literal["refuse", "allow"] = "refuse"


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where a spec is shipped to. `account`: 12 digits; `state`: an `s3://` URL; `secrets`: `awskms://`."""

    name: str = "local"
    cloud: Literal["local", "aws"]
    account: str = LOCAL_ACCOUNT
    region: str = "us-east-1"
    state: str | None = None
    secrets: str | None = None


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

    usecases: frozenset[str]
    targets: Mapping[str, Target]
    passes: frozenset[str]
    pool_instances: frozenset[str] = frozenset()
