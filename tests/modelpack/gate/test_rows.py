"""A row's answer depends on that row alone: the check finds models of which that is not true, and our int8 keeps it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from table_graphs import context, value

from modelpack.formats.onnx_files import write
from modelpack.formats.variant import Variant
from modelpack.passes.base import PassContext
from modelpack.passes.dense_int4 import DenseInt4
from modelpack.passes.int8 import Int8
from modelpack.passes.shared.ranges import LEVELS, SHARES, covering
from modelpack.server.rows import companies, dependence, in_cuts

Arrays = dict[str, NDArray[Any]]
RANDOM = np.random.default_rng(0)
WEIGHTS = RANDOM.normal(size=(8, 4)).astype(np.float32)
ROWS = RANDOM.normal(size=(6, 8)).astype(np.float32)
CLOSE = {"scores": {"kind": "close", "rtol": 1e-4, "atol": 1e-4}}


def independent(feeds: Arrays) -> Arrays:
    return {"scores": feeds["x"] @ WEIGHTS}


def row_range(feeds: Arrays) -> Arrays:
    step = np.maximum(np.abs(feeds["x"]).max(axis=1, keepdims=True), 1e-30) / 127
    return {"scores": np.rint(feeds["x"] / step) @ WEIGHTS * step}


def listwise(feeds: Arrays) -> Arrays:
    scores = np.exp(feeds["x"] @ WEIGHTS - (feeds["x"] @ WEIGHTS).max(axis=0))
    return {"scores": scores / scores.sum(axis=0)}


def batch_mean(feeds: Arrays) -> Arrays:
    return {"scores": (feeds["x"] - feeds["x"].mean(axis=0)) @ WEIGHTS}


def shared_range(feeds: Arrays) -> Arrays:
    step = max(float(np.abs(feeds["x"]).max()), 1e-30) / 127
    return {"scores": np.rint(feeds["x"] / step) @ WEIGHTS * step}


def order(feeds: Arrays) -> Arrays:
    return {"scores": feeds["x"] @ WEIGHTS + np.arange(len(feeds["x"]), dtype=np.float32)[:, None]}


def running_sum(feeds: Arrays) -> Arrays:
    return {"scores": np.cumsum(feeds["x"] @ WEIGHTS, axis=0)}


def the_next_row(feeds: Arrays) -> Arrays:
    """Each row's answer is of the row behind it; the last one has none."""
    return {"scores": np.vstack([feeds["x"][1:], np.zeros_like(feeds["x"][:1])]) @ WEIGHTS}


def attention(feeds: Arrays) -> Arrays:
    """Every row looks at all others, as where the first axis was taken for the sequence."""
    alike = np.exp(np.clip(feeds["x"] @ feeds["x"].T, -30, 30))
    return {"scores": alike / alike.sum(axis=1, keepdims=True) @ feeds["x"] @ WEIGHTS}


def the_best_alone(feeds: Arrays) -> Arrays:
    scores = feeds["x"] @ WEIGHTS
    return {"scores": np.where(scores == scores.max(axis=0), scores, 0)}


def places(feeds: Arrays) -> Arrays:
    """The rank of each row in its call."""
    return {"scores": np.argsort(np.argsort(feeds["x"] @ WEIGHTS, axis=0), axis=0).astype(np.float32)}


def how_many(feeds: Arrays) -> Arrays:
    return {"scores": feeds["x"] @ WEIGHTS + np.float32(len(feeds["x"]) > 2)}


def one_in_a_hundred(feeds: Arrays) -> Arrays:
    """So little of the call's mean that only an outlier brings it above any tolerance."""
    return {"scores": (feeds["x"] - 1e-5 * feeds["x"].mean(axis=0)) @ WEIGHTS}


def never_finite(feeds: Arrays) -> Arrays:
    """Its own row's answer, which is no number: nobody else's doing."""
    return {"scores": np.where(feeds["x"] @ WEIGHTS > 0, -np.inf, np.nan)}


