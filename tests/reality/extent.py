"""How much of it: a sample, or with `make test-reality ALL=1` everything; of the kills what KILLS says."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
EVERY = bool(os.environ.get("ECOMDEPLOY_TEST_ALL"))
KILLS = os.environ.get("ECOMDEPLOY_TEST_KILLS", "")
"""Points to cut off at: "all", "12" or "12-37"."""


def sample(things: Sequence[T], count: int) -> Sequence[T]:
    """At least `count` of them, evenly apart, or all."""
    if EVERY or count >= len(things):
        return things
    apart = len(things) // count
    return things[apart // 2 :: apart]


def points(last: int, count: int) -> Sequence[int]:
    """Of the points from 1 to `last` those that KILLS names, or else a sample."""
    if KILLS in ("", "all"):
        return sample(range(1, last + 1), last if KILLS else count)
    first, _, end = KILLS.partition("-")
    return range(int(first), min(int(end or first), last) + 1)
