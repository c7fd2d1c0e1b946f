"""What stands in every classification record, and where its threshold comes from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tables import MadeBinary, split

from modelpack.inputs.spec import TrainSpec
from modelpack.progress import Silent
from modelpack.usecases.base import usecases
from modelpack.usecases.tabular.frame import BINARY, Number, Part
from modelpack.usecases.tabular.model import predict
from modelpack.usecases.tabular.usecase import TabularUseCase

CLASSIFIERS = ("fraud", "logistics", "marketing")
TRUTH = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], np.float32)
SAID = np.array([1, 1, 1, 0, 1, 0, 0, 0, 0, 0], np.int64)


def rows(usecase: TabularUseCase) -> Part:
    """As many made rows as `TRUTH` has."""
    count = len(TRUTH)
    inputs: dict[str, Any] = {
        one.name: np.ones((count, one.width) if one.width > 1 else count, np.float32)
        if isinstance(one, Number)
        else np.ones(count, np.int64)
        for one in usecase.columns
    }
    return Part(inputs, TRUTH, np.arange(count))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_accuracy_precision_recall_and_f1_stand_beside_the_metric(name: str) -> None:
    usecase = usecases().get(name)
    assert isinstance(usecase, TabularUseCase)
    assert usecase.task == BINARY
    answers = {"probability": SAID * 0.8 + 0.1, "decision": SAID}
    more = usecase.measure(answers, rows(usecase)).more
    assert more["accuracy"] == pytest.approx(0.8)
    assert (more["precision"], more["recall"], more["f1"]) == pytest.approx((0.75, 0.75, 0.75))


def test_the_threshold_is_that_of_the_highest_f1_on_validation_rows() -> None:
    """Counted by hand over every threshold, on what the candidate that saw training rows only says of them."""
    usecase, data = MadeBinary(), split(BINARY)
    model = usecase.train(data, TrainSpec(seed=7), Silent())
    chosen = next(place for place, one in enumerate(usecase.candidate_table(model)) if one["chosen"])
    first = usecase.candidates(usecase.epochs)[chosen].fit(data.training, 7, Silent())
    names = [column.name for column in usecase.columns]
    probability = predict(first, data.validation, names)[0]
    truth = data.validation.target > 0

    def f1(threshold: float) -> float:
        said = probability >= threshold
        return 2 * float((said & truth).sum()) / float(said.sum() + truth.sum())

    assert f1(float(model.threshold)) == pytest.approx(max(map(f1, probability)))
    decided = predict(model, data.test, names)
    np.testing.assert_array_equal(decided[1], decided[0] >= float(model.threshold))
