"""Fraud: no leakage, the guard against false declines, and (slow) the real data against its baseline."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from modelpack.home import Home
from modelpack.inputs.spec import TrainSpec
from modelpack.progress import Silent
from modelpack.usecases import fraud
from modelpack.usecases.base import beats, usecases
from modelpack.usecases.fraud import Fraud
from modelpack.usecases.tabular.frame import Part, Split
from modelpack.usecases.tabular.model import predict


def payments(rows: int = 4000, seed: int = 0) -> dict[str, np.ndarray]:
    """Made payments, several in one second, frauds told by two components."""
    generator = np.random.default_rng(seed)
    components = generator.normal(size=(rows, fraud.COMPONENTS)).astype(np.float32)
    return {
        "seconds": np.sort(generator.integers(0, rows // 3, rows)).astype(np.float64),
        "amount": generator.exponential(80, rows).astype(np.float32),
        "components": components,
        "fraud": (components[:, 0] + components[:, 1] > 3).astype(np.float32),
    }


def test_the_catalogue_finds_it() -> None:
    assert isinstance(usecases().get("fraud"), Fraud)


def test_the_split_is_by_time_and_no_second_is_on_both_sides() -> None:
    data = fraud.split(**payments())
    parts = (data.training, data.validation, data.test)
    seconds = [part.more["seconds"] for part in parts]
    assert seconds[0].max() < seconds[1].min()
    assert seconds[1].max() < seconds[2].min()
    assert sum(len(part) for part in parts) == 4000
    assert len(np.intersect1d(data.training.groups, data.test.groups)) == 0


def test_the_threshold_is_the_cheapest_one_that_keeps_the_guard() -> None:
    generator = np.random.default_rng(1)
    truth = generator.random(20_000) < 0.01
    amount = np.full(20_000, 500, np.float32)
    part = Part({"amount": amount}, truth.astype(np.float32), np.arange(20_000))
    probability = np.clip(truth * 0.3 + generator.random(20_000) * 0.7, 0, 1)
    threshold = fraud.cheapest_threshold(part, probability)
    declined = probability >= threshold
    assert declined[~truth].mean() <= fraud.MOST_FALSE_DECLINES

    def cost(limit: float) -> float:
        return fraud.money(part, probability >= limit)["cost_per_1000"]

    allowed = [
        limit for limit in probability if (probability[~truth] >= limit).mean() <= fraud.MOST_FALSE_DECLINES
    ]
    assert cost(threshold) == pytest.approx(min(map(cost, allowed)))


def test_where_no_threshold_keeps_the_guard_nobody_is_declined() -> None:
    part = Part(
        {"amount": np.ones(100, np.float32)}, (np.arange(100) == 0).astype(np.float32), np.arange(100)
    )
    threshold = fraud.cheapest_threshold(part, np.full(100, 0.5, np.float32))
    assert threshold > 0.5


def test_money_counts_missed_frauds_and_declined_customers() -> None:
    part = Part(
        {"amount": np.array([100, 50, 7, 7], np.float32)}, np.array([1, 1, 0, 0], np.float32), np.arange(4)
    )
    figures = fraud.money(part, np.array([True, False, True, False]))
    assert figures["cost_per_1000"] == (50 + fraud.FALSE_DECLINE_COST) * 250
    assert figures["cost_per_1000_accepting_all"] == 150 * 250
    assert figures["false_decline_rate"] == 0.5


def test_samples_and_golden_requests_show_frauds_and_good_payments() -> None:
    usecase, data = Fraud(), fraud.split(**payments())
    samples = usecase.samples(data)
    told = [one["before"][0] for one in samples.requests]
    assert told.count("known afterwards: a fraud") == told.count("known afterwards: a good payment") == 6
    names = {tensor.name for tensor in usecase.signature().inputs}
    assert all(set(one) == names for body in usecase.golden(data) for one in body["instances"])
    assert samples.names == {"0": "accept", "1": "decline"}


def test_training_gives_the_same_bytes_each_time(tmp_path: Path) -> None:
    usecase, digests = Fraud(), []
    for name in ("first", "second"):
        usecase.save(
            usecase.train(fraud.split(**payments()), TrainSpec(epochs=2, seed=7), Silent()), tmp_path / name
        )
        digests.append(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert digests[0] == digests[1]


@pytest.fixture(scope="module")
def real(home: Home) -> Split:
    return Fraud().prepare(home, Silent())


@pytest.mark.slow
@pytest.mark.network
def test_on_the_real_payments_it_beats_logistic_regression(real: Split) -> None:
    usecase = Fraud()
    assert [int(part.target.sum()) for part in (real.training, real.validation, real.test)] == [350, 49, 74]
    assert len(real.training) + len(real.validation) + len(real.test) == 284_807 - 1_081
    model = usecase.train(real, TrainSpec(seed=7), Silent())
    probability, decision = predict(model, real.test, [column.name for column in usecase.columns])
    evaluation = usecase.measure({"probability": probability, "decision": decision}, real.test)
    for baseline in usecase.baselines(real):
        assert beats(evaluation, baseline.evaluation).low > 0
    assert evaluation.more["false_decline_rate"] <= 2 * fraud.MOST_FALSE_DECLINES
    assert evaluation.more["cost_per_1000"] < evaluation.more["cost_per_1000_accepting_all"] / 2
