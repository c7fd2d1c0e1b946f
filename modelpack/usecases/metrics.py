"""Task metrics with intervals, in numpy. Every ranking metric is given per request, so that two models can be
compared request by request.

Definitions: Manning, Raghavan, Schütze, *Introduction to Information Retrieval*, ch. 8 (precision, recall, F1,
NDCG); Fawcett, *An introduction to ROC analysis* (2006) (AUC as the chance to rank a positive above a negative);
Efron & Tibshirani, *An Introduction to the Bootstrap* (1993), ch. 13 (percentile interval).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
AT_ONCE = 2048
"""Requests whose pairs are formed at once."""


@dataclass(frozen=True)
class Interval:
    """A mean with its percentile bootstrap interval."""

    value: float
    low: float
    high: float

    def as_data(self) -> dict[str, float]:
        """As the record writes it."""
        return asdict(self)


def hits(ranked: NDArray[np.int64], relevant: list[NDArray[np.int64]]) -> NDArray[np.bool_]:
    """Which of the `ranked` (requests, k) identifiers are among the request's `relevant` ones. Raises ValueError for
    another number of requests."""
    if len(ranked) != len(relevant):
        raise ValueError(f"{len(ranked)} rankings for {len(relevant)} requests")
    cuts = range(0, len(ranked), AT_ONCE)
    parts = [find(ranked[begin : begin + AT_ONCE], relevant[begin : begin + AT_ONCE]) for begin in cuts]
    return np.concatenate(parts) if parts else np.zeros(ranked.shape, dtype=np.bool_)


def find(ranked: NDArray[np.int64], relevant: list[NDArray[np.int64]]) -> NDArray[np.bool_]:
    """`hits` of so many requests that all their pairs go into memory."""
    sizes = np.array([len(one) for one in relevant], dtype=np.int64)
    found, some = np.zeros(ranked.shape, dtype=np.bool_), sizes > 0
    if some.any():
        # every pair at once: np.isin sorts, a request at a time
        equal = np.repeat(ranked, sizes, axis=0) == np.concatenate(relevant)[:, None]
        found[some] = np.logical_or.reduceat(equal, (np.cumsum(sizes) - sizes)[some], axis=0)
    return found


def recall_at_k(hit: NDArray[np.bool_], relevant: NDArray[np.int64]) -> Floats:
    """Per request: the share of the `relevant` (a count) items that are in the first k."""
    return np.asarray(hit.sum(axis=1) / relevant, dtype=np.float64)


def ndcg_at_k(hit: NDArray[np.bool_], relevant: NDArray[np.int64]) -> Floats:
    """Per request: discounted gain with binary relevance, over the best that k places allow."""
    k = hit.shape[1]
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    best = np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(relevant, k)]
    return np.asarray((hit * discount).sum(axis=1) / best, dtype=np.float64)


def auc(positive: NDArray[Any], negative: NDArray[Any]) -> float:
    """The chance that a positive's score is above a negative's; a tie counts half."""
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    at_most = np.searchsorted(ordered, positive, side="right")
    return float((below + at_most).mean() / 2 / len(negative))


def accuracy(truth: NDArray[Any], predicted: NDArray[Any]) -> float:
    """The share of predictions that are right."""
    return float((truth == predicted).mean())


def precision_recall_f1(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Precision, recall and their harmonic mean; 0 where a denominator is 0."""
    both = float((truth & predicted).sum())
    precision = both / predicted.sum() if predicted.any() else 0.0
    recall = both / truth.sum() if truth.any() else 0.0
    f1 = 2 * precision * recall / (precision + recall) if both else 0.0
    return float(precision), float(recall), float(f1)


def bootstrap(
    values: Floats,
    groups: NDArray[Any] | None = None,
    *,
    seed: int = 0,
    rounds: int = 1000,
    level: float = 0.95,
) -> Interval:
    """The mean of `values` with its percentile interval; whole `groups` (one customer's requests) are resampled
    together, because they are not independent."""
    labels = np.arange(len(values)) if groups is None else np.unique(groups, return_inverse=True)[1]
    totals = np.bincount(labels, weights=values)
    counts = np.bincount(labels).astype(np.float64)
    generator = np.random.default_rng(seed)
    means = np.empty(rounds)
    for index in range(rounds):
        chosen = generator.integers(0, len(totals), len(totals))
        means[index] = totals[chosen].sum() / counts[chosen].sum()
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(values.mean()), float(low), float(high))
