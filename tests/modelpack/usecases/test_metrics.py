"""Task metrics against values worked out by hand or by definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelpack.usecases import metrics


def test_recall_and_ndcg_by_hand() -> None:
    ranked = np.array([[1, 2, 3], [7, 8, 9]])
    relevant = [np.array([3, 1, 40, 50]), np.array([5])]
    hit = metrics.hits(ranked, relevant)
    sizes = np.array([4, 1])
    assert metrics.recall_at_k(hit, sizes).tolist() == [0.5, 0.0]
    best = 1 + 1 / np.log2(3) + 1 / np.log2(4)
    assert metrics.ndcg_at_k(hit, sizes) == pytest.approx([(1 + 1 / np.log2(4)) / best, 0.0])


def test_a_perfect_ranking_has_ndcg_one() -> None:
    hit = metrics.hits(np.array([[4, 5, 6]]), [np.array([4, 5])])
    assert metrics.ndcg_at_k(hit, np.array([2])).tolist() == [1.0]


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=20),
    st.lists(st.integers(0, 5), min_size=1, max_size=20),
)
def test_auc_counts_pairs(positive: list[int], negative: list[int]) -> None:
    pairs = [1.0 if one > other else 0.5 if one == other else 0.0 for one in positive for other in negative]
    assert metrics.auc(np.array(positive), np.array(negative)) == pytest.approx(np.mean(pairs))


def test_precision_recall_f1_and_accuracy() -> None:
    truth, predicted = np.array([True, True, False, False]), np.array([True, False, True, False])
    assert metrics.precision_recall_f1(truth, predicted) == (0.5, 0.5, 0.5)
    assert metrics.precision_recall_f1(truth, np.zeros(4, bool)) == (0.0, 0.0, 0.0)
    assert metrics.accuracy(truth, predicted) == 0.5


def test_the_interval_holds_the_mean_and_repeats() -> None:
    values = np.random.default_rng(1).normal(2.0, 1.0, 400)
    one, again = metrics.bootstrap(values), metrics.bootstrap(values)
    assert one == again
    assert one.low < one.value < one.high
    assert one.high - one.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.15)


def test_customers_are_resampled_whole() -> None:
    groups = np.repeat(np.arange(10), 50)
    values = np.repeat(np.random.default_rng(2).normal(0.0, 1.0, 10), 50)
    alone, together = metrics.bootstrap(values), metrics.bootstrap(values, groups)
    assert together.high - together.low > 3 * (alone.high - alone.low)


@given(st.integers(0, 10_000), st.integers(0, 30), st.integers(1, 5))
def test_hits_are_what_isin_finds(seed: int, requests: int, k: int) -> None:
    draw = np.random.default_rng(seed)
    ranked = draw.integers(0, 9, (requests, k))
    relevant = [draw.integers(0, 9, draw.integers(0, 7)) for _ in range(requests)]
    hit = metrics.hits(ranked, relevant)
    assert hit.shape == (requests, k)
    for row, truth, found in zip(ranked, relevant, hit, strict=True):
        assert found.tolist() == np.isin(row, truth).tolist()


def test_hits_of_more_requests_than_go_at_once() -> None:
    count = metrics.AT_ONCE * 2 + 3
    ranked = np.arange(count)[:, None]
    hit = metrics.hits(
        ranked, [np.array([row]) if row % 2 else np.array([-1, row + 1]) for row in range(count)]
    )
    assert hit[:, 0].tolist() == [row % 2 == 1 for row in range(count)]


def test_hits_of_other_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="2 rankings for 1 requests"):
        metrics.hits(np.zeros((2, 3), np.int64), [np.array([1])])
