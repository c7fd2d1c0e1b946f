"""Inputs without end for so many seconds: every one is answered or refused, soon, and memory stays flat.

`ECOMDEPLOY_FUZZ_SECONDS` is how long each group of targets goes on (its targets share it); without it a few inputs
show that the harness works. `ECOMDEPLOY_FUZZ_SEED` repeats a run. What fails is shrunk by hypothesis and printed with
its seed.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

T = TypeVar("T")

SECONDS = "ECOMDEPLOY_FUZZ_SECONDS"
SEED = "ECOMDEPLOY_FUZZ_SEED"
EXAMPLES, FEW = 100, 10
ENOUGH = 300
"""Inputs after which it is asked whether some were good and some bad."""
LONGEST = 2.0
"""Processor seconds for one input."""
MOST_GROWTH = 64 * 1024 * 1024
"""Bytes of memory between the first rounds and the last."""
FLAT_AFTER = 3
"""Rounds until what is loaded and cached is there."""

NUMBERS = (
    0,
    1,
    2,
    3,
    7,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**63,
    2**64 - 1,
)
TOKENS = (
    b"",
    b"\0",
    b"\n",
    b"{",
    b"[",
    b'"',
    b"]",
    b"}",
    b",",
    b"null",
    b"NaN",
    b"1e999",
    b"-1",
    b"../",
    b"\xff",
    b"PK\x03\x04",
)


def seconds_each(targets: int) -> float:
    """How long each of so many targets of a group goes on."""
    return float(os.environ.get(SECONDS, 0)) / targets


def fuzz(
    inputs: st.SearchStrategy[T], check: Callable[[T], None], seconds: float, memory: Callable[[], int]
) -> int:
    """Check inputs for so long; how many. `memory`: bytes in use now."""
    start = int(os.environ.get(SEED, random.randrange(10**9)))
    end, rounds, base, count = time.monotonic() + seconds, 0, 0, 0

    def counted(one: T) -> None:
        nonlocal count
        count += 1
        check(one)

    while rounds == 0 or time.monotonic() < end or (seconds and rounds <= FLAT_AFTER):
        print(f"{SEED}={start + rounds}")
        once = settings(
            max_examples=EXAMPLES if seconds else FEW,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        seed(start + rounds)(once(given(inputs)(counted)))()
        rounds += 1
        if rounds == FLAT_AFTER:
            base = memory()
    grown = memory() - base if base else 0
    assert grown < MOST_GROWTH, f"memory grew from {base:,} by {grown:,} bytes in {count:,} inputs"
    return count


def mutated(seeds: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Bytes of a seed, changed at a few places."""
    return st.builds(mutate, seeds, st.lists(CHANGES, max_size=6))


CHANGES = st.tuples(
    st.sampled_from(("flip", "number", "insert", "drop", "double", "cut", "token")),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 2**32 - 1),
)
Change = tuple[str, float, int]


def mutate(data: bytes, changes: list[Change]) -> bytes:
    """Each change is its kind, a place as a share of the length, and a number that says what."""
    for kind, share, number in changes:
        place = int(share * len(data))
        span = 1 + number % 64
        if kind == "flip" and data:
            data = data[:place] + bytes([data[place] ^ (1 << number % 8)]) + data[place + 1 :]
        elif kind == "number":
            width = (1, 2, 4, 8)[number % 4]
            value = NUMBERS[number // 4 % len(NUMBERS)] % (1 << (8 * width))
            data = data[:place] + value.to_bytes(width, "little") + data[place + width :]
        elif kind == "insert":
            data = data[:place] + random.Random(number).randbytes(span) + data[place:]
        elif kind == "drop":
            data = data[:place] + data[place + span :]
        elif kind == "double":
            data = data[: place + span] + data[place:]
        elif kind == "cut":
            data = data[:place]
        elif kind == "token":
            data = data[:place] + TOKENS[number % len(TOKENS)] + data[place:]
    return data


def own_memory() -> int:
    """Bytes of this process."""
    import psutil

    return int(psutil.Process().memory_info().rss)


SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(NUMBERS),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["", "\ud800", "\x1b[31m", "a" * 5000, "NaN"]),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=12,
)
"""What JSON may say, and Python's writer beside it."""
