"""What preparations that an engine runs have in common, as Ibis expressions: the same values on every engine."""

from __future__ import annotations

from typing import Any

EXACT = "decimal(38, 6)"
"""Sums of floats would differ with the order in which they are taken."""


def add_up(amounts: Any) -> Any:
    """The sum, of exact decimals."""
    return amounts.cast(EXACT).sum().cast("float64")


def days_old(times: Any) -> Any:
    """Whole days from each time to the table's last one."""
    return times.max().date().as_scalar().delta(times.date(), unit="day")
