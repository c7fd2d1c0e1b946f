"""What a use case is: data, training, a task metric with baselines, a signature, and requests.

A use case is a package (or one file) whose class subclasses `UseCase`. Its module stays light; torch, pandas and
the like are imported inside methods. `data` is the use case's own type and opaque to everyone else.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from modelpack.formats.signature import Arrays, Run, Signature
from modelpack.home import Home
from modelpack.inputs.catalog import Catalog
from modelpack.inputs.spec import TrainSpec
from modelpack.progress import Progress
from modelpack.usecases.metrics import Interval
from modelpack.usecases.packages import DataPackage

D = TypeVar("D")


@dataclass(frozen=True)
class Evaluation:
    """A task metric on held-out requests: one value per request, so that two models compare request by request.

    `groups` names what is independent (a customer); `ranked` (requests, k) are the items answered, where a model's
    agreement with the trained one matters; `more` are further figures for the record; `guarded` are further metrics,
    measured inside the model, that a pass may not harm either.
    """

    metric: str
    values: NDArray[np.float64]
    groups: NDArray[Any]
    higher_is_better: bool = True
    ranked: NDArray[np.int64] | None = None
    more: Mapping[str, float] = field(default_factory=dict)
    guarded: Mapping[str, Evaluation] = field(default_factory=dict)


@dataclass(frozen=True)
class Baseline:
    """A rule without training that a model is measured against. `must_beat`: outside the interval, or no pack."""

    name: str
    about: str
    evaluation: Evaluation
    must_beat: bool


@dataclass(frozen=True)
class Samples:
    """Questions for `predict`: bodies with what a person wants to know beside them, and names of what is answered;
    `streams`: the model answers in text, piece by piece when it is asked to."""

    requests: tuple[Mapping[str, Any], ...]
    names: Mapping[str, str]
    streams: bool = False

    def as_data(self) -> dict[str, Any]:
        """As the image's referrer holds them."""
        data: dict[str, Any] = {"requests": list(self.requests), "names": dict(self.names)}
        return {**data, "streams": True} if self.streams else data


class UseCase(abc.ABC, Generic[D]):
    """A task (data, split, training, metric, baselines) and the signature of its models.

    What else one may offer (texts, own data, guards ...) are protocols in `modelpack.usecases.optional`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    packages: ClassVar[tuple[DataPackage, ...]]
    """Whose data it is."""
    split: ClassVar[str]
    """What trains, chooses and measures, in words for the record."""
    epochs: ClassVar[int]
    passes: ClassVar[tuple[str, ...]]
    """Tried where the Spec names none."""
    metric_drop: ClassVar[float] = 0.005
    """The most that a pass may cost of the task metric, in its own unit, where the Spec does not say."""
    tolerance: ClassVar[Mapping[str, Mapping[str, Any]]]
    """How near a copy's golden answers must be, by output (`modelpack.server.golden`)."""
    max_batch: ClassVar[int] = 64
    """The most rows of one call of the model."""

    @abc.abstractmethod
    def prepare(self, home: Home, progress: Progress) -> D:
        """Fetch, clean and split the data."""

    @abc.abstractmethod
    def train(self, data: D, spec: TrainSpec, progress: Progress) -> Any:
        """A trained torch module in evaluation mode; the same bytes for the same spec on the same CPU type."""

    @abc.abstractmethod
    def save(self, model: Any, path: Path) -> None:
        """Write a `.safetensors` file whose metadata `load` understands."""

    @abc.abstractmethod
    def load(self, path: Path) -> Any:
        """Read what `save` wrote. Raises BadInput for anything else."""

    @abc.abstractmethod
    def evaluate(self, run: Run, data: D) -> Evaluation:
        """The task metric on held-out data."""

    @abc.abstractmethod
    def baselines(self, data: D) -> tuple[Baseline, ...]:
        """Rules without training, on the same held-out data; the first is the one named in the record."""

    @abc.abstractmethod
    def signature(self) -> Signature:
        """Inputs and outputs of every model file of this use case."""

    @abc.abstractmethod
    def examples(self, data: D, count: int) -> Arrays:
        """Real held-out requests as arrays, for measuring speed."""

    @abc.abstractmethod
    def golden(self, data: D) -> Sequence[Mapping[str, Any]]:
        """Requests (`{"instances": [...]}`) whose answers are kept with the pack."""

    @abc.abstractmethod
    def samples(self, data: D) -> Samples:
        """Requests to show, with names."""


def beats(model: Evaluation, baseline: Evaluation) -> Interval:
    """The paired difference model - baseline (positive: the model is better) with its interval."""
    from modelpack.usecases.metrics import bootstrap

    sign = 1.0 if model.higher_is_better else -1.0
    return bootstrap(sign * (model.values - baseline.values), model.groups)


def usecases() -> Catalog[UseCase[Any]]:
    """The use cases known here."""
    how = "subclass OwnModel: from ecomdeploy import OwnModel"
    return Catalog[UseCase[Any]]("use case", "modelpack.usecases", UseCase, how)
