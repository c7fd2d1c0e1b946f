"""`passes: auto` with fake passes: it finds the known best, keeps its budget, and says what it did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelpack.formats.variant import Measured
from modelpack.gate.combinations import Hurried, only_with_others
from modelpack.gate.greedy import TIE, BudgetEnded, GreedySearch, Names, Point, front
from modelpack.gate.timing import Ratio
from modelpack.inputs.spec import Objective
from modelpack.progress import Silent

EXACT = {"int8": (2.0, 0.6), "tables": (1.01, 0.3), "fuse": (1.3, 1.0), "slow": (0.5, 0.9)}
"""Fake passes: how many times the throughput, and how much of the size."""


def point(names: Names, speed: float, size: float, *, allowed: bool = True, metric: float = 0.5) -> Point:
    figures = Measured(metric, 1 / speed, 2 / speed, 1000 * speed, size, "a bench")
    ratio = Ratio(speed, speed, speed)
    return Point(names, allowed, "" if allowed else "harms", figures, None, ratio, ratio)


@dataclass
class Bench:
    """Measures fakes; every measurement takes `seconds` of a clock that stands still otherwise."""

    passes: Mapping[str, tuple[float, float]] = field(default_factory=lambda: EXACT)
    refused: Callable[[Names], bool] = lambda names: False
    seconds: float = 1.0
    now: float = 100.0
    asked: list[Names] = field(default_factory=list)

    def measure(self, names: Names) -> Point:
        self.asked.append(names)
        self.now += self.seconds
        speed, size = 1.0, 10.0
        for name in names:
            speed, size = speed * self.passes[name][0], size * self.passes[name][1]
        return point(names, speed, size, allowed=not self.refused(names))

    def search(self, budget: float = 1000.0, objective: Objective = "throughput") -> GreedySearch:
        return GreedySearch(tuple(self.passes), self.measure, objective, budget, lambda: self.now)


@pytest.mark.parametrize(
    ("objective", "best"),
    [
        ("throughput", ("int8", "tables", "fuse")),
        ("latency", ("int8", "tables", "fuse")),
        ("size", ("int8", "tables", "fuse", "slow")),
    ],
)
def test_it_finds_the_known_best_of_fake_passes(objective: Objective, best: Names) -> None:
    """The smallest one too takes a pass that makes nothing smaller and everything faster."""
    assert Bench().search(objective=objective).run().passes == best


def test_nothing_is_measured_twice() -> None:
    bench = Bench()
    bench.search().run()
    assert len(bench.asked) == len(set(bench.asked))
    assert bench.asked[0] == ()


def test_an_exchange_mends_what_greed_took_first() -> None:
    """Alone `big` is best, but it spoils the others; the pair without it is better."""
    table = {(): 1.0, ("big",): 2.0, ("left",): 1.8, ("right",): 1.7, ("left", "right"): 4.0}
    measured: list[Names] = []

    def measure(names: Names) -> Point:
        measured.append(names)
        return point(names, table.get(names, 0.9 if len(names) == 3 else 2.3), 10.0)

    search = GreedySearch(("big", "left", "right"), measure, "throughput", 1000.0, lambda: 0.0)
    assert search.run().passes == ("left", "right")


def test_a_limit_that_no_pass_keeps_by_itself_is_worked_towards() -> None:
    limit = 2.0

    def measure(names: Names) -> Point:
        found = Bench().measure(names)
        assert found.measured is not None
        over = max(1.0, found.measured.size_mb / limit)
        return replace(found, allowed=over == 1, reason="too large", over=over)

    search = GreedySearch(tuple(EXACT), measure, "throughput", 1000.0, lambda: 0.0)
    assert search.run().passes == ("int8", "tables", "fuse")
    assert [names for names, one in search.points.items() if len(names) == 1 and one.allowed] == []


def test_where_nothing_keeps_the_limits_the_nearest_is_told() -> None:
    def measure(names: Names) -> Point:
        found = Bench(refused=lambda names: True).measure(names)
        return found if "slow" in names else replace(found, over=9.0 - len(names))

    search = GreedySearch(("int8", "tables", "slow"), measure, "throughput", 1000.0, lambda: 0.0)
    assert search.run().passes == ("int8", "tables")


def test_what_is_refused_alone_is_in_no_combination_and_never_chosen() -> None:
    bench = Bench(refused=lambda names: "int8" in names)
    search = bench.search()
    assert search.run().passes == ("tables", "fuse")
    assert [names for names in bench.asked if "int8" in names] == [("int8",)]
    assert search.points[("int8",)].reason == "harms"


def test_the_budget_is_kept() -> None:
    for budget in (0.5, 1.0, 3.5, 6.0, 50.0):
        bench = Bench(seconds=1.0)
        search = bench.search(budget)
        search.run()
        assert search.spent_s == bench.now - 100.0
        assert search.spent_s <= max(budget, 1.0)
        assert search.ran_out == (budget < 8)
    assert bench.asked[0] == ()


def test_without_time_the_model_is_served_as_it_is() -> None:
    bench = Bench(seconds=10.0)
    search = bench.search(5.0)
    assert search.run().passes == ()
    assert bench.asked == [()]


def test_it_begins_with_the_use_cases_own_list_and_each_pass_of_it() -> None:
    """Where the budget ends early, what the use case recommends has been tried."""
    bench = Bench()
    search = bench.search(4.0)
    search.first = ("int8", "tables")
    assert search.run().passes == ("int8", "tables")
    assert bench.asked == [(), ("int8", "tables"), ("int8",), ("tables",)]
    assert search.ran_out


def test_passes_that_train_come_last_and_are_left_alone_when_they_gain_nothing() -> None:
    bench = Bench(passes={"train": (1.01, 1.0), "int8": (2.0, 0.6), "tables": (1.2, 0.9)})
    search = bench.search()
    search.expensive = frozenset({"train"})
    assert search.run().passes == ("int8", "tables")
    assert bench.asked[:4] == [(), ("int8",), ("tables",), ("train",)]
    assert [names for names in bench.asked if "train" in names] == [("train",)]
    bench = Bench(passes={"train": (1.5, 0.5), "int8": (2.0, 0.6)})
    search = bench.search()
    search.expensive = frozenset({"train"})
    assert search.run().passes == ("train", "int8")


def test_a_dear_pass_does_not_stop_the_cheap_ones() -> None:
    """What a training took is not expected of a combination that needs none, or whose training is done."""
    bench = Bench(passes={"train": (1.5, 0.5), "int8": (2.0, 0.6), "tables": (1.2, 0.9)})
    longer = bench.measure

    def measure(names: Names) -> Point:
        first = "train" in names and not any("train" in one for one in bench.asked)
        bench.now += 8.0 if first else 0.0
        return longer(names)

    search = GreedySearch(("train", "int8", "tables"), measure, "throughput", 16.0, lambda: bench.now)
    search.expensive = frozenset({"train"})
    assert search.run().passes == ("train", "int8", "tables")
    assert search.points[("train",)].seconds == 9.0
    assert search.points[("int8", "tables")].as_data()["seconds"] == 1.0
    assert search.spent_s <= 16.0


def test_a_measurement_is_cut_off_when_the_budget_ends() -> None:
    def measure(names: Names) -> Point:
        if "endless" in names:
            raise BudgetEnded
        return point(names, 2.0 if names else 1.0, 10.0)

    search = GreedySearch(("endless", "int8"), measure, "throughput", 100.0, lambda: 0.0)
    assert search.run().passes == ("int8",)
    assert search.ran_out
    assert search.points[("endless",)].reason == "cut off: the budget ended"


def test_what_tells_its_steps_stops_when_time_is_up() -> None:
    now = [0.0]
    hurried, done = Hurried(Silent(), lambda: now[0], 10.0), []

    def work() -> None:
        with hurried.track("training", 100, "rows") as advance:
            for step in range(100):
                now[0] += 1
                advance(1)
                done.append(step)

    with pytest.raises(BudgetEnded):
        work()
    assert len(done) == 10


def test_among_equals_the_smaller_is_chosen() -> None:
    bench = Bench(passes={"large": (1.03, 1.2), "small": (1.0, 0.5)})
    assert bench.search().run().passes == ("small",)


GRADES = st.sampled_from([0.5, 1.0, 1.04, 2.0])
"""Few values, so that many points are alike in one thing and differ in another; two are a tie."""
NOISY = st.builds(
    lambda metric, wall, latency, throughput, size, allowed: (
        Measured(metric, wall, wall, 1000 * throughput, 10 * size, "a bench"),
        Ratio(latency, latency, latency),
        Ratio(throughput, throughput, throughput),
        allowed,
    ),
    *[GRADES] * 5,
    st.sampled_from([True, True, True, False]),
)
Noise = tuple[Measured, Ratio, Ratio, bool]
OBJECTIVES = get_args(Objective)
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Whatever the load of the machine."""


