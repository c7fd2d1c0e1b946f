"""Rounds by PyVRP (Wouda, Lan & Kool, INFORMS Journal on Computing 36, 2024; pyvrp.org): iterated local search.

It stops after a number of iterations, not of seconds, so that the same seed gives the same rounds on any machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.delivery.problem import Plan, Problem
from benchmarks.delivery.savings import savings
from modelpack.errors import BadInput

if TYPE_CHECKING:
    import pyvrp

ITERATIONS = 2000


def solve(problem: Problem, iterations: int = ITERATIONS, seed: int = 1) -> Plan:
    """Rounds no longer than those of `savings`, from which the search starts. Raises BadInput without PyVRP."""
    try:
        import pyvrp
        from pyvrp.stop import MaxIterations
    except ModuleNotFoundError as missing:
        raise BadInput("rounds need PyVRP", hint="pip install pyvrp") from missing
    start, count = savings(problem), len(problem.load)
    places = np.rint(np.concatenate([problem.depot[None, :], problem.stops])).astype(int).tolist()
    metres: Any = problem.metres
    data = pyvrp.ProblemData(
        locations=[pyvrp.Location(x, y) for x, y in places],
        clients=[
            pyvrp.Client(location=stop + 1, delivery=[int(problem.load[stop])]) for stop in range(count)
        ],
        depots=[pyvrp.Depot(location=0)],
        vehicle_types=[pyvrp.VehicleType(num_available=len(start), capacity=[problem.capacity])],
        distance_matrices=[metres],
        duration_matrices=[np.zeros_like(metres)],
    )
    first = pyvrp.Solution(data, [list(stops) for stops in start])
    found = pyvrp.solve(
        data, MaxIterations(iterations), seed=seed, collect_stats=False, initial_solution=first
    )
    return plan_of(found.best)


def plan_of(solution: pyvrp.Solution) -> Plan:
    """PyVRP's rounds as ours."""
    return tuple(tuple(one.idx for one in route.schedule() if one.is_client()) for route in solution.routes())
