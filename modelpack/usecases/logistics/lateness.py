"""How late things were before: shares of late shipments, from the days before a row's own day alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

SHRINK_DAY, SHRINK_LONG = 10.0, 30.0
"""Shipments' worth of the general share that a key's own share is drawn towards."""
START = 0.2
"""The share before anything is known."""


def yesterday(key: Ids, day: Ids, late: Floats, told: NDArray[np.bool_]) -> Floats:
    """The late share of the key's shipments of the day before, of those `told` (over early enough to be known)."""
    total, count = by_day(key, day, late, told)
    general = so_far_all(day, late)
    level, before = np.unique(key, return_inverse=True)[1], day - 1
    return np.asarray((total[level, before] + SHRINK_DAY * general) / (count[level, before] + SHRINK_DAY))


def so_far(key: Ids, day: Ids, late: Floats) -> Floats:
    """The late share of the key's shipments of all days up to two days before (the last ones are home by then)."""
    total, count = by_day(key, day, late, np.ones(len(day), dtype=np.bool_))
    total, count = np.cumsum(total, axis=1), np.cumsum(count, axis=1)
    level, before = np.unique(key, return_inverse=True)[1], np.maximum(day - 2, 0)
    return np.asarray(
        (total[level, before] + SHRINK_LONG * so_far_all(day, late)) / (count[level, before] + SHRINK_LONG)
    )


def so_far_all(day: Ids, late: Floats) -> Floats:
    """The late share of everything up to two days before."""
    count, total = np.bincount(day).cumsum(), np.bincount(day, late).cumsum()
    before = np.maximum(day - 2, 0)
    return np.where(count[before] > 0, total[before] / np.maximum(count[before], 1), START)


def by_day(key: Ids, day: Ids, late: Floats, told: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """(keys, days) late shipments and shipments."""
    level = np.unique(key, return_inverse=True)[1]
    days = int(day.max()) + 1
    place = (level * days + day)[told]
    shape = (int(level.max()) + 1, days)
    size = shape[0] * days
    return (
        np.bincount(place, late[told], size).astype(np.float64).reshape(shape),
        np.bincount(place, minlength=size).astype(np.float64).reshape(shape),
    )
