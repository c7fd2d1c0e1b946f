"""Work on large bodies beside the event loop, so that it goes on reading, and answering `/ping`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

LARGE = 64 * 1024
"""Bytes of JSON, or values of an answer, from which reading or writing them takes about a millisecond."""


async def aside(size: int, do: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """What `do` gives or raises; in a thread of its own where `size` is large."""
    if size < LARGE:
        return do(*arguments, **named)
    return await asyncio.to_thread(do, *arguments, **named)
