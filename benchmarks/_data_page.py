"""The part of docs/performance.md that benchmarks/data.py measures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks._page import head, row, write_part

COLUMNS = ("seconds", "cpu_s", "memory_mb", "purchases")


def write(figures: Mapping[str, Any]) -> None:
    """The table, so that it says what the figures say."""
    write_part("data", [*table(figures)])


def table(figures: Mapping[str, Any]) -> Iterator[str]:
    """A line for each number of purchases and way."""
    yield from head(
        [
            "purchases",
            "files, MB",
            "by",
            "seconds",
            "CPU seconds",
            "most memory, MB",
            "purchases for training",
        ]
    )
    for lines, found in figures.items():
        for way in ("engine", "pandas"):
            cells = [f"{found[way][one]:,}" for one in COLUMNS] if way in found else ["not asked"] * 4
            yield row([f"{int(lines):,}", f"{found['files_mb']:,.0f}", way, *cells])
