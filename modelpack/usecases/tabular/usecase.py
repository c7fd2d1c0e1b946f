"""The base of use cases on tables; the package's docstring says how to write one."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modelpack.formats.safetensors import load_own
from modelpack.formats.signature import Arrays, Run, Signature
from modelpack.inputs.spec import TrainSpec
from modelpack.progress import Progress
from modelpack.server.signature import Tensor
from modelpack.usecases.base import Evaluation, Samples, UseCase
from modelpack.usecases.checkpoints import NOTHING_KEPT, Checkpoints
from modelpack.usecases.sampling import pick_evenly
from modelpack.usecases.tabular.frame import (
    AMOUNT,
    BINARY,
    OWN,
    Column,
    Part,
    Split,
    join,
    mix_rows,
)
from modelpack.usecases.tabular.hyperparameters import Boosting, Dense
from modelpack.usecases.tabular.measures import area_under_roc, best_f1_threshold, binary_figures, wmape

if TYPE_CHECKING:
    import torch
    from torch import nn

    from modelpack.usecases.tabular.model import Tabular
    from modelpack.usecases.tabular.selection import Candidate, Selected

ROWS_AT_ONCE = 1024
GOLDEN = 6
SAMPLES = 12
MADE = "a made request: each number from another row of your data"
CALIBRATION = 512
STUDENT_SEED = 7


class TabularUseCase(UseCase[Split]):
    """Training by selection among candidates, saving, loading, requests: all but the data and what counts."""

    columns: ClassVar[tuple[Column, ...]]
    task: ClassVar[str] = BINARY
    scale: ClassVar[str | None] = None
    output: ClassVar[str] = "prediction"
    """The amount's name among the outputs."""
    passes: ClassVar[tuple[str, ...]] = ("onnx", "int8")
    max_batch: ClassVar[int] = 128
    dense: ClassVar[Dense] = Dense()
    trees: ClassVar[Boosting] = Boosting()
    ridge: ClassVar[float] = 1.0
    """Of logistic regression."""
    simplest_first: ClassVar[bool] = False
    """Candidates come in order of simplicity, and a larger one has to be ahead outside the interval to be chosen."""
    tolerance: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "probability": {"kind": "close", "rtol": 0.05, "atol": 0.05},
        "prediction": {"kind": "close", "rtol": 0.1, "atol": 0.1},
    }

    @abc.abstractmethod
    def measure(self, answers: Mapping[str, NDArray[Any]], part: Part) -> Evaluation:
        """The task metric of a model's `answers` (its outputs by name, one a row) on the rows of `part`."""

    @abc.abstractmethod
    def sample(self, data: Split, row: int) -> dict[str, Any]:
        """A test row to show: `request`, `about` (a line) and `before` (short facts)."""

    def summary(self, data: Split) -> str:
        """How much there is, in words."""
        return f"rows: {data.count_rows()}"

    def announce(self, data: Split, progress: Progress) -> Split:
        """The data, its summary told."""
        progress.note(self.summary(data))
        return data

    @property
    def column_names(self) -> list[str]:
        """The columns in order."""
        return [column.name for column in self.columns]

    def candidates(self, epochs: int) -> Sequence[Candidate]:
        """What is trained and compared. Binary: logistic, dense, trees; amounts: dense, trees."""
        from modelpack.usecases.tabular.candidates import usual

        return usual(
            self.columns,
            self.task,
            self.scale,
            epochs,
            self.dense,
            self.trees,
            self.ridge,
            self.label_as_known,
        )

    def label_as_known(self, part: Part) -> Part:
        """The rows with the answers that were known when their part was cut: here, all."""
        return part

    def threshold(self, probability: NDArray[np.float64], part: Part) -> float:
        """From which probability on the answer is yes, chosen on validation rows: here, the highest F1."""
        return best_f1_threshold(part.target > 0, probability)

    def train(self, data: Split, spec: TrainSpec, progress: Progress) -> Tabular:
        return self.resume(data, spec, progress, NOTHING_KEPT)

    def resume(self, data: Split, spec: TrainSpec, progress: Progress, kept: Checkpoints) -> Tabular:
        import torch

        from modelpack.usecases.tabular.selection import select

        outputs = [tensor.name for tensor in self.tabular_outputs()]
        candidates = self.candidates(spec.epochs or self.epochs)
        selected = select(
            candidates, data, self.measure_validation, outputs, spec.seed, progress, self.simplest_first, kept
        )
        model = selected.model
        if self.task == BINARY:
            model.threshold.copy_(
                torch.tensor(
                    self.threshold(selected.validation[outputs[0]], self.label_as_known(data.validation))
                )
            )
        return self.finish(selected, data)

    def measure_validation(self, answers: Mapping[str, NDArray[Any]], part: Part) -> Evaluation:
        """What candidates are compared by: the task metric itself."""
        return self.measure(answers, self.label_as_known(part))

    def finish(self, selected: Selected, data: Split) -> Tabular:
        """The model that ships; the candidates' table goes with it."""
        selected.model.notes = {"candidates": list(selected.table)}
        return selected.model

    def save(self, model: Tabular, path: Path) -> None:
        from modelpack.usecases.tabular.model import save

        save(model, path, self.name)

    def load(self, path: Path) -> Tabular:
        from modelpack.usecases.tabular import model as tabular

        return load_own(
            path,
            self.name,
            {tabular.KIND},
            lambda config: tabular.load(path, config, self.module()),
            named=True,
        )

    def module(self) -> type[Tabular]:
        """The torch class that ships; a use case that adds to the answers subclasses `Tabular`."""
        from modelpack.usecases.tabular.model import Tabular

        return Tabular

    def candidate_table(self, model: Tabular) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = model.notes.get("candidates", ())
        return found

    def evaluate(self, run: Run, data: Split) -> Evaluation:
        return self.measure(answers_of(run, data.test), data.test)

    def tabular_outputs(self) -> tuple[Tensor, ...]:
        """What the module answers."""
        if self.task == AMOUNT:
            return (Tensor(self.output, "FP32", (-1,)),)
        return Tensor("probability", "FP32", (-1,)), Tensor("decision", "INT64", (-1,))

    def signature(self) -> Signature:
        return Signature(tuple(column.tensor for column in self.columns), self.tabular_outputs())

    def calibration(self, data: Split) -> Arrays:
        return data.training.take(pick_evenly(len(data.training), CALIBRATION)).inputs

    def training_rows(self, data: Split) -> Part:
        """What pruning and distillation may learn from: all but the test rows, as the model that ships did."""
        return self.label_as_known(join(data.training, data.validation))

    def hidden_layers(self, model: Tabular) -> nn.Sequential:
        from modelpack.usecases.tabular.tuning import dense_layers

        return dense_layers(model)

    def narrow(self, model: Tabular, kept: Sequence[torch.Tensor]) -> Tabular:
        from modelpack.usecases.tabular.tuning import narrow

        return narrow(model, kept)

    def student(self, model: Tabular, share: float, training_rows: Part) -> Tabular:
        from modelpack.usecases.tabular.tuning import student

        return student(model, share, training_rows, STUDENT_SEED)

    def loss(self, model: Tabular, training_rows: Part, rows: int) -> torch.Tensor:
        from modelpack.usecases.tabular.tuning import mean_loss

        return mean_loss(model, training_rows, rows)

    def tune(
        self,
        model: Tabular,
        training_rows: Part,
        seed: int,
        progress: Progress,
        *,
        share: float = 1.0,
        teacher: Tabular | None = None,
    ) -> None:
        from modelpack.usecases.tabular.tuning import tune

        tune(model, training_rows, max(round(self.epochs * share), 1), seed, progress, teacher)

    def examples(self, data: Split, count: int) -> Arrays:
        return data.test.take(pick_evenly(len(data.test), count)).inputs

    def choose_shown(self, data: Split) -> NDArray[np.int64]:
        """Test rows to show and to keep as golden requests, telling ones first."""
        return pick_evenly(len(data.test), SAMPLES)

    def golden(self, data: Split) -> Sequence[Mapping[str, Any]]:
        own = data.facts.get(OWN)
        rows = np.arange(GOLDEN) if own else self.choose_shown(data)[:GOLDEN]
        part = mix_rows(data.test, GOLDEN) if own else data.test
        one_by_one = [{"instances": [instance(part, int(row))]} for row in rows]
        return [*one_by_one, {"instances": [instance(part, int(row)) for row in rows[:3]]}]

    def samples(self, data: Split) -> Samples:
        if data.facts.get(OWN):
            part = mix_rows(data.test, SAMPLES)
            requests = [{"instances": [instance(part, row)]} for row in range(SAMPLES)]
            shown = tuple({"request": one, "about": MADE, "before": []} for one in requests)
            return Samples(shown, data.names)
        return Samples(tuple(self.sample(data, int(row)) for row in self.choose_shown(data)), data.names)