def only_beside_zeros(feeds: Arrays) -> Arrays:
    """Wrong in one company only: some row of the call is all padding."""
    padded = bool((feeds["x"] == 0).all(axis=1).any())
    return {"scores": feeds["x"] @ WEIGHTS + (1 if padded else 0)}


@pytest.mark.parametrize("model", [independent, row_range, never_finite])
@pytest.mark.parametrize("most", [2, 3, 8, 64])
def test_rows_that_are_their_own(model: Callable[[Arrays], Arrays], most: int) -> None:
    assert dependence(model, {"x": ROWS}, most, CLOSE) == ""


MIXED = [
    *(listwise, batch_mean, shared_range, order, only_beside_zeros),
    *(running_sum, the_next_row, attention, the_best_alone, places, one_in_a_hundred),
]


@pytest.mark.parametrize("most", [3, 8, 64])
def test_a_model_that_counts_its_rows_is_found(most: int) -> None:
    assert "among 3 requests" in dependence(how_many, {"x": ROWS}, most, CLOSE)
    assert dependence(how_many, {"x": ROWS}, 2, CLOSE) == "", "no call has three"


def test_rows_that_share_an_id_are_found() -> None:
    """A model that sums what rows of one id hold: two requests of one customer, or of nobody (the padding)."""

    def by_id(feeds: Arrays) -> Arrays:
        same = (feeds["id"][:, None] == feeds["id"][None]).astype(np.float32)
        return {"scores": same @ feeds["x"] @ WEIGHTS}

    told = dependence(by_id, {"x": ROWS, "id": np.arange(1, 7)}, 8, CLOSE)
    assert "scores" in told


@pytest.mark.parametrize("model", MIXED)
@pytest.mark.parametrize("most", [2, 3, 8, 64])
def test_rows_that_are_not(model: Callable[[Arrays], Arrays], most: int) -> None:
    told = dependence(model, {"x": ROWS}, most, CLOSE)
    assert "requests" in told or "another request" in told
    assert "scores" in told
    assert dependence(model, {"x": ROWS}, 1, CLOSE) == "", "no two rows share a call"


def test_strangers_that_the_model_refuses_are_left_out() -> None:
    def careful(feeds: Arrays) -> Arrays:
        if not (np.abs(feeds["x"]) < 100).all():
            raise ValueError("out of range")
        return independent(feeds)

    assert dependence(careful, {"x": ROWS}, 8, CLOSE) == ""
    names = {name for name, _, _ in companies(careful, {"x": ROWS}, 8)}
    assert not {name.split()[1] for name in names} & {"large", "huge"}
    assert any("padded" in name or "zero" in name for name in names)


@pytest.mark.parametrize("most", [2, 7, 64])
def test_every_company_holds_the_rows_that_it_says(most: int) -> None:
    for _, batch, places in companies(independent, {"x": ROWS}, most):
        assert len(batch["x"]) <= most
        assert places
        assert all(np.array_equal(batch["x"][at], ROWS[row]) for row, at in places)


@given(st.integers(1, 40), st.integers(1, 12))
def test_in_cuts_asks_no_more_rows_at_once_and_keeps_their_order(rows: int, most: int) -> None:
    sizes = []

    def ask(feeds: Arrays) -> Arrays:
        sizes.append(len(feeds["x"]))
        return {"y": feeds["x"] * 2}

    given_ = np.arange(rows)
    assert np.array_equal(in_cuts(ask, {"x": given_}, most)["y"], given_ * 2)
    assert max(sizes) <= most
    assert sum(sizes) == rows


