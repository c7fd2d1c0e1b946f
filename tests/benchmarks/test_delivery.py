"""Delivery rounds: every stop once, no van too full; savings by hand; PyVRP never longer, and the same each time."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.delivery import days
from benchmarks.delivery.problem import Problem
from benchmarks.delivery.savings import nearest, savings
from benchmarks.delivery.solver import solve
from modelpack.errors import BadInput
from modelpack.home import Home
from modelpack.progress import Silent
from modelpack.usecases.metrics import bootstrap
from modelpack.usecases.packages import fetch


def town(stops: int, seed: int = 0, capacity: int = 15) -> Problem:
    """Made places within 10 km, one to three pieces each."""
    generator = np.random.default_rng(seed)
    return Problem(
        np.array([5000.0, 5000.0]),
        generator.uniform(0, 10_000, (stops, 2)),
        generator.integers(1, 4, stops),
        capacity,
    )


def line(*places: tuple[float, float], capacity: int = 10) -> Problem:
    return Problem(np.zeros(2), np.array(places, dtype=np.float64), np.ones(len(places), np.int64), capacity)


def test_savings_by_hand() -> None:
    """North: 10 and 12 m away, 2 m apart, saving 20; south: 10 m. One van of two: north together, south alone."""
    problem = line((0, 10), (0, 12), (0, -10), capacity=2)
    plan = savings(problem)
    assert sorted(map(sorted, plan)) == [[0, 1], [2]]
    assert problem.length(plan) == 24 + 20
    assert problem.length(((0,), (1,), (2,))) == 20 + 24 + 20


def test_only_ends_are_joined_and_a_round_may_turn_around() -> None:
    """Stops on a ring, far from the depot: joined one by one they make one round along the ring."""
    angles = np.arange(6) * np.pi / 12
    problem = line(*((1000 * np.cos(angle), 1000 * np.sin(angle)) for angle in angles), capacity=6)
    (stops,) = savings(problem)
    assert stops in (tuple(range(6)), tuple(range(5, -1, -1)))


def test_the_nearest_stop_next_by_hand() -> None:
    problem = line((0, 10), (0, 12), (0, -11), capacity=2)
    assert nearest(problem) == ((0, 1), (2,))


@given(st.integers(1, 40), st.integers(0, 1000), st.integers(3, 20))
@settings(max_examples=40, deadline=None)
def test_every_stop_is_served_once_and_no_van_is_too_full(stops: int, seed: int, capacity: int) -> None:
    problem = town(stops, seed, capacity)
    alone = problem.length(tuple((stop,) for stop in range(stops)))
    for plan in (savings(problem), nearest(problem)):
        assert problem.complaint(plan) == ""
    assert problem.length(savings(problem)) <= alone


def test_complaints() -> None:
    problem = line((0, 1), (0, 2), (0, 3), capacity=2)
    assert problem.complaint(((0, 1), (2,))) == ""
    assert problem.complaint(((0, 1, 2),)) == "a van carries 3 of 2"
    assert "once" in problem.complaint(((0, 1),))
    assert "once" in problem.complaint(((0, 1), (1, 2)))


@pytest.mark.parametrize(
    ("stops", "load", "capacity", "words"),
    [
        (np.zeros((2, 2)), np.array([1, 9]), 8, "loads from 1"),
        (np.zeros((2, 2)), np.array([1, 0]), 8, "loads from 1"),
        (np.full((2, 2), np.nan), np.array([1, 1]), 8, "not a number"),
        (np.zeros((3, 2)), np.array([1, 1]), 8, "wanted"),
        (np.zeros((0, 2)), np.zeros(0, np.int64), 8, "wanted"),
    ],
)
def test_problems_that_are_none(stops: np.ndarray, load: np.ndarray, capacity: int, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        Problem(np.zeros(2), stops, load, capacity)


def test_pyvrp_finds_the_shortest_round_of_seven() -> None:
    problem = town(7, seed=3, capacity=100)
    shortest = min(problem.length((order,)) for order in permutations(range(7)))
    assert problem.length(solve(problem, iterations=200)) == shortest


def test_pyvrp_is_never_longer_than_the_savings_and_repeats() -> None:
    for seed in range(4):
        problem = town(50, seed)
        plan = solve(problem, iterations=30)
        assert problem.complaint(plan) == ""
        assert problem.length(plan) <= problem.length(savings(problem))
        assert plan == solve(problem, iterations=30)


@pytest.mark.nightly(like="test_pyvrp_is_never_longer_than_the_savings_and_repeats")
@pytest.mark.slow
@pytest.mark.network
def test_on_store_days_in_london_it_is_shorter_than_savings_outside_the_interval(home: Home) -> None:
    found = days.load(fetch(days.LAPTOPS, home, Silent()))
    assert len(found) == 20
    assert {one.day[-2:] for one in found} == {"15"}
    assert all(days.FEWEST <= len(one.problem.load) <= days.MOST for one in found)
    saved = []
    for one in found:
        rule, plan = savings(one.problem), solve(one.problem, iterations=200)
        assert one.problem.complaint(rule) == one.problem.complaint(plan) == ""
        assert one.problem.length(rule) < one.problem.length(nearest(one.problem))
        saved.append(1 - one.problem.length(plan) / one.problem.length(rule))
    assert bootstrap(np.array(saved), np.arange(len(saved))).low > 0.02
