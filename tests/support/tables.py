"""Small made tables and a use case on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modelpack.home import Home
from modelpack.progress import Progress
from modelpack.usecases.base import Baseline, Evaluation
from modelpack.usecases.packages import DataPackage
from modelpack.usecases.tabular import measures
from modelpack.usecases.tabular.frame import AMOUNT, BINARY, Category, Column, Number, Part, Split, by_time
from modelpack.usecases.tabular.usecase import TabularUseCase, instance

COLUMNS: tuple[Column, ...] = (Number("amount", log=True), Number("vector", 5), Category("shop", 4))


def table(task: str, rows: int = 1200, seed: int = 0) -> Part:
    """Rows whose answer depends on all three columns, one of them through a product."""
    generator = np.random.default_rng(seed)
    amount = generator.exponential(20, rows).astype(np.float32)
    vector = generator.normal(size=(rows, 5)).astype(np.float32)
    shop = generator.integers(100, 110, rows)
    logit = -1 + 2 * vector[:, 0] + vector[:, 1] * vector[:, 2] + (shop - 104.5) / 3
    positive = (generator.random(rows) < 1 / (1 + np.exp(-logit))).astype(np.float32)
    units = (amount * np.exp(0.4 * vector[:, 0])).astype(np.float32)
    target = positive if task == BINARY else units
    return Part({"amount": amount, "vector": vector, "shop": shop}, target, np.arange(rows))


def split(task: str, rows: int = 1200) -> Split:
    """In order of rows: half to train, a quarter to choose, a quarter to measure."""
    return by_time(table(task, rows), np.arange(rows), rows // 2, rows * 3 // 4)


class MadeBinary(TabularUseCase):
    """A yes or no on made rows."""

    name: ClassVar[str] = "made-binary"
    title: ClassVar[str] = "made rows"
    epochs: ClassVar[int] = 2
    task: ClassVar[str] = BINARY
    columns: ClassVar[tuple[Column, ...]] = COLUMNS
    packages: ClassVar[tuple[DataPackage, ...]] = ()
    split: ClassVar[str] = "by row"

    def prepare(self, home: Home, progress: Progress) -> Split:
        return split(self.task)

    def measure(self, answers: Mapping[str, NDArray[Any]], part: Part) -> Evaluation:
        truth = part.target > 0
        more = measures.binary_figures(truth, answers)
        return Evaluation(
            "AUC-PR", measures.average_precision(truth, answers["probability"]), part.groups, more=more
        )

    def baselines(self, data: Split) -> tuple[Baseline, ...]:
        score = {"probability": data.test.inputs["amount"], "decision": np.zeros(len(data.test), np.int64)}
        return (Baseline("amount", "by amount", self.measure(score, data.test), must_beat=True),)

    def sample(self, data: Split, row: int) -> dict[str, Any]:
        return {"request": {"instances": [instance(data.test, row)]}, "about": f"row {row}", "before": []}


class MadeAmount(MadeBinary):
    """An amount on made rows."""

    name: ClassVar[str] = "made-amount"
    task: ClassVar[str] = AMOUNT
    scale: ClassVar[str | None] = "amount"

    def measure(self, answers: Mapping[str, NDArray[Any]], part: Part) -> Evaluation:
        values = measures.wmape(part.target, answers["prediction"])
        return Evaluation("wMAPE", values, part.groups, higher_is_better=False)

    def baselines(self, data: Split) -> tuple[Baseline, ...]:
        last = self.measure({"prediction": data.test.inputs["amount"]}, data.test)
        return (Baseline("amount", "the amount itself", last, must_beat=True),)