def noisy(names: Names, found: Noise) -> Point:
    figures, latency, throughput, allowed = found
    return Point(names, allowed, "" if allowed else "harms", figures, None, latency, throughput)


@UNHURRIED
@given(st.lists(NOISY, min_size=1, max_size=12), st.booleans())
def test_the_front_holds_what_nothing_beats(found: list[Noise], higher: bool) -> None:
    points = [noisy((str(index),), one) for index, one in enumerate(found)]
    on_front = front(points, higher)
    for one in points:
        beaten = any(other.allowed and is_better(other, one, higher) for other in points)
        assert (one in on_front) == (one.allowed and not beaten)


def is_better(one: Point, other: Point, higher: bool) -> bool:
    """Nowhere worse, and better in metric or size, or faster by more than noise."""
    assert one.measured is not None
    assert other.measured is not None
    ahead = one.measured.metric - other.measured.metric
    ahead = ahead if higher else -ahead
    factors = [one.gain(objective) / other.gain(objective) for objective in OBJECTIVES]
    smaller = one.measured.size_mb < other.measured.size_mb
    return ahead >= 0 and min(factors) >= 1 and (ahead > 0 or smaller or max(factors) > 1.15)


@UNHURRIED
@given(
    st.data(),
    st.integers(0, 5),
    st.sampled_from(OBJECTIVES),
    st.booleans(),
    st.integers(1, 40),
    st.sets(st.integers(0, 4)),
)
def test_what_is_chosen_is_on_the_front_whatever_the_noise(
    data: st.DataObject, count: int, objective: Objective, higher: bool, budget: int, expensive: set[int]
) -> None:
    """Every figure is noise: nothing that a combination measures follows from what its passes do by themselves."""
    now = [0.0]

    def measure(names: Names) -> Point:
        now[0] += 1.0
        return noisy(names, data.draw(NOISY, label=str(names)))

    names = tuple("abcde"[:count])
    search = GreedySearch(names, measure, objective, budget, lambda: now[0], first=names[:2])
    search.higher_is_better = higher
    search.expensive = frozenset("abcde"[number] for number in expensive)
    best = search.run()
    points = [*search.points.values()]
    allowed = [one for one in points if one.allowed]
    assert best.allowed == bool(allowed)
    if allowed:
        assert best in front(points, higher)
        assert best.gain(objective) * TIE >= max(one.gain(objective) for one in allowed)
        assert objective != "size" or best.gain(objective) == max(one.gain(objective) for one in allowed)


