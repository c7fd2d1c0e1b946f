"""Timing: ratios in turns, their interval, and that it tells a slower model from a faster one."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest

from modelpack.gate import timing
from modelpack.gate.rules import MARGIN, faster, is_settled, slower, unclear
from modelpack.runtimes.hardware import hardware


@pytest.mark.parametrize("count", [6, 15, 25, 40])
def test_the_interval_of_the_median_covers_what_it_promises(count: int) -> None:
    skip = timing.count_skipped(count, timing.ERROR)

    def coverage(left_out: int) -> float:
        return 1 - 2 * sum(math.comb(count, place) for place in range(left_out + 1)) / 2**count

    assert coverage(skip) >= 1 - timing.ERROR
    assert coverage(skip + 1) < 1 - timing.ERROR


def test_ratios_are_taken_turn_by_turn() -> None:
    noise = np.random.default_rng(0).uniform(1, 10, 25)
    found = timing.ratio((2 * noise).tolist(), noise.tolist())
    assert (found.low, found.median, found.high) == pytest.approx((2.0, 2.0, 2.0))


def test_examples_are_cut_into_full_batches() -> None:
    examples = {"a": np.arange(10), "b": np.arange(20).reshape(10, 2)}
    batches = list(timing.rows(examples, 4))
    assert [len(batch["b"]) for batch in batches] == [4, 4]
    assert batches[1]["a"].tolist() == [4, 5, 6, 7]


def test_more_work_is_measured_as_slower() -> None:
    def light(inputs: Any) -> Any:
        return {"y": inputs["x"] @ np.ones((64, 8))}

    def heavy(inputs: Any) -> Any:
        return {"y": [inputs["x"] @ np.ones((64, 64)) for _ in range(40)]}

    examples = {"x": np.ones((128, 64))}
    found = timing.compare(light, heavy, examples, 32)
    assert found.latency.high < 1
    assert found.before.rows_per_cpu_s > found.after.rows_per_cpu_s
    assert found.before.p50_ms <= found.before.p99_ms


def compared(ratio: float, seed: int, told: list[float]) -> timing.Comparison:
    """A model against one that is `ratio` times as fast, on a machine whose turns differ by half."""
    random = np.random.default_rng(seed)

    def turn(cost: float) -> timing.Turn:
        single, row = cost * random.lognormal(0, 0.4, 2)
        return timing.Turn((float(single),), float(single), float(row))

    question = timing.TimingQuestion(partial(is_settled, is_smaller=False), timing.LOOKS)
    return timing.take_turns(lambda: turn(ratio), lambda: turn(1), told.append, question)


@pytest.mark.parametrize(
    ("most", "looks"), [(9, (9,)), (20, (9, 13, 19, 20)), (80, timing.LOOKS), (100, timing.LOOKS)]
)
def test_a_question_may_be_asked_in_fewer_turns(most: int, looks: tuple[int, ...]) -> None:
    question = timing.TimingQuestion(lambda latency, throughput: False, timing.LOOKS)
    assert question.within(most).looks == looks


def test_what_is_clear_stops_at_the_first_look() -> None:
    assert {compared(6.8, seed, []).turns for seed in range(20)} == {9}


def test_what_is_at_the_edge_goes_on() -> None:
    turns = [compared(MARGIN, seed, []).turns for seed in range(40)]
    assert np.mean(turns) > timing.USUAL


@pytest.mark.parametrize(
    ("ratio", "wrong"),
    [(1.0, "faster"), (MARGIN / 1.001, "faster"), (0.99 / MARGIN, "as fast"), (1 / MARGIN, "slower")],
)
def test_stopping_early_keeps_the_error_rate(ratio: float, wrong: str) -> None:
    """Of comparisons that stop when it suits, no more come to the wrong end than were promised."""
    found = [compared(ratio, seed, []) for seed in range(120)]
    pairs = [(one.latency, one.throughput) for one in found]
    ends = {
        "faster": [any(faster(side) for side in sides) for sides in pairs],
        "slower": [any(slower(side) for side in sides) for sides in pairs],
        "as fast": [not any(slower(side) or unclear(side) for side in sides) for sides in pairs],
    }
    assert np.mean(ends[wrong]) <= 2 * timing.ERROR


def test_the_turns_not_needed_are_told_as_progress_too() -> None:
    told: list[float] = []
    assert compared(6.8, 0, told).turns == 9
    assert sum(told) == timing.LOOKS[-1]


def test_the_hardware_is_named() -> None:
    assert hardware().startswith("1 thread of ")
