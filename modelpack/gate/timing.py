"""Speed on this machine, fair on a noisy one: two models take turns, and only ratios within a turn count.

Processor time, not wall time, decides: on shared machines wall p99 differs several-fold between two runs of the
same code while paired processor-time ratios agree within a few per cent. The interval of a ratio is the
distribution-free one for a median (Conover, *Practical Nonparametric Statistics*, 3.2): it needs no assumption
about the noise.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import numpy as np

from modelpack.formats.signature import Arrays, Run

TURNS = 25
SINGLES = 40
BATCHES = 3
WARM_UP = 10
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Ratio:
    """How many times better the second model is (above 1: better), as a median with its interval."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Speed:
    """One model's figures: wall ms of one request in the quietest turn, requests per second of processor time."""

    p50_ms: float
    p99_ms: float
    rows_per_cpu_s: float


@dataclass(frozen=True)
class Comparison:
    """Two models measured in turns: `latency` is one request's processor time, `throughput` full batches'."""

    before: Speed
    after: Speed
    latency: Ratio
    throughput: Ratio


@dataclass(frozen=True)
class Turn:
    """What one model did in one turn: wall seconds of single requests; processor seconds per single and per row."""

    walls: tuple[float, ...]
    cpu_single: float
    cpu_row: float


def compare(
    before: Run,
    after: Run,
    examples: Arrays,
    batch: int,
    advance: Callable[[float], None] = lambda _: None,
    clock: Callable[[], int] = time.process_time_ns,
    wanted: int = TURNS,
    as_served: Callable[[Arrays], Arrays] = lambda cut: cut,
) -> Comparison:
    """`wanted` turns of both models in changing order over the same real requests.

    `clock` gives nanoseconds of what a run costs: processor time, or wall time where a GPU does the work. `as_served`
    makes of a cut of the examples what the server would give the model.
    """
    singles = [as_served(one) for one in islice(rows(examples, 1), SINGLES)]
    batches = [as_served(one) for one in islice(rows(examples, batch), BATCHES)]
    for run in (before, after):
        for one in [*singles[:WARM_UP], *batches[:1]]:
            run(one)
    turns: dict[str, list[Turn]] = {"before": [], "after": []}
    pair = [("before", before), ("after", after)]
    with no_garbage_collection():
        for number in range(wanted):
            for name, run in pair if number % 2 == 0 else reversed(pair):
                turns[name].append(take_turn(run, singles, batches, batch, clock))
            advance(1)
    return Comparison(
        before=speed(turns["before"]),
        after=speed(turns["after"]),
        latency=ratio(
            [turn.cpu_single for turn in turns["before"]], [turn.cpu_single for turn in turns["after"]]
        ),
        throughput=ratio(
            [turn.cpu_row for turn in turns["before"]], [turn.cpu_row for turn in turns["after"]]
        ),
    )


def take_turn(
    run: Run, singles: list[Arrays], batches: list[Arrays], batch: int, clock: Callable[[], int]
) -> Turn:
    """Single requests one after another, then full batches."""
    walls = []
    started = clock()
    for one in singles:
        begin = time.perf_counter_ns()
        run(one)
        walls.append((time.perf_counter_ns() - begin) / 1e9)
    middle = clock()
    for many in batches:
        run(many)
    ended = clock()
    rows_done = len(batches) * batch
    return Turn(tuple(walls), (middle - started) / 1e9 / len(singles), (ended - middle) / 1e9 / rows_done)


def speed(turns: list[Turn]) -> Speed:
    """Figures of one model over all its turns."""
    quietest = min(turns, key=lambda turn: float(np.quantile(turn.walls, 0.99)))
    return Speed(
        p50_ms=float(np.quantile(quietest.walls, 0.5)) * 1e3,
        p99_ms=float(np.quantile(quietest.walls, 0.99)) * 1e3,
        rows_per_cpu_s=1.0 / float(np.median([turn.cpu_row for turn in turns])),
    )


def ratio(before: list[float], after: list[float]) -> Ratio:
    """before / after, turn by turn: median and its interval from order statistics."""
    ratios = sorted(one / other for one, other in zip(before, after, strict=True))
    skip = count_skipped(len(ratios))
    return Ratio(float(np.median(ratios)), ratios[skip], ratios[-1 - skip])


def count_skipped(count: int) -> int:
    """How many values to leave out at either end so that the rest still holds the median with `CONFIDENCE`.

    The number of values below the median is binomial(count, 1/2).
    """
    below = 0.0
    for place in range(count // 2):
        below += math.comb(count, place) / 2**count
        if 2 * below > 1 - CONFIDENCE:
            return max(place - 1, 0)
    return max(count // 2 - 1, 0)


def rows(examples: Arrays, size: int) -> Iterator[Arrays]:
    """The examples cut into batches of exactly `size`."""
    count = min(len(array) for array in examples.values())
    for begin in range(0, count - size + 1, size):
        yield {name: np.ascontiguousarray(array[begin : begin + size]) for name, array in examples.items()}


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """The collector stands still while measuring."""
    gc.collect()
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
