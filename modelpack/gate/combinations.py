"""The search for the best combination of passes, on real variants under the gate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from modelpack.errors import EcomdeployError
from modelpack.formats.variant import Measured, Variant
from modelpack.gate.greedy import BudgetEnded, GreedySearch, Names, Point, front
from modelpack.gate.rules import (
    Trial,
    Verdict,
    beyond,
    check_limits,
    factor,
    gains,
    harm,
    limits_broken,
    table_row,
    why_not,
)
from modelpack.gate.timing import Ratio
from modelpack.gate.trial import Judged, Trials, through_the_gate
from modelpack.inputs.spec import PackSpec
from modelpack.passes.base import Pass
from modelpack.progress import Progress
from modelpack.usecases.metrics import Interval, bootstrap

SAME = Ratio(1.0, 1.0, 1.0)


class Unmade(Exception):
    """A combination has a pass that gave no variant; the words say why."""


@dataclass
class Combinations:
    """Makes and measures combinations of passes. Variants are made once: two combinations that begin alike share them.

    `floor` is the model with the required passes only, which all others are measured against.
    """

    trials: Trials
    passes: Sequence[Pass]
    spec: PackSpec
    floor: Variant
    floor_figures: Measured
    floor_drop: Interval | None
    _made: dict[Names, Variant | str] = field(default_factory=dict)

    def measure(self, names: Names) -> Point:
        """A combination of optional passes as a point."""
        if not names:
            return self.point(names, self.floor_figures, None)
        title = " + ".join(names)
        self.trials.progress.note(f"trying {title}")
        try:
            trial = self.trials.weigh(self.variant(names), self.floor, title)
        except BudgetEnded:
            raise
        except Unmade as error:
            return Point(names, False, str(error))
        except Exception as error:
            return Point(names, False, why_not(error))
        return self.point(names, trial.after, trial)

    def point(self, names: Names, figures: Measured, trial: Trial | None) -> Point:
        """The figures judged. Rows per CPU-second are those of the floor times the paired ratio: two figures taken
        minutes apart on a shared machine do not compare."""
        if trial is not None:
            rows = self.floor_figures.rows_per_cpu_s * trial.comparison.throughput.median
            figures = replace(figures, rows_per_cpu_s=round(rows, 1))
        limits = self.spec.gate
        wrong = (harm(trial.drop, self.trials.metric_drop(limits)) or trial.complaint) if trial else ""
        over = 1.0 if wrong else beyond(figures, limits)
        wrong = wrong or "; ".join(limits_broken(figures, limits))
        return Point(
            passes=names,
            allowed=not wrong,
            reason=wrong or (gains(trial) if trial else "only what is needed to serve"),
            measured=figures,
            drop=trial.drop if trial else self.floor_drop,
            latency=trial.comparison.latency if trial else SAME,
            throughput=trial.comparison.throughput if trial else SAME,
            over=over,
            turns=trial.comparison.turns if trial else None,
        )

    def variant(self, names: Names) -> Variant:
        """The trained model with these passes and the required ones, in order. Raises Unmade."""
        variant, wanted = (
            self.trials.reference,
            [one for one in self.passes if one.required or one.name in names],
        )
        for one in wanted:
            if one.required and one.gives == variant.format:
                continue
            key = (*variant.passes, one.name)
            if key not in self._made:
                self._made[key] = self.make(one, variant, key)
            found = self._made[key]
            if isinstance(found, str):
                raise Unmade(found)
            variant = found
        return variant

    def make(self, one: Pass, variant: Variant, key: Names) -> Variant | str:
        """The variant after one more pass, or why there is none."""
        if key == self.floor.passes:
            return self.floor
        try:
            return self.trials.make(one, variant)
        except BudgetEnded:
            raise
        except Exception as error:
            return why_not(error)


@dataclass(frozen=True)
class Hurried:
    """Progress that stops the work it is told of when time is up: trainings and measurements tell every step."""

    inner: Progress
    clock: Callable[[], float]
    until: float

    def step(self, title: str) -> None:
        self.inner.step(title)

    def note(self, line: str) -> None:
        self.inner.note(line)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.inner.table(title, columns, rows)

    @contextmanager
    def track(self, title: str, total: float, unit: str) -> Iterator[Callable[[float], None]]:
        with self.inner.track(title, total, unit) as advance:

            def hurry(amount: float) -> None:
                if self.clock() > self.until:
                    raise BudgetEnded
                advance(amount)

            yield hurry


def search(
    trials: Trials, passes: Sequence[Pass], spec: PackSpec, clock: Callable[[], float] = time.monotonic
) -> tuple[Judged, dict[str, Any]]:
    """The best combination with its verdicts, and the search as the record keeps it.

    Raises EcomdeployError when a required pass fails, or nothing keeps the user's limits.
    """
    higher = trials.evaluation(trials.reference).higher_is_better
    unlimited = replace(spec.gate, p99_ms=None, size_mb=None)
    base = through_the_gate(trials, [one for one in passes if one.required], unlimited)
    drop = base.verdicts[-1].drop if base.verdicts else None
    hurried = replace(trials, progress=Hurried(trials.progress, clock, clock() + spec.budget))
    made = Combinations(hurried, passes, spec, base.variant, base.chosen, drop)
    optional = [one for one in passes if not one.required and applies(one, trials.reference)]
    search = GreedySearch(
        [one.name for one in optional],
        made.measure,
        spec.objective,
        spec.budget,
        clock,
        first=trials.usecase.passes,
        expensive=frozenset(one.name for one in optional if one.trains),
        higher_is_better=higher,
    )
    best = search.run()
    points = list(search.points.values())
    if best.measured is None:
        raise EcomdeployError("nothing was measured")
    check_limits(best.measured, spec.gate)
    variant = made.variant(best.passes)
    evaluation = trials.evaluation(variant)
    verdicts = (*base.verdicts, *(verdict_of(one, best, search) for one in passes if not one.required))
    on_front = front(points, higher)
    show_points(trials, points, on_front, best)
    found = {
        "objective": spec.objective,
        "budget_s": spec.budget,
        "spent_s": round(search.spent_s, 1),
        "complete": not search.ran_out,
        "points": [one.as_data() for one in points],
        "front": [points.index(one) for one in on_front],
        "chosen": points.index(best),
    }
    interval = bootstrap(evaluation.values, evaluation.groups)
    gain = trials.gain(variant, [one for one in passes if one.required])
    return Judged(variant, verdicts, base.reference, best.measured, interval, evaluation, gain), found


def applies(one: Pass, reference: Variant) -> bool:
    """Whether a pass can be reached from the model's format: what works on the torch module cannot on a graph."""
    return one.takes == reference.format or one.gives != reference.format


