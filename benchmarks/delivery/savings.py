"""Rules of thumb for rounds: Clarke and Wright's savings, and the nearest stop next.

Savings: Clarke & Wright, *Scheduling of Vehicles from a Central Depot to a Number of Delivery Points* (Operations
Research 12, 1964), the parallel version: every stop has a van of its own; then, by falling saving d(0,i) + d(0,j) -
d(i,j), two rounds are joined where i ends one, j begins the other and one van can carry both.
"""

from __future__ import annotations

import numpy as np

from benchmarks.delivery.problem import Plan, Problem


def savings(problem: Problem) -> Plan:
    """Clarke and Wright's rounds."""
    metres, count = problem.metres, len(problem.load)
    rounds = {stop: [stop] for stop in range(count)}
    own, load = list(range(count)), problem.load.tolist()
    first, second = np.triu_indices(count, 1)
    saved = metres[0, first + 1] + metres[0, second + 1] - metres[first + 1, second + 1]
    for pair in np.argsort(-saved, kind="stable"):
        if saved[pair] <= 0:
            break
        one, other = own[first[pair]], own[second[pair]]
        if one == other or load[one] + load[other] > problem.capacity:
            continue
        joined = ends_meet(rounds[one], rounds[other], int(first[pair]), int(second[pair]))
        if joined:
            rounds[one] = joined
            load[one] += load[other]
            for stop in rounds.pop(other):
                own[stop] = one
    return tuple(tuple(stops) for stops in rounds.values())


def ends_meet(one: list[int], other: list[int], first: int, second: int) -> list[int]:
    """Both rounds as one in which `first` and `second` are neighbours; empty where one of them is not at an end."""
    if first not in (one[0], one[-1]) or second not in (other[0], other[-1]):
        return []
    before = one if one[-1] == first else one[::-1]
    after = other if other[0] == second else other[::-1]
    return before + after


def nearest(problem: Problem) -> Plan:
    """Each van goes on to the nearest stop that is left and that it can still carry, and home when there is none."""
    left, plan = set(range(len(problem.load))), []
    while left:
        stops: list[int] = []
        place, room = 0, problem.capacity
        while fitting := [stop for stop in sorted(left) if problem.load[stop] <= room]:
            stop = min(fitting, key=lambda one: problem.metres[place, one + 1])
            stops.append(stop)
            left.remove(stop)
            place, room = stop + 1, room - int(problem.load[stop])
        plan.append(tuple(stops))
    return tuple(plan)
