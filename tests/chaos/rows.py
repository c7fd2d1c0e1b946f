"""A row: points of one kind, by number from 1, each of which passes or fails by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """`count` may need an undisturbed run; `strike(n)` raises AssertionError where an invariant does not hold."""

    name: str
    target: str
    count: Callable[[], int]
    strike: Callable[[int], None]

    def try_at(self, at: int) -> str:
        """Why it failed; "" where it passed."""
        try:
            self.strike(at)
        except Exception as error:
            return f"{type(error).__name__}: {error}"[:2000]
        return ""
