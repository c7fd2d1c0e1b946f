"""Delivery rounds by PyVRP against Clarke and Wright's savings and the nearest stop next, on 20 store-days in London.

Lengths repeat exactly (iterations and a seed, not seconds); processor seconds do not.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import platformdirs

from benchmarks.delivery import days, savings, solver
from benchmarks.delivery.problem import Plan, Problem
from modelpack.home import Home
from modelpack.progress import Silent
from modelpack.usecases.metrics import bootstrap
from modelpack.usecases.packages import fetch

ITERATIONS = (500, 2000)


def measure() -> dict[str, object]:
    cache = Path(os.environ.get("ECOMDEPLOY_CACHE") or platformdirs.user_cache_path("ecomdeploy"))
    found = days.load(fetch(days.LAPTOPS, Home(cache, cache), Silent()))
    ways: dict[str, Callable[[Problem], Plan]] = {
        "savings": savings.savings,
        "nearest": savings.nearest,
        **{f"pyvrp_{count}": solving(count) for count in ITERATIONS},
    }
    metres = {name: np.zeros(len(found)) for name in ways}
    seconds = {name: np.zeros(len(found)) for name in ways}
    for place, one in enumerate(found):
        for name, way in ways.items():
            began = time.process_time()
            plan = way(one.problem)
            seconds[name][place] = time.process_time() - began
            if wrong := one.problem.complaint(plan):
                raise ValueError(f"{name} on {one.shop} {one.day}: {wrong}")
            metres[name][place] = one.problem.length(plan)
    return {
        "store_days": [
            {"shop": one.shop, "day": one.day, "stops": len(one.problem.load)}
            | {f"km_{name}": round(metres[name][place] / 1000, 1) for name in ways}
            for place, one in enumerate(found)
        ],
        "shorter_than_savings": {name: shorter(metres[name], metres["savings"]) for name in ways},
        "shorter_than_nearest": {name: shorter(metres[name], metres["nearest"]) for name in ways},
        "cpu_seconds_median": {name: round(float(np.median(spent)), 4) for name, spent in seconds.items()},
        "about": "share of the metres, mean over store-days with its 95 % interval; straight lines, vans of 15",
        "data": days.LAPTOPS.statement,
    }


def solving(iterations: int) -> Callable[[Problem], Plan]:
    return lambda problem: solver.solve(problem, iterations)


def shorter(own: np.ndarray, other: np.ndarray) -> dict[str, float | int]:
    """Mean share by which `own` is shorter, with its interval; on how many days it is."""
    saved = 1 - own / other
    interval = bootstrap(saved, np.arange(len(saved)))
    rounded = {name: round(value, 4) for name, value in interval.as_data().items()}
    return {**rounded, "days_shorter": int((saved > 0).sum())}
