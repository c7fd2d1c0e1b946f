"""The gate's rules with figures made up for the purpose: what harms, what pays, what is not settled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from modelpack.errors import EcomdeployError
from modelpack.formats.variant import Measured, Variant
from modelpack.gate.rules import Trial, check_limits, is_settled, judge, megabytes, pays, table_row
from modelpack.gate.timing import Comparison, Ratio, Speed
from modelpack.inputs.spec import GateSpec
from modelpack.passes.base import Inapplicable
from modelpack.usecases.metrics import Interval

SPEED = Speed(1.0, 2.0, 1000.0)
BEFORE = Variant("onnx", Path("before/model.onnx"))
AFTER = Variant("onnx", Path("after/model.onnx"))
SAME, FASTER, SLOWER = Ratio(1.0, 0.95, 1.05), Ratio(2.0, 1.8, 2.2), Ratio(0.5, 0.45, 0.55)
UNCLEAR = Ratio(1.1, 0.6, 1.9)
NO_DROP = Interval(0.0, -0.001, 0.001)
LIMIT = 0.005


@dataclass(frozen=True)
class FakePass:
    name: str = "squeeze"
    required: bool = False


def measured(size: float) -> Measured:
    return Measured(0.15, 1.0, 2.0, 1000.0, size, "a bench")


def trial(
    *, latency: Ratio = SAME, throughput: Ratio = SAME, size: float = 10.0, drop: Interval = NO_DROP
) -> Trial:
    comparison = Comparison(SPEED, SPEED, latency, throughput)
    return Trial(AFTER, measured(10.0), measured(size), drop, comparison)


@pytest.mark.parametrize(
    ("found", "kept", "words"),
    [
        (trial(latency=FASTER), True, "2.00x"),
        (trial(throughput=FASTER), True, "2.00x"),
        (trial(size=5.0), True, "10.0 -> 5.0 MB"),
        (trial(), False, "does not pay"),
        (trial(size=9.5), False, "does not pay"),
        (trial(latency=SLOWER, size=2.0), False, "slower: one request 0.50x"),
        (trial(throughput=SLOWER, latency=FASTER), False, "slower: a full batch"),
        (
            trial(latency=UNCLEAR, size=2.0),
            False,
            "inconclusive timing after 25 turns: one request 1.10x [0.60, 1.90]",
        ),
        (trial(latency=FASTER, throughput=UNCLEAR), False, "inconclusive"),
        (trial(latency=FASTER, drop=Interval(0.01, 0.008, 0.012)), False, "may fall by 0.0120"),
        (trial(latency=FASTER, drop=Interval(0.003, -0.002, 0.008)), False, "may fall by 0.0080"),
        (trial(latency=FASTER, drop=Interval(0.003, 0.002, 0.004)), True, "2.00x"),
        (trial(latency=FASTER, drop=Interval(-0.004, -0.006, -0.002)), True, "2.00x"),
        (trial(latency=FASTER, drop=Interval(-0.02, -0.03, -0.01)), False, "rises by at least 0.0100"),
    ],
)
def test_a_pass_is_kept_only_when_it_pays_and_does_no_harm(found: Trial, kept: bool, words: str) -> None:
    variant, verdict = judge(FakePass(), BEFORE, LIMIT, lambda _: found)
    assert verdict.kept is kept
    assert words in verdict.reason
    assert variant == (AFTER if kept else BEFORE)
    assert verdict.as_data()["size_mb"] == found.after.size_mb


@st.composite
def ratios(draw: st.DrawFn) -> Ratio:
    """Intervals about the limits, wide and narrow."""
    low, median, high = sorted(draw(st.lists(st.floats(0.5, 2.0), min_size=3, max_size=3)))
    return Ratio(median, low, high)


@st.composite
def narrowed(draw: st.DrawFn, ratio: Ratio) -> Ratio:
    """What more turns may make of an interval that holds the truth."""
    low, median, high = sorted(draw(st.lists(st.floats(ratio.low, ratio.high), min_size=3, max_size=3)))
    return Ratio(median, low, high)


@given(st.data(), ratios(), ratios(), st.sampled_from((5.0, 10.0)))
def test_what_is_settled_stays_so_whatever_more_turns_say(
    data: st.DataObject, latency: Ratio, throughput: Ratio, size: float
) -> None:
    found = trial(latency=latency, throughput=throughput, size=size)
    assume(is_settled(latency, throughput, is_smaller=size < 10))
    more = trial(latency=data.draw(narrowed(latency)), throughput=data.draw(narrowed(throughput)), size=size)
    assert pays(more)[0] == pays(found)[0]
    assert "inconclusive" not in pays(found)[1]


@pytest.mark.parametrize(
    ("high", "kept", "words"),
    [
        (0.0012, True, "the metric may fall by 0.0012, 0.0038 within the limit"),
        (-0.0001, True, "the metric does not fall"),
        (0.0045, True, "0.0005 within the limit (close: another machine may decide otherwise)"),
        (0.0052, False, "allowed: 0.005, 0.0002 less (close: another machine may decide otherwise)"),
        (0.02, False, "allowed: 0.005, 0.0150 less"),
    ],
)
def test_the_reason_says_how_far_the_metric_is_from_its_limit(high: float, kept: bool, words: str) -> None:
    found = trial(latency=FASTER, drop=Interval(0.0, -0.001, high))
    _, verdict = judge(FakePass(), BEFORE, LIMIT, lambda _: found)
    assert verdict.kept is kept
    assert verdict.reason.endswith(words)


def test_sizes_of_small_models_can_be_told_apart() -> None:
    assert (megabytes(0.1458), megabytes(0.1107), megabytes(12.34)) == ("0.146", "0.111", "12.3")


def crash(_: Variant) -> Trial:
    raise RuntimeError("no kernel for this\nand a long trace")


def test_a_pass_that_crashes_is_dropped_with_its_cause() -> None:
    variant, verdict = judge(FakePass(), BEFORE, LIMIT, crash)
    assert variant == BEFORE
    assert verdict.reason == "failed: RuntimeError: no kernel for this"
    assert verdict.as_data()["p99_ms"] is None


def test_a_pass_that_finds_nothing_to_change_did_not_fail() -> None:
    def nothing(_: Variant) -> Trial:
        raise Inapplicable("no tables")

    _, verdict = judge(FakePass(), BEFORE, LIMIT, nothing)
    assert (verdict.kept, verdict.reason) == (False, "does not apply: no tables")


def test_a_required_pass_stays_without_paying() -> None:
    variant, verdict = judge(FakePass(required=True), BEFORE, LIMIT, lambda _: trial(latency=SLOWER))
    assert (variant, verdict.kept) == (AFTER, True)
    assert verdict.reason.startswith("needed to serve")


def test_a_required_pass_that_crashes_or_harms_stops_the_build() -> None:
    with pytest.raises(EcomdeployError, match="no kernel"):
        judge(FakePass(required=True), BEFORE, LIMIT, crash)
    with pytest.raises(EcomdeployError, match="may fall"):
        judge(FakePass(required=True), BEFORE, LIMIT, lambda _: trial(drop=Interval(0.1, 0.09, 0.11)))


def test_the_users_limits_hold_for_what_was_chosen() -> None:
    check_limits(measured(10.0), GateSpec(p99_ms=2.0, size_mb=10.0))
    with pytest.raises(EcomdeployError, match=r"pack\.gate\.p99_ms"):
        check_limits(measured(10.0), GateSpec(p99_ms=1.9))
    with pytest.raises(EcomdeployError, match=r"10\.00 MB, over pack\.gate\.size_mb: 9"):
        check_limits(measured(10.0), GateSpec(size_mb=9))


def test_the_table_has_a_row_for_a_pass_that_crashed() -> None:
    assert table_row("squeeze", None, "dropped") == ("squeeze", "-", "-", "-", "-", "-", "dropped")
    assert table_row("squeeze", measured(10.0), "kept")[5] == "10.00"
