"""What a use case gives: data, training, a task metric, and the questions a shop asks of the model.

A use case is a package (or one file) whose class subclasses `UseCase`. Its module stays light; torch, pandas and
the like are imported inside methods. `data` is the use case's own type and opaque to everyone else.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from modelpack.catalog import Catalog
from modelpack.errors import BadInput
from modelpack.formats.signature import Arrays, Run, Signature
from modelpack.home import Home
from modelpack.inputs.spec import TrainSpec
from modelpack.progress import Progress
from modelpack.server.signature import Text
from modelpack.usecases.metrics import Interval
from modelpack.usecases.own_data.schema import OwnData
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
    """Data, training, metric, signature and example requests of one task.

    A model whose callers send text or get labels has `text` and `labels` (docs/architecture/rooms/server.md) with the
    files they name from `companions`; `requirements` are the wheels that the server then needs beside the runtime's,
    without the `unneeded` ones. `agreement` is the least share of the trained model's ranked items that an optimized
    one must keep, as a mean over held-out requests.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    epochs: ClassVar[int]
    passes: ClassVar[tuple[str, ...]]
    packages: ClassVar[tuple[DataPackage, ...]]
    packages_with_own: ClassVar[tuple[DataPackage, ...]] = ()
    """Those of them that are needed beside a user's own data."""
    split: ClassVar[str]
    tolerance: ClassVar[Mapping[str, Mapping[str, Any]]]
    max_batch: ClassVar[int] = 64
    text: ClassVar[Text | None] = None
    labels: ClassVar[Mapping[str, str]] = {}
    target_rps: ClassVar[float] = 120
    """Requests per second and replica that a new project scales by."""
    turns: ClassVar[int] = 25
    """How often two variants take turns when they are timed."""
    requirements: ClassVar[tuple[str, ...]] = ()
    unneeded: ClassVar[frozenset[str]] = frozenset()
    agreement: ClassVar[float] = 0.0
    metric_drop: ClassVar[float] = 0.005
    """The most that a pass may cost of the task metric, in its own unit, where the Spec does not say."""
    trains: ClassVar[bool] = True
    """False: a model must be given, in whatever inputs and outputs it has (`modelpack.usecases.own_model`)."""
    split_of_own: ClassVar[str] = "as for the use case's own data, the cuts moved to the user's dates"
    own_data: ClassVar[OwnData | None] = None
    """What a user's own data must hold; None: this use case takes none."""
    inner_metric: ClassVar[str] = ""
    """A value inside the model for `evaluate_inside`: a method of the torch module, a value's name in its graph."""
    guards: ClassVar[Mapping[str, float]] = {}
    """How much a pass may cost of each figure that `evaluate_inside` gives."""
    architectures: ClassVar[tuple[str, ...]] = ()
    """Names for `model.train.architecture`; where none is given, training compares and chooses."""
    built_on: ClassVar[tuple[str, ...]] = ()
    """Files of modelpack that a trained model depends on beside the use case's own."""
    training_tools: ClassVar[tuple[str, ...]] = ()
    """Packages that a trained model depends on beside numpy, pandas, pyarrow and torch."""

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
        """Inputs and outputs of every model of this use case."""

    @abc.abstractmethod
    def examples(self, data: D, count: int) -> Arrays:
        """Real held-out requests as arrays, for measuring speed."""

    def as_served(self, cut: Arrays) -> Arrays:
        """A cut of `examples` as the server gives it to the model: texts padded no further than to its longest."""
        if self.text is None:
            return cut
        longest = max(1, int(cut[self.text.mask].sum(axis=1).max()))
        padded = (self.text.ids, self.text.mask)
        return {
            name: np.ascontiguousarray(array[:, :longest]) if name in padded else array
            for name, array in cut.items()
        }

    @abc.abstractmethod
    def golden(self, data: D) -> Sequence[Mapping[str, Any]]:
        """Requests (`{"instances": [...]}`) whose answers are kept with the pack."""

    def lasting_golden(
        self, model: Callable[[], Any], data: D, arithmetic: str
    ) -> tuple[Sequence[Mapping[str, Any]], Mapping[str, Any]]:
        """`golden` for a machine that calculates in another `arithmetic` than this one, and how far the answers are
        from turning, for the record. Answers with a tolerance last anyway; exact texts are chosen with the `model`.

        Raises EcomdeployError when no answer lasts.
        """
        return self.golden(data), {}

    @abc.abstractmethod
    def samples(self, data: D) -> Samples:
        """Requests to show, with names."""

    def interface(self) -> Signature:
        """What callers send and get, where that differs from the model's own inputs and outputs."""
        return self.signature()

    def outer(self, run: Run, data: D) -> Run:
        """A running model as callers see it: `interface` in, `interface` out."""
        return run

    def companions(self, data: D) -> Mapping[str, bytes]:
        """Files beside the model that the server reads."""
        return {}

    def prepare_own(self, path: Path, home: Home, progress: Progress) -> tuple[D, Mapping[str, int]]:
        """`prepare` on the user's own data, checked against `own_data`; and how many rows each table has.

        Raises BadInput, all problems of the data at once.
        """
        from modelpack.usecases.own_data.reading import read, too_little

        if self.own_data is None:
            raise BadInput(f"the use case {self.name!r} takes no own data yet", hint="leave data: out")
        tables = read(path, self.own_data, self.name)
        for name, table in tables.items():
            progress.note(f"your own {name}: {len(table):,} rows")
        with too_little(path):
            data = self.from_tables(tables, home, progress)
        if words := self.summary(data):
            progress.note(words)
        return data, {name: len(table) for name, table in tables.items()}

    def from_tables(self, tables: Mapping[str, Any], home: Home, progress: Progress) -> D:
        """Clean and split the user's own tables (pandas, by the names in `own_data`), as `prepare` does with its own.

        Raises BadInput when too little is left to train and measure honestly.
        """
        raise NotImplementedError

    def summary(self, data: D) -> str:
        """How much of the data trains, chooses and measures, in a line; empty: nothing to tell."""
        return ""

    def adopt(self, found: Signature) -> None:
        """Told of a given model's own inputs and outputs before they are checked."""

    def open_signature(self) -> Signature | None:
        """The signature, or None while it is the given model's to say."""
        return self.signature()

    def one_at_a_time(self) -> None:
        """Told when a given model takes one row at a time only."""

    def opened(self, run: Run, data: D) -> None:
        """Told when a given model runs, before anything is measured. Raises BadInput where it and `data` differ."""

    def calibration(self, data: D) -> Arrays | None:
        """Inputs of the model to find ranges on, from training data only; None: the use case offers none."""
        return None

    def traffic(self, data: D) -> Arrays | None:
        """Many requests of the training period, to count what is asked for; None: the use case offers none."""
        return None

    def evaluate_inside(self, run: Run, data: D) -> Mapping[str, Evaluation]:
        """Metrics by name of a model that answers its `inside` value, on held-out data."""
        return {}

    def further_figures(self, model: Any, data: D) -> Mapping[str, float]:
        """Further figures of the trained model for the record (AUC and the like)."""
        return {}

    def candidates_compared(self, model: Any) -> Sequence[Mapping[str, Any]]:
        """The table of the candidates that the trained model was chosen from, for the record; empty: one candidate."""
        return ()


def beats(model: Evaluation, baseline: Evaluation) -> Interval:
    """The paired difference model - baseline (positive: the model is better) with its interval."""
    from modelpack.usecases.metrics import bootstrap

    sign = 1.0 if model.higher_is_better else -1.0
    return bootstrap(sign * (model.values - baseline.values), model.groups)


def usecases() -> Catalog[UseCase[Any]]:
    """The use cases known here."""
    how = "subclass OwnModel: from ecomdeploy import OwnModel"
    return Catalog[UseCase[Any]]("usecase", "modelpack.usecases", UseCase, how)