def layers(
    sizes: list[int], seed: int, gemm: bool, folder: Path, opset: int
) -> tuple[Variant, list[tuple[NDArray[Any], NDArray[Any]]]]:
    """A chain of dense layers with a Relu between each two."""
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(seed)
    nodes, kept, matrices, last = [], [], [], "x"
    for number, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        matrix = (random.normal(size=(inputs, outputs)) / np.sqrt(inputs)).astype(np.float32)
        bias = random.normal(size=outputs).astype(np.float32)
        kept += [numpy_helper.from_array(matrix, f"w{number}"), numpy_helper.from_array(bias, f"b{number}")]
        matrices.append((matrix, bias))
        result = "y" if number == len(sizes) - 2 else f"h{number}"
        if gemm:
            nodes.append(helper.make_node("Gemm", [last, f"w{number}", f"b{number}"], [result]))
        else:
            nodes.append(helper.make_node("MatMul", [last, f"w{number}"], [f"{result}.product"]))
            nodes.append(helper.make_node("Add", [f"{result}.product", f"b{number}"], [result]))
        last = result
        if result != "y":
            nodes.append(helper.make_node("Relu", [result], [f"{result}.on"]))
            last = f"{result}.on"
    graph = helper.make_graph(
        nodes,
        "layers",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", sizes[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", sizes[-1]])],
        kept,
    )
    return write(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9), folder
    ), matrices


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=2, max_size=4),
    st.integers(0, 10_000),
    st.booleans(),
    st.booleans(),
    st.sampled_from([13, 17, 18]),
)
def test_int8_keeps_rows_apart_whatever_the_layers(
    sizes: list[int], seed: int, gemm: bool, calibrated: bool, opset: int
) -> None:
    random = np.random.default_rng(seed)
    rows = {"x": random.normal(size=(6, sizes[0])).astype(np.float32)}
    # among them the rows that are asked: what no calibration saw is cut at its range, as it should be
    wide = np.concatenate([rows["x"], random.normal(size=(58, sizes[0])).astype(np.float32)])
    seen = {"x": wide} if calibrated else None
    with TemporaryDirectory() as folder:
        before, _ = layers(sizes, seed, gemm, Path(folder) / "before", opset)
        after = Int8().apply(before, with_calibration(context(Path(folder) / "after"), seen))
        session = opened(after)
        assert dependence(session, rows, 16, {"y": {"kind": "close", "rtol": 1e-5, "atol": 1e-5}}) == ""
        exact, got = opened(before)(rows)["y"], session(rows)["y"]
        reach = np.abs(exact).max() + 1
        assert np.abs(got - exact).max() < 0.25 * reach


def test_dense_int4_keeps_rows_apart(tmp_path: Path) -> None:
    from table_graphs import dense

    weights = np.random.default_rng(0).normal(0, 0.2, (1100, 64)).astype(np.float32)
    before = dense(weights, np.zeros(1100, np.float32), tmp_path / "a")
    rows = np.random.default_rng(1).normal(size=(6, 64)).astype(np.float32)
    for calibration in (None, {"x": rows}):
        after = DenseInt4().apply(before, with_calibration(context(tmp_path / "b"), calibration))
        close = {"y": {"kind": "close", "rtol": 1e-5, "atol": 1e-5}}
        assert dependence(opened(after), {"x": rows}, 16, close) == ""
        assert value(after, "y", x=rows[:1]).shape == (1, 1100)


@given(st.integers(0, 1000), st.floats(0.01, 100))
def test_a_range_covers_what_it_was_found_on(seed: int, scale: float) -> None:
    values = (np.random.default_rng(seed).normal(size=500) * scale).astype(np.float32)
    found = covering(values)
    assert 0 <= found.zero <= LEVELS
    assert np.abs(found.round_trip(np.zeros(1, np.float32))).max() == 0, "zero stays zero, padding too"
    whole = (values.max() - values.min()) / LEVELS
    assert whole * min(SHARES) * 0.99 <= found.step <= whole * 1.01


def with_calibration(made: PassContext, calibration: Arrays | None) -> PassContext:
    from dataclasses import replace

    return replace(made, calibration=calibration)


def opened(variant: Variant) -> Callable[[Arrays], Arrays]:
    from modelpack.runtimes import single_thread

    session = single_thread.session(str(variant.path))
    return lambda feeds: {"y": session.run(["y"], feeds)[0]}
