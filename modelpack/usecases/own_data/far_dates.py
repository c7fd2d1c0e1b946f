"""Dates that stand for nothing: 9999-12-31, 1900-01-01, and others that lie far from all the rest.

One of them among thousands moves the last week of a table, so that too little is left of it: it is named instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

FIRST_YEAR, LAST_YEAR = 1971, 2199
"""No shop's event lies outside; 1970-01-01 is a zero that was read as a time."""
ENOUGH = 100
"""Times of which one may be said to be far from the others."""
SHARE = 0.01
"""At most so many are far from the others."""
YEARS, SPANS = 5, 2
"""Far: by so many years, and by so many times what nearly all the others span."""
DAYS_OF_YEAR = 365


def far_dates(times: pd.Series) -> Any:
    """Which of the times stand for nothing, as a boolean Series; those that are missing do not."""
    known = times.notna()
    years = times.dt.year
    far = known & ((years < FIRST_YEAR) | (years > LAST_YEAR))
    days = times[known & ~far].to_numpy("datetime64[D]").astype(np.int64)
    ends = apart(days)
    if ends is None:
        return far
    low, high = (np.datetime64(int(end), "D") for end in ends)
    return far | (known & ((times < low) | (times >= high + 1)))


def apart(days: Any) -> tuple[int, int] | None:
    """The first and the last day of those that are near each other; None where there are too few to say."""
    if len(days) < ENOUGH:
        return None
    found = np.sort(days)
    most = max(1, int(len(found) * SHARE))
    least = max(YEARS * DAYS_OF_YEAR, SPANS * int(found[-most - 1] - found[most]))
    below = np.flatnonzero(np.diff(found[: most + 1]) > least)
    above = np.flatnonzero(np.diff(found[-most - 1 :]) > least)
    first = found[below[-1] + 1] if len(below) else found[0]
    last = found[len(found) - most - 1 + above[0]] if len(above) else found[-1]
    return int(first), int(last)
