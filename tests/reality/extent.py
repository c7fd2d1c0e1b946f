"""How much of it: a sample, or with `make test-reality ALL=1` everything."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
EVERY = bool(os.environ.get("ECOMDEPLOY_TEST_ALL"))


def sample(things: Sequence[T], count: int) -> Sequence[T]:
    """At least `count` of them, evenly apart, or all."""
    if EVERY or count >= len(things):
        return things
    apart = len(things) // count
    return things[apart // 2 :: apart]
