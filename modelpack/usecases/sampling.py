"""Rows chosen without chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pick_evenly(rows: int, count: int) -> NDArray[np.int64]:
    """`count` row numbers evenly from `rows`."""
    return np.linspace(0, rows - 1, min(count, rows)).astype(np.int64)
