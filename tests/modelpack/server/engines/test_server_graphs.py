"""Runs through fixed buffers give what plain runs give: every number of rows, and nothing of an earlier request."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_server import HISTORY, PRODUCTS, write_model

from modelpack.server.engines.graphs import Replayed, fill, sizes

NAMES = ["products", "scores"]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> onnxruntime.InferenceSession:
    path = tmp_path_factory.mktemp("graphs") / "model.onnx"
    write_model(path)
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def rows(count: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        "household": random.integers(0, PRODUCTS, count),
        "history": random.integers(0, PRODUCTS, (count, HISTORY)),
    }


@settings(max_examples=30, deadline=None)
@given(counts=st.lists(st.integers(1, 11), min_size=1, max_size=6))
def test_the_same_answers_in_any_order_of_sizes(
    session: onnxruntime.InferenceSession, counts: list[int]
) -> None:
    replayed = Replayed(session, NAMES, 8, "cpu")
    asked = [rows(count, place) for place, count in enumerate(counts)]
    got = [replayed.run(feeds) for feeds in asked]
    for feeds, answers in zip(asked, got, strict=True):
        for name, want in zip(NAMES, session.run(NAMES, feeds), strict=True):
            np.testing.assert_array_equal(answers[name], want)


def test_sizes_and_filling() -> None:
    assert sizes(1) == (1,)
    assert sizes(8) == (1, 2, 4, 8)
    assert sizes(50) == (1, 2, 4, 8, 16, 32, 50)
    np.testing.assert_array_equal(fill(np.array([[1], [2]]), 4), [[1], [2], [2], [2]])
    np.testing.assert_array_equal(fill(np.array([1, 2]), 2), [1, 2])
