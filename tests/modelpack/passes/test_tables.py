"""Tables in other forms: the numbers that come out are those that numpy computes from what is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import helper
from table_graphs import constants, context, looked_up, value

from modelpack.formats.variant import Variant
from modelpack.passes.base import Pass
from modelpack.passes.embedding.codebook import FEWEST, REPRESENTATIVES, EmbeddingCodebook
from modelpack.passes.embedding.int4 import EmbeddingInt4
from modelpack.passes.embedding.int8 import EmbeddingInt8
from modelpack.passes.embedding.prune import SHARE, EmbeddingPrune, rarely
from modelpack.passes.embedding.rows_int8 import EmbeddingRowsInt8
from modelpack.passes.shared import nibbles
from modelpack.passes.shared.tables import count_lookups

ROWS, WIDTH = 600, 16
ALL = (
    EmbeddingInt8(), EmbeddingRowsInt8(), EmbeddingInt4(), EmbeddingCodebook(), EmbeddingPrune(),
)  # fmt: skip
ITEMS = np.arange(-1, ROWS - 1, dtype=np.int64)


def table(rows: int = ROWS, width: int = WIDTH, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.5, (rows, width)).astype(np.float32)


def through(one: Pass, variant: Variant, folder: Path, items: np.ndarray = ITEMS) -> Variant:
    return one.apply(variant, context(folder, {"item": items}))


@given(
    arrays(
        np.uint8,
        st.tuples(st.integers(1, 9), st.integers(1, 12).map(lambda n: 2 * n)),
        elements=st.integers(0, 15),
    )
)
def test_packed_codes_unpack_to_themselves_at_half_the_bytes(codes: np.ndarray) -> None:
    pairs = nibbles.pack(codes)
    assert pairs.nbytes * 2 == codes.nbytes
    assert np.array_equal(nibbles.unpack(pairs), codes)


@given(arrays(np.float32, (4, 32), elements=st.floats(-1000, 1000, width=32)))
def test_codes_are_never_worse_than_the_largest_value_spread_over_seven_steps(values: np.ndarray) -> None:
    codes, scales = nibbles.in_codes(values, 32)
    wide = (codes.astype(np.float32) - nibbles.ZERO) * scales.astype(np.float32)
    plain = np.maximum(np.abs(values).max(axis=1, keepdims=True) / 7, np.finfo(np.float16).tiny)
    plain = plain.astype(np.float16).astype(np.float32)
    at_most = np.square(np.clip(np.rint(values / plain), -8, 7) * plain - values).sum(axis=1)
    assert (np.square(wide - values).sum(axis=1) <= at_most * (1 + 1e-5) + 1e-6).all()


def test_int4_gives_what_numpy_unpacks(tmp_path: Path) -> None:
    variant = through(EmbeddingInt4(), looked_up(table(), tmp_path / "a"), tmp_path / "b")
    kept = constants(variant)
    codes = nibbles.unpack(kept["table.nibbles"]).astype(np.float32)
    want = (codes - nibbles.ZERO) * kept["table.scales"].astype(np.float32)
    assert np.array_equal(value(variant, "row", item=ITEMS), want)
    assert np.abs(want - table()).max() < 0.15
    assert kept["table.nibbles"].nbytes + kept["table.scales"].nbytes < table().nbytes / 6


def test_a_codebook_gives_its_representatives_pieces(tmp_path: Path) -> None:
    values, items = table(FEWEST), np.arange(-1, FEWEST - 1, dtype=np.int64)
    variant = through(EmbeddingCodebook(), looked_up(values, tmp_path / "a"), tmp_path / "b", items)
    kept = constants(variant)
    places = kept["table.pieces"].astype(np.int64) + REPRESENTATIVES * np.arange(WIDTH // 4)
    want = kept["table.shared"].astype(np.float32)[places].reshape(FEWEST, WIDTH)
    assert np.array_equal(value(variant, "row", item=items), want)
    assert np.square(want - values).mean() < 0.2 * np.square(values).mean()


def test_rows_asked_for_often_are_closer_than_others(tmp_path: Path) -> None:
    values = table(FEWEST)
    often = np.tile(np.arange(-1, 299, dtype=np.int64), 400)
    variant = through(EmbeddingCodebook(), looked_up(values, tmp_path / "a"), tmp_path / "b", often)
    items = np.arange(-1, FEWEST - 1, dtype=np.int64)
    errors = np.square(value(variant, "row", item=items) - values).mean(axis=1)
    assert errors[:300].mean() < 0.6 * errors[300:].mean()


def test_a_small_table_beside_a_codebook_goes_into_int4(tmp_path: Path) -> None:
    variant = through(EmbeddingCodebook(), looked_up(table(), tmp_path / "a"), tmp_path / "b")
    assert "table.nibbles" in constants(variant)


def test_rare_rows_share_one_and_the_others_keep_their_numbers(tmp_path: Path) -> None:
    values = table()
    asked = np.repeat(np.arange(-1, 499), [50] * 400 + [2] * 100)
    variant = through(EmbeddingPrune(), looked_up(values, tmp_path / "a"), tmp_path / "b", asked)
    found = value(variant, "row", item=ITEMS)
    assert np.array_equal(found[:400], values[:400])
    whole = onnx.load(str(looked_up(values, tmp_path / "c").path))
    seen = count_lookups(whole, {"item": asked})["table"]
    rare = rarely(seen)
    assert not rare[:400].any()
    assert rare[400:].all()
    shared = values[400:500].astype(np.float64).mean(axis=0)
    assert np.allclose(found[400:], shared, atol=1e-5)
    assert constants(variant)["table.kept"].shape == (401, WIDTH)


def test_pruning_without_traffic_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no requests of its training period"):
        EmbeddingPrune().apply(looked_up(table(), tmp_path / "a"), context(tmp_path / "b"))


@given(st.lists(st.integers(0, 300), min_size=256, max_size=400))
def test_what_is_rare_has_its_share_of_the_lookups_at_most(counts: list[int]) -> None:
    seen = np.array(counts)
    rare = rarely(seen)
    assert seen[rare].sum() <= SHARE * seen.sum()
    if rare.any() and not rare.all():
        assert seen[rare].max() <= seen[~rare].min()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(-1, ROWS - 2), min_size=1, max_size=40))
def test_traffic_counts_rows_behind_the_vocabulary(items: list[int]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        model = onnx.load(str(looked_up(table(), Path(folder)).path))
        seen = count_lookups(model, {"item": np.array(items, dtype=np.int64)})
    assert np.array_equal(seen["table"], np.bincount(np.array(items) + 1, minlength=ROWS))


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_the_same_table_gives_the_same_bytes(one: Pass, tmp_path: Path) -> None:
    asked = np.repeat(np.arange(-1, 499), [50] * 400 + [2] * 100)
    files = [
        through(one, looked_up(table(), tmp_path / name), tmp_path / f"{name}-after", asked).files
        for name in ("a", "b")
    ]
    assert [path.read_bytes() for path in files[0].values()] == [
        path.read_bytes() for path in files[1].values()
    ]


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
@pytest.mark.parametrize(
    "values",
    [table(255), table(width=7), np.zeros((300, 4, 8), np.float32)],
    ids=["too few rows", "too narrow", "not a matrix"],
)
def test_what_is_no_table_is_refused(one: Pass, values: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no embedding table"):
        through(one, looked_up(values, tmp_path / "a"), tmp_path / "b")


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_a_table_that_something_else_reads_stays(one: Pass, tmp_path: Path) -> None:
    sums = helper.make_node("ReduceSum", ["table"], ["sums"], keepdims=0)
    with pytest.raises(ValueError, match="no embedding table"):
        through(one, looked_up(table(), tmp_path / "a", [sums]), tmp_path / "b")


def test_an_odd_width_is_not_packed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="this pass can change"):
        through(EmbeddingInt4(), looked_up(table(width=9), tmp_path / "a"), tmp_path / "b")
