"""Timing: ratios in turns, their interval, and that it tells a slower model from a faster one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from modelpack.gate import timing
from modelpack.runtimes.hardware import hardware


@pytest.mark.parametrize("count", [6, 15, 25, 40])
def test_the_interval_of_the_median_covers_what_it_promises(count: int) -> None:
    skip = timing.count_skipped(count)

    def coverage(left_out: int) -> float:
        return 1 - 2 * sum(math.comb(count, place) for place in range(left_out + 1)) / 2**count

    assert coverage(skip) >= timing.CONFIDENCE
    assert coverage(skip + 1) < timing.CONFIDENCE


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


def test_the_hardware_is_named() -> None:
    assert hardware().startswith("1 thread of ")
