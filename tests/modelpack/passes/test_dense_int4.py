"""Four bits on disk, int8 in use: the numbers are those of numpy, and TopK by groups finds what TopK finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_graphs import best, constants, context, dense, value

from modelpack.passes.dense_int4 import BLOCK, STEPS, DenseInt4
from modelpack.passes.shared import nibbles
from modelpack.passes.top_k_groups import FEWEST, TopKGroups, group_size

OUTPUTS, INPUTS = 1100, 64


def layer() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.normal(0, 0.2, (OUTPUTS, INPUTS)).astype(np.float32), np.arange(
        OUTPUTS, dtype=np.float32
    )


def widened(kept: dict[str, np.ndarray]) -> np.ndarray:
    codes = nibbles.unpack(kept["weights.nibbles"]).astype(np.float32) - nibbles.ZERO
    return codes * np.repeat(kept["weights.scales"].astype(np.float32), BLOCK, axis=1)


@pytest.mark.parametrize("gemm", [True, False], ids=["gemm", "matmul"])
def test_the_weights_in_use_are_what_numpy_widens(gemm: bool, tmp_path: Path) -> None:
    weights, bias = layer()
    variant = DenseInt4().apply(dense(weights, bias, tmp_path / "a", gemm), context(tmp_path / "b"))
    kept = constants(variant)
    assert "weights" not in kept
    wide = widened(kept)
    step = np.abs(wide).max(axis=1, keepdims=True) / np.float32(STEPS)
    whole = np.rint(wide / step)
    given_ = np.random.default_rng(1).normal(0, 1, (5, INPUTS)).astype(np.float32)
    assert np.array_equal(value(variant, "weights.int8", x=given_), whole.T.astype(np.int8))
    low, high = min(0.0, float(given_.min())), max(0.0, float(given_.max()))
    want = given_ @ (whole * step).T + (bias if gemm else 0)
    largest_error = (high - low) / 255 / 2 * np.abs(whole * step).sum(axis=1).max()
    assert np.abs(value(variant, "y", x=given_) - want).max() <= largest_error * 1.01


def test_the_file_shrinks_to_about_a_seventh(tmp_path: Path) -> None:
    weights, bias = layer()
    before = dense(weights, bias, tmp_path / "a")
    after = DenseInt4().apply(before, context(tmp_path / "b"))
    assert after.size_mb < before.size_mb / 5


@pytest.mark.parametrize("shape", [(100, 64), (1100, 63)], ids=["small", "not whole blocks"])
def test_other_layers_stay(shape: tuple[int, int], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no dense layer"):
        DenseInt4().apply(dense(np.ones(shape, np.float32), None, tmp_path / "a"), context(tmp_path / "b"))


@settings(max_examples=20, deadline=None)
@given(st.integers(FEWEST, 3 * FEWEST), st.integers(1, 12), st.integers(0, 9999), st.booleans())
def test_groups_find_the_same_numbers_at_places_that_hold_them(
    width: int, count: int, seed: int, coarse: bool
) -> None:
    import tempfile

    scores = np.random.default_rng(seed).normal(0, 1, (3, width)).astype(np.float32)
    if coarse:
        scores = np.round(scores)
    with tempfile.TemporaryDirectory() as folder:
        plain = best(width, count, Path(folder) / "a")
        grouped = TopKGroups().apply(plain, context(Path(folder) / "b"))
        values, places = value(grouped, "values", x=scores), value(grouped, "places", x=scores)
        assert np.array_equal(values, value(plain, "values", x=scores))
    assert np.array_equal(np.take_along_axis(scores, places, axis=1), values)
    assert all(len(set(row.tolist())) == count for row in places)


def test_a_short_axis_is_left_alone(tmp_path: Path) -> None:
    assert group_size(FEWEST, FEWEST // 4) == 0
    with pytest.raises(ValueError, match="no TopK"):
        TopKGroups().apply(best(FEWEST - 1, 3, tmp_path / "a"), context(tmp_path / "b"))
