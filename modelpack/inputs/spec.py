"""modelpack's slice of the Spec: what to train or take, which passes, and what the gate asks for.

Plain frozen dataclasses; ranges are `annotated_types`, which the loader in `stacks` enforces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

AUTO = "auto"
"""`passes: auto`: search the combinations of all passes that fit."""
Objective = Literal["throughput", "latency", "size"]
Hardware = Literal["cpu", "cuda"]
POSTGRESQL = ("postgresql://", "postgres://")
"""What `data.from` begins with where it is a database."""
S3 = "s3://"
"""What it begins with where it is objects of a bucket."""


TrainingOn = Literal["local", "sagemaker"]
DAY = 86_400


@dataclass(frozen=True, kw_only=True)
class TrainSpec:
    """How to train when no model is given. `None` means: the use case's own default.

    `on`: this machine, or a job there; of a job, `instance` (None: the place's own), `spot` (cheaper instances that may
    be taken away: it goes on from its checkpoints), `max_seconds` that it may train, and `max_wait` that a spot job may
    take in all (None: twice as many).
    """

    epochs: Annotated[int, Ge(1), Le(1000)] | None = None
    seed: Annotated[int, Ge(0)] = 7
    architecture: str | None = None
    """One of the use case's `architectures`, trained without comparing."""
    on: TrainingOn = "local"
    instance: str | None = None
    spot: bool = False
    max_seconds: Annotated[int, Ge(60), Le(28 * DAY)] = DAY
    max_wait: Annotated[int, Ge(60), Le(28 * DAY)] | None = None

    @property
    def options(self) -> dict[str, int | str | None]:
        """What decides the model: where it is trained does not."""
        return {"epochs": self.epochs, "seed": self.seed, "architecture": self.architecture}


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """Either `train` or `path` (a model file or folder, relative to the project; formats: docs/models.md)."""

    train: TrainSpec | None = None
    path: str | None = None

    @property
    def trained_elsewhere(self) -> bool:
        """Whether a job trains it, and not this machine."""
        return self.path is None and self.train is not None and self.train.on != "local"


@dataclass(frozen=True, kw_only=True)
class DataRuleSpec:
    """A rule of the data contract for one column (by the use case's name where it has one, else by the file's).

    `type`, `min`, `max`: of values that are there; `nulls`: the share of rows that may lack it; `unique`: no value
    twice; `fresh`: seconds that its newest time may be old (also `48h`); `not_after`: a column of times that it must
    not lie after, so that nothing is learned from what was known only later. `table`: where there are several.
    """

    column: str
    table: str | None = None
    type: Literal["number", "whole", "text", "time", "yes"] | None = None
    min: float | None = None
    max: float | None = None
    nulls: Annotated[float, Ge(0), Le(1)] | None = None
    unique: bool = False
    fresh: Annotated[float, Gt(0)] | None = None
    not_after: str | None = None
    line: Annotated[int, Ge(0)] = 0
    """Of the spec; the loader's word, not the file's."""


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """The user's own data instead of the use case's, relative to the project: read into memory from `path`, a Parquet
    or CSV file or a folder of them, or in an engine that never holds it whole from `source` (`from` in the file), also
    a glob, objects of a bucket, or a PostgreSQL database. What it must hold: `ecomdeploy schema USECASE`.

    Of `path`, `unreadable`: the share of a table's rows that may be left out because a value cannot be read; the record
    says how many were. Of `source`, `columns`: the user's name of a column by the use case's (`time` or `sales.time`);
    `tables`: the database's name of a table by the use case's (`sales: shop.orders`); `contract`: what must hold of it;
    `personal`: columns whose values are never told.
    """

    path: str | None = None
    source: str | None = None
    unreadable: Annotated[float, Ge(0), Le(0.1)] = 0.0
    columns: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, str] = field(default_factory=dict)
    personal: tuple[str, ...] = ()
    contract: tuple[DataRuleSpec, ...] = ()

    @property
    def place(self) -> str:
        """Where it lies, as the file says."""
        return self.source or self.path or ""


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
