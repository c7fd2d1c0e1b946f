"""Task metrics of tables as one value per request, whose mean is the metric.

Average precision, AUC and wMAPE are not means over requests, but the house compares models by the mean of paired
values and resamples them. So each request's value is the metric plus the request's influence on it (the
infinitesimal jackknife: Efron, *The Jackknife, the Bootstrap and Other Resampling Plans*, 1982, ch. 6). The
influences sum to zero, so the mean is the metric itself, and resampling them gives the first-order bootstrap
interval; a test holds it against resampling the metric directly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelpack.usecases.metrics import accuracy, precision_recall_f1
from modelpack.usecases.tabular.frame import Floats

BINS = 10


def average_precision(truth: NDArray[np.bool_], score: NDArray[Any]) -> Floats:
    """Area under the precision-recall curve, step by step (Manning et al., ch. 8: average precision).

    Rows of equal score stand and fall together. (rows,) values; raises ValueError without a positive.
    """
    if not truth.any():
        raise ValueError("average precision needs at least one positive row")
    level = _levels(score)
    count = np.bincount(level).astype(np.float64)
    found = np.bincount(level, weights=truth.astype(np.float64))
    seen, hit = np.cumsum(count), np.cumsum(found)
    positives = hit[-1]
    precision = hit / seen
    area = float((found * precision).sum() / positives)
    below = np.cumsum((found / seen)[::-1])[::-1]
    lower = np.cumsum((found * hit / seen**2)[::-1])[::-1]
    influence = truth * (precision[level] - area + below[level]) - lower[level]
    return np.asarray(area + influence * len(truth) / positives, dtype=np.float64)


def area_under_roc(truth: NDArray[np.bool_], score: NDArray[Any]) -> Floats:
    """AUC: a positive's value is its share of negatives below, a negative's its share of positives above.

    (DeLong, DeLong & Clarke-Pearson, 1988: the structural components.) Raises ValueError when one class is absent.
    """
    if truth.all() or not truth.any():
        raise ValueError("AUC needs positive and negative rows")
    parts = np.empty(len(truth))
    for own, other, sign in ((truth, ~truth, 1.0), (~truth, truth, -1.0)):
        ordered = np.sort(sign * score[other])
        at = sign * score[own]
        below = np.searchsorted(ordered, at, "left") + np.searchsorted(ordered, at, "right")
        parts[own] = below / 2 / len(ordered)
    area = float(parts[truth].mean())
    share = np.where(truth, truth.mean(), 1 - truth.mean())
    return np.asarray(area + (parts - area) / share, dtype=np.float64)


def wmape(truth: NDArray[Any], predicted: NDArray[Any]) -> Floats:
    """Weighted mean absolute percentage error: sum of |errors| over the sum of what was true. Lower is better."""
    total = float(np.abs(truth).sum(dtype=np.float64))
    if not total:
        raise ValueError("wMAPE needs something that is not zero")
    error = np.abs(truth.astype(np.float64) - predicted)
    whole = float(error.sum()) / total
    return np.asarray(whole + (error - whole * np.abs(truth)) * len(truth) / total, dtype=np.float64)


def recall_at_fpr(truth: NDArray[np.bool_], score: NDArray[Any], rate: float) -> float:
    """The share of positives above the threshold that at most `rate` of the negatives reach."""
    return float((score[truth] > threshold_at_fpr(truth, score, rate)).mean())


def threshold_at_fpr(truth: NDArray[np.bool_], score: NDArray[Any], rate: float) -> float:
    """A score that at most `rate` of the negatives exceed."""
    negatives = np.sort(score[~truth])[::-1]
    return float(negatives[min(int(rate * len(negatives)), len(negatives) - 1)])


def best_f1_threshold(truth: NDArray[np.bool_], score: NDArray[Any]) -> float:
    """The score from which on calling a row positive gives the highest F1."""
    order = np.argsort(-score, kind="stable")
    hit = np.cumsum(truth[order])
    last = np.append(np.diff(score[order]) != 0, True)
    f1 = np.where(last, 2 * hit / (np.arange(1, len(order) + 1) + max(int(truth.sum()), 1)), -1)
    return float(score[order][int(np.argmax(f1))])


def classification(truth: NDArray[np.bool_], decided: NDArray[np.bool_]) -> dict[str, float]:
    """Accuracy, precision, recall and F1 of yes-or-no answers."""
    precision, recall, f1 = precision_recall_f1(truth, decided)
    return {"accuracy": accuracy(truth, decided), "precision": precision, "recall": recall, "f1": f1}


def calibration(truth: NDArray[np.bool_], probability: NDArray[Any]) -> dict[str, float]:
    """Are 3 of 100 rows given 3 % positive? Brier score, and the expected calibration error over ten groups of
    equal size (Naeini et al., AAAI 2015, with groups by rank, for most probabilities here are near zero)."""
    order = np.argsort(probability, kind="stable")
    groups = [group for group in np.array_split(order, BINS) if len(group)]
    gaps = [
        abs(float(truth[group].mean()) - float(probability[group].mean())) * len(group) for group in groups
    ]
    return {
        "brier": float(np.mean((probability - truth) ** 2)),
        "calibration_error": sum(gaps) / len(truth),
        "predicted_share": float(probability.mean()),
        "true_share": float(truth.mean()),
    }


def binary_figures(truth: NDArray[np.bool_], answers: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """What stands in every classification record beside the task's own metric."""
    probability = answers["probability"].astype(np.float64)
    return {
        **classification(truth, answers["decision"] > 0),
        "auc": float(area_under_roc(truth, probability).mean()),
        **calibration(truth, probability),
    }


def _levels(score: NDArray[Any]) -> NDArray[np.int64]:
    """0 for the highest score, 1 for the next different one ..."""
    _, place = np.unique(-score, return_inverse=True)
    return np.asarray(place, dtype=np.int64)
