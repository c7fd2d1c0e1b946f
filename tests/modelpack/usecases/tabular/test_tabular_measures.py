"""Metrics as one value per request: the mean is the metric, and resampling the values is resampling the metric."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelpack.usecases.metrics import auc, bootstrap
from modelpack.usecases.tabular import measures

GENERATOR = np.random.default_rng(3)


def by_definition(truth: np.ndarray, score: np.ndarray) -> float:
    """Average precision straight from its definition, threshold by threshold."""
    area, before = 0.0, 0.0
    for limit in sorted(set(score.tolist()), reverse=True):
        called = score >= limit
        recall = (truth & called).sum() / truth.sum()
        area += (recall - before) * (truth & called).sum() / called.sum()
        before = recall
    return float(area)


rows = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=3, max_size=60).filter(
    lambda found: 0 < sum(truth for truth, _ in found) < len(found)
)


@given(rows)
@settings(max_examples=100, deadline=None)
def test_means_are_the_metrics(found: list[tuple[bool, int]]) -> None:
    truth = np.array([one for one, _ in found])
    score = np.array([float(other) for _, other in found])
    assert measures.average_precision(truth, score).mean() == pytest.approx(by_definition(truth, score))
    assert measures.area_under_roc(truth, score).mean() == pytest.approx(auc(score[truth], score[~truth]))
    amounts = score + truth
    total = np.abs(amounts - score).sum() / amounts.sum()
    assert measures.wmape(amounts, score).mean() == pytest.approx(total)


def resampled(
    measure: Callable[[np.ndarray, np.ndarray], float], truth: np.ndarray, score: np.ndarray
) -> float:
    """The width of the interval when the metric itself is computed on every resample."""
    generator = np.random.default_rng(1)
    drawn = [generator.integers(0, len(truth), len(truth)) for _ in range(300)]
    low, high = np.quantile([measure(truth[rows], score[rows]) for rows in drawn], [0.025, 0.975])
    return float(high - low)


@pytest.mark.parametrize("name", ["average_precision", "area_under_roc", "wmape"])
def test_intervals_are_as_wide_as_those_of_the_metric_itself(name: str) -> None:
    score = GENERATOR.normal(size=2000)
    truth = score + GENERATOR.normal(size=2000) > 1.5
    amount = np.abs(score) + GENERATOR.exponential(size=2000)
    given_truth = amount if name == "wmape" else truth
    measure = getattr(measures, name)
    interval = bootstrap(measure(given_truth, score))
    direct = resampled(lambda one, other: float(measure(one, other).mean()), given_truth, score)
    assert interval.high - interval.low == pytest.approx(direct, rel=0.2)


def test_one_class_alone_has_no_curve() -> None:
    with pytest.raises(ValueError, match="positive"):
        measures.average_precision(np.zeros(3, bool), np.arange(3.0))
    with pytest.raises(ValueError, match="negative"):
        measures.area_under_roc(np.ones(3, bool), np.arange(3.0))
    with pytest.raises(ValueError, match="zero"):
        measures.wmape(np.zeros(3), np.ones(3))


def test_recall_at_a_false_positive_rate() -> None:
    truth = np.array([True] * 4 + [False] * 1000)
    score = np.concatenate([[9.0, 8.0, 0.5, 0.1], np.linspace(0, 1, 1000)])
    assert measures.recall_at_fpr(truth, score, 0.001) == 0.5
    exceeding = score[~truth] > measures.threshold_at_fpr(truth, score, 0.01)
    assert exceeding.mean() == pytest.approx(0.01)


def test_the_threshold_of_the_highest_f1() -> None:
    truth = np.array([True, True, False, True, False, False])
    score = np.array([0.9, 0.8, 0.7, 0.6, 0.3, 0.1])
    assert measures.best_f1_threshold(truth, score) == 0.6


def test_calibration_tells_honest_probabilities_from_bold_ones() -> None:
    chance = GENERATOR.random(20_000)
    truth = GENERATOR.random(20_000) < chance
    honest, bold = measures.calibration(truth, chance), measures.calibration(truth, chance**3)
    assert honest["calibration_error"] < 0.02 < bold["calibration_error"]
    assert honest["brier"] < bold["brier"]


def test_accuracy_precision_recall_and_f1_stand_beside_the_metric() -> None:
    truth = np.array([True, True, False, False])
    answers = {"probability": np.array([0.9, 0.2, 0.8, 0.1]), "decision": np.array([1, 0, 1, 0])}
    figures = measures.binary_figures(truth, answers)
    assert {name: figures[name] for name in ("accuracy", "precision", "recall", "f1", "auc")} == {
        "accuracy": 0.5,
        "precision": 0.5,
        "recall": 0.5,
        "f1": 0.5,
        "auc": 0.75,
    }
