"""`passes: auto`: which combination of passes serves best, within a budget of time.

Greedy, then exchange: from the use case's own list (or what of it is best) passes are added one by one while the
objective gains, then one is left out or swapped for another, as long as that gains (Aarts & Lenstra, *Local Search in
Combinatorial Optimization*, 1997, ch. 1). What was measured once is not measured again. A pass that crashes, harms or
answers otherwise by itself is in no larger combination. Passes that train are expensive: they come after the others,
and one that gains nothing by itself is in no larger combination either. Every combination is measured in turns with the
empty one, and no other figure of speed is compared: ratios within a turn hold on a noisy machine, wall times taken
minutes apart do not. What is chosen is on the front of what was measured, whatever the noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from modelpack.formats.variant import Measured
from modelpack.gate.rules import MARGIN
from modelpack.gate.timing import Ratio
from modelpack.inputs.spec import Objective
from modelpack.usecases.metrics import Interval

Names = tuple[str, ...]
TIE = 1.05
"""Objectives within this factor are the same on a shared machine; then the smaller model is better."""


@dataclass(frozen=True)
class Point:
    """A combination of passes and what was found of it. `allowed`: within the gate and the limits; else `reason` says
    why not. `latency` and `throughput` are ratios of processor time to the empty combination (above 1: better);
    what could not be measured is None."""

    passes: Names
    allowed: bool
    reason: str
    measured: Measured | None = None
    drop: Interval | None = None
    latency: Ratio | None = None
    throughput: Ratio | None = None
    seconds: float = 0.0
    """What it cost to make and measure."""
    over: float = 1.0
    """Where nothing but the user's limits forbids it: by what factor it is beyond them. Others may bring it within."""
    turns: int | None = None
    """How many turns its ratios are medians of."""

    def gain(self, objective: Objective) -> float:
        """What the search maximises."""
        if self.measured is None or self.latency is None or self.throughput is None:
            return 0.0
        return {
            "throughput": self.throughput.median,
            "latency": self.latency.median,
            "size": 1 / max(self.measured.size_mb, 1e-9),
        }[objective]

    def as_data(self) -> dict[str, Any]:
        """As the record writes it."""
        figures = self.measured.as_data() if self.measured else {}
        return {
            "passes": list(self.passes),
            "allowed": self.allowed,
            "reason": self.reason,
            **figures,
            "drop": self.drop.as_data() if self.drop else None,
            "latency_x": round(self.latency.median, 4) if self.latency else None,
            "throughput_x": round(self.throughput.median, 4) if self.throughput else None,
            "turns": self.turns,
            "seconds": round(self.seconds, 1),
        }


class BudgetEnded(Exception):
    """Raised from within a measurement when time is up."""