def verdict_of(one: Pass, best: Point, search: GreedySearch) -> Verdict:
    """What became of a pass: its own figures when it was measured by itself."""
    alone = search.points.get((one.name,))
    kept = one.name in best.passes
    measured, drop = (alone.measured, alone.drop) if alone else (None, None)
    if one.name not in search.names:
        return Verdict(one.name, False, f"it takes {one.takes}, the model is not", None)
    if alone is None:
        return Verdict(
            one.name, kept, "in the chosen combination" if kept else only_with_others(one.name, search), None
        )
    if kept:
        return Verdict(one.name, True, f"in the chosen combination; alone: {alone.reason}", measured, drop)
    words = f"not in the best combination; alone: {alone.reason}" if alone.allowed else alone.reason
    return Verdict(one.name, False, words, measured, drop)


def only_with_others(name: str, search: GreedySearch) -> str:
    """What was found of a pass that was never tried by itself."""
    tried = [point for point in search.points.values() if name in point.passes]
    if not tried:
        return "the budget did not reach it"
    if not any(point.allowed for point in tried):
        return f"with others: {tried[0].reason}"
    return f"in {len(tried)} combinations with others, none of them better"


def show_points(trials: Trials, points: Sequence[Point], on_front: Sequence[Point], best: Point) -> None:
    """The search's table; combinations that could not be made stand in the record only."""
    rows = []
    for one in points:
        if one.measured is None and len(one.passes) > 1:
            continue
        place = "chosen" if one is best else "front" if one in on_front else "" if one.allowed else "refused"
        speed = f"{factor(one.throughput)} batch" if one.throughput and one.allowed else one.reason
        name = " + ".join(one.passes) or "needed to serve"
        words = ": ".join(part for part in (place, speed) if part)
        rows.append(table_row(name, one.measured, f"{words} ({one.seconds:.0f} s)"))
    metric = trials.evaluation(trials.reference).metric
    columns = ("combination", metric, "p50 ms", "p99 ms", "rows / CPU s", "MB", "verdict")
    trials.progress.table("Combinations of passes", columns, rows)