@given(st.dictionaries(st.sampled_from("abcde"), st.tuples(st.floats(1.1, 3), st.floats(0.2, 1)), min_size=1))
def test_independent_passes_that_all_gain_are_all_taken(passes: dict[str, tuple[float, float]]) -> None:
    bench = Bench(passes=passes)
    assert bench.search().run().passes == tuple(passes)
    every = {names for size in range(len(passes) + 1) for names in combinations(tuple(passes), size)}
    assert set(bench.asked) <= every


def test_a_pass_that_was_tried_with_others_only_is_not_said_to_lack_time() -> None:
    search = Bench(refused=lambda names: "slow" in names).search()
    search.points = {
        ("int8", "fuse"): point(("int8", "fuse"), 2.0, 5.0),
        ("int8", "slow"): point(("int8", "slow"), 1.0, 5.0, allowed=False),
    }
    said = {name: only_with_others(name, search) for name in ("fuse", "slow", "tables")}
    assert said["fuse"] == "in 1 combinations with others, none of them better"
    assert said["slow"] == "with others: harms"
    assert said["tables"] == "the budget did not reach it"


def test_a_pass_that_is_ahead_by_noise_alone_is_left_out() -> None:
    for gain in (0.97, 1.0, 1.04, 1.14):
        search = Bench(passes={"half": (1.0, 0.5), "idle": (gain, 1.0)}).search(objective="size")
        assert search.run().passes == ("half",)
