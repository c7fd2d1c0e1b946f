"""infra's slice of the Spec: where and on what a release serves, how it scales, which GPU pools exist."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal

from annotated_types import Ge, Gt, MinLen


@dataclass(frozen=True, kw_only=True)
class ServeSpec:
    """`instance` is an `ml.*` type of `infra/instances.json`; `target` a file in `infra/targets/`."""

    target: str = "sagemaker"
    instance: str = "ml.c7i.xlarge"
    environment: dict[str, str] = field(default_factory=dict)
    """Extra variables for the model server, part of the serving contract of a release."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """A sale day: between `start` and `end` at least `min` replicas run (`from` and `to` in the file)."""

    name: str
    start: datetime
    end: datetime
    min: Annotated[int, Ge(1)]


@dataclass(frozen=True, kw_only=True)
class ScaleSpec:
    """Replicas; `target_rps` is requests per second per replica (None: no automatic scaling)."""

    min: Annotated[int, Ge(1)] = 1
    max: Annotated[int, Ge(1)] = 1
    target_rps: Annotated[float, Gt(0)] | None = None
    schedule: tuple[Window, ...] = ()


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
    min: Annotated[int, Ge(0)] = 0
    max: Annotated[int, Ge(1)] = 2
    desired: Annotated[int, Ge(0)] | None = None
    capacity: Literal["spot", "on-demand"] = "on-demand"
    disk_gb: Annotated[int, Ge(20)] = 100


@dataclass(frozen=True, kw_only=True)
class PlatformSpec:
    """What the `platform` stack provisions. Without pools no cluster is made."""

    gpu_pools: tuple[GpuPoolSpec, ...] = ()
    cidr: str = "10.42.0.0/16"
    kubernetes_version: str = "1.34"
