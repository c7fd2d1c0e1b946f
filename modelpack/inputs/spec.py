"""modelpack's slice of the Spec: what to train or take, which passes, and what the gate asks for.

Plain frozen dataclasses; ranges are `annotated_types`, which the loader in `stacks` enforces.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

AUTO = "auto"
"""`passes: auto`: search the combinations of all passes that fit."""
Objective = Literal["throughput", "latency", "size"]
Hardware = Literal["cpu", "cuda"]


@dataclass(frozen=True, kw_only=True)
class TrainSpec:
    """How to train when no model is given. `None` means: the use case's own default."""

    epochs: Annotated[int, Ge(1), Le(1000)] | None = None
    seed: Annotated[int, Ge(0)] = 7
    architecture: str | None = None
    """One of the use case's `architectures`, trained without comparing."""


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """Either `train` or `path` (a model file or folder, relative to the project; formats: docs/models.md)."""

    train: TrainSpec | None = None
    path: str | None = None


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """The user's own data instead of the use case's: a Parquet or CSV file, or a folder of them, relative to the
    project. What must be in it: `ecomdeploy schema USECASE`. `unreadable`: the share of a table's rows that may be left
    out because a value cannot be read; the record says how many were."""

    path: str
    unreadable: Annotated[float, Ge(0), Le(0.1)] = 0.0


@dataclass(frozen=True, kw_only=True)
class GateSpec:
    """Limits a pass must keep. Metric in the use case's own unit (None: the use case's own limit), latency in ms, size
    in MB (1e6 bytes). `must_beat`: no pack of a model that is not ahead of the use case's rules; false: told."""

    metric_drop: Annotated[float, Ge(0), Le(1)] | None = None
    p99_ms: Annotated[float, Gt(0)] | None = None
    size_mb: Annotated[float, Gt(0)] | None = None
    must_beat: bool = True


@dataclass(frozen=True, kw_only=True)
class PackSpec:
    """Passes in order; `None` means the use case's default list, `()` none but the export, `("auto",)` a search that
    begins no measurement past `budget` seconds and maximises the `objective`: rows per CPU-second in full batches,
    speed of one request, or smallness."""

    passes: tuple[str, ...] | None = None
    budget: Annotated[float, Gt(0), Le(86400)] = 120
    objective: Objective = "throughput"
    gate: GateSpec = field(default_factory=GateSpec)
    hardware: Hardware | None = None
    """What the image is for; None: an NVIDIA GPU where the instance has one, else the CPU."""
    base: str | None = None
    """An image reference by digest to use as base instead of Debian packages ("registry/python@sha256:...")."""

    @property
    def automatic(self) -> bool:
        """Whether the passes are searched for."""
        return self.passes == (AUTO,)
