"""Speed on this machine, fair on a noisy one: two models take turns, and only ratios within a turn count.

Processor time, not wall time, decides: on shared machines wall p99 differs several-fold between two runs of the
same code while paired processor-time ratios agree within a few per cent. The interval of a ratio is the
distribution-free one for a median (Conover, *Practical Nonparametric Statistics*, 3.2): it needs no assumption
about the noise.

Turns are taken until the question is settled: after fixed numbers of them (`LOOKS`) the interval is looked at, and
what is clear early stops early. The looks share one error rate evenly, so that all their intervals hold together (the
union bound; Jennison & Turnbull, *Group Sequential Methods*, 1999, ch. 1): stopping when it suits is no way to win.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from modelpack.formats.signature import Arrays, Run

LOOKS = (9, 13, 19, 25, 37, 55, 80)
"""Turns after which a comparison may stop. Fewer than 9 have no interval at a seventh of `ERROR`."""
USUAL = 25
"""Turns for a figure that decides nothing."""
EDGE_S = 60.0
"""Wall seconds after which a comparison that is still open takes no more than `USUAL` turns."""
SINGLES = 40
BATCHES = 3
WARM_UP = 10
LONG_ENOUGH_NS = 5_000_000
"""A turn's single requests, and its batches, are repeated until each takes about so long: less is all noise."""
MOST_REPEATS = 20
ERROR = 0.05
"""How often a comparison's interval, at whichever look it stopped, may miss the median."""
PRECISE = 1.1
"""An interval whose ends are within this factor is a good enough figure."""


@dataclass(frozen=True)
class Ratio:
    """How many times better the second model is (above 1: better), as a median with its interval."""

    median: float
    low: float
    high: float

    def as_data(self) -> dict[str, float]:
        """As the record writes it."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


Settled = Callable[[Ratio, Ratio], bool]
"""Whether the ratios of one request and of a full batch answer the question."""


@dataclass(frozen=True)
class TimingQuestion:
    """What turns are taken for: they end when it is `settled`, asked after each of the `looks`, or at the last one."""

    settled: Settled
    looks: tuple[int, ...]

    def within(self, most: int) -> TimingQuestion:
        """The same in at most so many turns."""
        last = min(most, self.looks[-1])
        return replace(self, looks=(*(look for look in self.looks if look < last), last))


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
    turns: int = USUAL

    def as_data(self) -> dict[str, Any]:
        """The ratios as the record writes them."""
        return {
            "latency": self.latency.as_data(),
            "throughput": self.throughput.as_data(),
            "turns": self.turns,
        }


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
    question: TimingQuestion | None = None,
    as_served: Callable[[Arrays], Arrays] = lambda cut: cut,
) -> Comparison:
    """Turns of both models in changing order over the same real requests, until the `question` is settled; beyond
    `USUAL` turns none after `EDGE_S`. Without a question, `USUAL` turns.

    `advance` is told each turn, and at the end those that were not needed. `clock` gives nanoseconds of what a run
    costs: processor time, or wall time where a GPU does the work. `as_served` makes of a cut of the examples what the
    server would give the model.
    """
    singles = [as_served(one) for one in islice(rows(examples, 1), SINGLES)]
    batches = [as_served(one) for one in islice(rows(examples, batch), BATCHES)]
    for run in (before, after):
        for one in [*singles[:WARM_UP], *batches[:1]]:
            run(one)
    singles = singles * repeats((before, after), singles, clock)
    batches = batches * repeats((before, after), batches, clock)
    takers = [partial(take_turn, run, singles, batches, batch, clock) for run in (before, after)]
    with no_garbage_collection():
        return take_turns(takers[0], takers[1], advance, question or FIXED)


def repeats(runs: Sequence[Run], calls: Sequence[Arrays], clock: Callable[[], int]) -> int:
    """How often to go through `calls` so that the quickest model takes long enough."""
    spent = []
    for run in runs:
        began = clock()
        for one in calls:
            run(one)
        spent.append(clock() - began)
    return min(MOST_REPEATS, 1 + LONG_ENOUGH_NS // max(1, min(spent)))


def take_turns(
    before: Callable[[], Turn],
    after: Callable[[], Turn],
    advance: Callable[[float], None],
    question: TimingQuestion,
) -> Comparison:
    """Turns of both until a look finds the question settled, or the last one is taken."""
    looks = question.looks
    began = time.monotonic()
    taken: tuple[list[Turn], list[Turn]] = ([], [])
    pair = [(taken[0], before), (taken[1], after)]
    for look in looks:
        if look > USUAL and time.monotonic() - began > EDGE_S:
            break
        while len(taken[0]) < look:
            for turns, take in pair if len(taken[0]) % 2 == 0 else pair[::-1]:
                turns.append(take())
            advance(1)
        latency, throughput = ratios(*taken, ERROR / len(looks))
        if question.settled(latency, throughput):
            break
    advance(looks[-1] - len(taken[0]))
    return Comparison(speed(taken[0]), speed(taken[1]), latency, throughput, len(taken[0]))


def ratios(before: list[Turn], after: list[Turn], error: float) -> tuple[Ratio, Ratio]:
    """One request's and a row's, by the turns so far; each interval misses with a chance of at most `error`."""
    return (
        ratio([turn.cpu_single for turn in before], [turn.cpu_single for turn in after], error),
        ratio([turn.cpu_row for turn in before], [turn.cpu_row for turn in after], error),
    )


def precise(latency: Ratio, throughput: Ratio) -> bool:
    """Whether both ratios are known well enough to be figures."""
    return all(one.high <= PRECISE * one.low for one in (latency, throughput))


FIGURE = TimingQuestion(precise, LOOKS).within(USUAL)
"""A figure that decides nothing."""
FIXED = TimingQuestion(lambda latency, throughput: False, (USUAL,))
"""Neither stops early nor goes on: for comparisons outside of the gate."""


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


def ratio(before: list[float], after: list[float], error: float = ERROR) -> Ratio:
    """before / after, turn by turn: median and its interval from order statistics."""
    ratios = sorted(one / other for one, other in zip(before, after, strict=True))
    skip = count_skipped(len(ratios), error)
    return Ratio(float(np.median(ratios)), ratios[skip], ratios[-1 - skip])


def count_skipped(count: int, error: float) -> int:
    """How many values to leave out at either end so that the rest still misses the median with at most `error`.

    The number of values below the median is binomial(count, 1/2).
    """
    below = 0.0
    for place in range(count // 2):
        below += math.comb(count, place) / 2**count
        if 2 * below > error:
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