@dataclass
class GreedySearch:
    """Searches over `names` (in the order in which passes are applied). `measure` may take long; `clock` is in seconds.

    It begins with the combination `first`; `expensive` passes train. No measurement begins that would, taking as long
    as the longest of its kind (that trains, or not) so far, end after the budget; one that raises BudgetEnded
    is cut off. The empty combination is always measured: something has to serve.
    """

    names: Sequence[str]
    measure: Callable[[Names], Point]
    objective: Objective
    budget_s: float
    clock: Callable[[], float]
    first: Names = ()
    expensive: frozenset[str] = frozenset()
    higher_is_better: bool = True
    """Of the task metric."""
    points: dict[Names, Point] = field(default_factory=dict)
    longest_s: dict[bool, float] = field(default_factory=dict)
    started: float = 0.0
    spent_s: float = 0.0
    ran_out: bool = False

    def run(self) -> Point:
        """The best point found; all of them are in `points`, in the order of measuring."""
        self.started = self.clock()
        current = self.point(()) or Point((), False, "not measured")
        current = self.best([current, *self.measure_all(self.opening())])
        seen = {current.passes}
        while True:
            step = self.best([current, *self.measure_all(self.additions(current.passes))])
            if step is current:
                step = self.best([current, *self.measure_all(self.exchanges(current.passes))])
            if step.passes in seen:
                break
            seen.add(step.passes)
            current = step
        self.spent_s = self.clock() - self.started
        return self.best([*self.points.values()])

    def opening(self) -> list[Names]:
        """The combination to begin with, and each pass of it by itself."""
        first = self.order(self.first)
        alone = sorted(first, key=self.expensive.__contains__)
        return list(dict.fromkeys([first, *((name,) for name in alone)])) if first else []

    def additions(self, current: Names) -> list[Names]:
        """One pass more, those that train last."""
        names = sorted((name for name in self.names if name not in current), key=self.expensive.__contains__)
        return [self.order({*current, name}) for name in names]

    def exchanges(self, current: Names) -> list[Names]:
        """One pass less, or another in its place."""
        fewer = [self.order(set(current) - {name}) for name in current]
        others = [name for name in self.names if name not in current]
        return [*fewer, *(self.order({*rest, other}) for rest in fewer for other in others)]

    def order(self, chosen: Iterable[str]) -> Names:
        wanted = set(chosen)
        return tuple(name for name in self.names if name in wanted)

    def measure_all(self, combinations: Iterable[Names]) -> list[Point]:
        """The points of these combinations as far as they are worth it and the budget goes."""
        found = [self.point(one) for one in combinations if not self.hopeless(one)]
        return [one for one in found if one is not None]

    def hopeless(self, combination: Names) -> bool:
        """Whether one of several passes is refused by itself, or trains and by itself gains nothing."""
        alone = [self.points.get((name,)) for name in combination] if len(combination) > 1 else []
        return any(one is not None and (breaks_limits(one) or self.idle(one)) for one in alone)

    def trains(self, combination: Names) -> bool:
        """Whether making it trains: what the same expensive passes gave before is there already."""
        own = self.expensive.intersection(combination)
        return bool(own) and all(self.expensive.intersection(one) != own for one in self.points)

    def idle(self, one: Point) -> bool:
        """Whether an expensive pass by itself is no better than the model without it."""
        if self.expensive.isdisjoint(one.passes):
            return False
        return one.gain(self.objective) <= self.points[()].gain(self.objective) * TIE

    def point(self, combination: Names) -> Point | None:
        """What was measured before, or is measured now; None when the budget does not reach."""
        if combination in self.points:
            return self.points[combination]
        begun, kind = self.clock(), self.trains(combination)
        if combination and begun - self.started + self.longest_s.get(kind, 0.0) > self.budget_s:
            self.ran_out = True
            return None
        try:
            found = self.measure(combination)
        except BudgetEnded:
            self.ran_out = True
            found = Point(combination, False, "cut off: the budget ended")
        spent = self.clock() - begun
        self.points[combination] = replace(found, seconds=spent)
        self.longest_s[kind] = max(self.longest_s.get(kind, 0.0), spent)
        return self.points[combination]

    def best(self, points: Sequence[Point]) -> Point:
        """The largest gain on the front; among those as good as it, the smallest, then that of the fewest passes. Where
        none is allowed, the one nearest to the limits."""
        best = front(points, self.higher_is_better)
        if not best:
            return min(
                (one for one in points if not breaks_limits(one)), key=lambda one: one.over, default=points[0]
            )
        most = max(one.gain(self.objective) for one in best)
        ties = [one for one in best if one.gain(self.objective) * TIE >= most]
        return min(ties, key=lambda one: (size(one), len(one.passes), -one.gain(self.objective)))


def breaks_limits(point: Point) -> bool:
    """Whether more than a limit forbids it."""
    return not point.allowed and point.over <= 1


def size(point: Point) -> float:
    return point.measured.size_mb if point.measured else float("inf")


def front(points: Iterable[Point], higher_is_better: bool) -> list[Point]:
    """The allowed points that no other allowed one beats: not worse in metric, latency of one request, throughput and
    size, and better in one (Pareto); in speed only what is no noise is better."""
    measured = [one for one in points if one.allowed and one.measured is not None]
    return [one for one in measured if not any(beats(other, one, higher_is_better) for other in measured)]


def beats(one: Point, other: Point, higher_is_better: bool) -> bool:
    """Whether it is nowhere worse and somewhere measurably better. Speed is what the search goes by: the ratios to the
    empty combination."""
    if one.measured is None or other.measured is None:
        return False
    ahead = (one.measured.metric - other.measured.metric) * (1 if higher_is_better else -1)
    gains = {each: (one.gain(each), other.gain(each)) for each in get_args(Objective)}
    if ahead < 0 or any(mine < yours for mine, yours in gains.values()):
        return False
    noise = {"throughput": MARGIN, "latency": MARGIN, "size": 1.0}
    return ahead > 0 or any(mine > yours * noise[each] for each, (mine, yours) in gains.items())