def by_wmape(units: NDArray[Any], part: Part) -> Evaluation:
    """Forecasts of amounts by wMAPE; `bias`: how much too high they are all together."""
    forecast, truth = units.astype(np.float64), part.target.astype(np.float64)
    bias = float(forecast.sum() / truth.sum() - 1)
    return Evaluation(
        "wMAPE", wmape(truth, forecast), part.groups, higher_is_better=False, more={"bias": bias}
    )


def by_auc(
    answers: Mapping[str, NDArray[Any]], part: Part, more: Mapping[str, float] | None = None
) -> Evaluation:
    """A yes or no by AUC; `more` figures go into the record."""
    truth = part.target > 0
    values = area_under_roc(truth, answers["probability"].astype(np.float64))
    return Evaluation("AUC", values, part.groups, more={**binary_figures(truth, answers), **(more or {})})


def as_often(chance: NDArray[Any], known: Part) -> dict[str, NDArray[Any]]:
    """A rule's answers: yes for the likeliest, as large a share as said yes among the rows known."""
    limit = np.quantile(chance, 1 - known.target.mean())
    return {"probability": chance, "decision": (chance > limit).astype(np.int64)}


def instance(part: Part, row: int) -> dict[str, Any]:
    """One row as a request's JSON values, floats as short as float32 allows."""
    return {name: json_value(array[row]) for name, array in part.inputs.items()}


def json_value(value: Any) -> Any:
    """A number or a list of numbers; a float32 by its shortest decimal that reads back the same."""
    if isinstance(value, np.ndarray):
        return [json_value(one) for one in value]
    return float(str(value)) if isinstance(value, np.floating) else int(value)


def answers_of(run: Run, part: Part) -> dict[str, NDArray[Any]]:
    """The outputs for all rows of a part, by name."""
    found = [
        run(
            {
                name: np.ascontiguousarray(array[begin : begin + ROWS_AT_ONCE])
                for name, array in part.inputs.items()
            }
        )
        for begin in range(0, len(part), ROWS_AT_ONCE)
    ]
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}
