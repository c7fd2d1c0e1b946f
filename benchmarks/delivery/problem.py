"""One depot, its stops, equal vans: the capacitated vehicle routing problem (Toth & Vigo, *Vehicle Routing*, 2014)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from modelpack.errors import BadInput

Plan = tuple[tuple[int, ...], ...]
"""A round per van: stops by number from 0, in order; each begins and ends at the depot."""


@dataclass(frozen=True)
class Problem:
    """`depot` (2,) and `stops` (stops, 2) in metres on a plane; `load` (stops,) pieces, at most `capacity` a van."""

    depot: NDArray[np.float64]
    stops: NDArray[np.float64]
    load: NDArray[np.int64]
    capacity: int

    def __post_init__(self) -> None:
        shapes = self.depot.shape == (2,), self.stops.shape == (len(self.load), 2), len(self.load) > 0
        if not all(shapes):
            raise BadInput(
                f"a depot (2,), stops (n, 2) and loads (n,) are wanted, not {self.depot.shape}, "
                f"{self.stops.shape}, {self.load.shape}"
            )
        if not np.isfinite(self.stops).all() or not np.isfinite(self.depot).all():
            raise BadInput("a place is not a number")
        if self.load.min() < 1 or self.load.max() > self.capacity:
            raise BadInput(
                f"loads from 1 to the van's {self.capacity} are wanted, not {self.load.min()} to {self.load.max()}",
                hint="split a stop that needs more than one van",
            )

    @cached_property
    def metres(self) -> NDArray[np.int64]:
        """(stops + 1, stops + 1) straight-line distances, rounded; place 0 is the depot, place n + 1 stop n."""
        places = np.concatenate([self.depot[None, :], self.stops])
        apart = places[:, None, :] - places[None, :, :]
        return np.asarray(np.rint(np.hypot(apart[..., 0], apart[..., 1])), dtype=np.int64)

    def length(self, plan: Plan) -> int:
        """Metres of all rounds, out and back."""
        total = 0
        for stops in plan:
            places = [0, *(stop + 1 for stop in stops), 0]
            total += int(self.metres[places[:-1], places[1:]].sum())
        return total

    def complaint(self, plan: Plan) -> str:
        """What is wrong with a plan; empty when every stop is served once and no van carries too much."""
        served = sorted(stop for stops in plan for stop in stops)
        if served != list(range(len(self.load))):
            return "not every stop is served once"
        heaviest = max(int(self.load[list(stops)].sum()) for stops in plan)
        return f"a van carries {heaviest} of {self.capacity}" if heaviest > self.capacity else ""
