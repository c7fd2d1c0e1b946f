"""The parts of docs/performance.md that are written from figures: each between marks that name its benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "performance.md"


def write_part(name: str, lines: Sequence[str]) -> None:
    """The part of one benchmark anew."""
    PAGE.write_text(rewrite(PAGE.read_text(), name, lines))


def rewrite(page: str, name: str, lines: Sequence[str]) -> str:
    """Raises ValueError where the page has no part of that name."""
    begin, end = f"<!-- {name}: written by benchmarks/{name}.py -->\n", f"<!-- /{name} -->"
    before, found, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not (found and ended):
        raise ValueError(f"{PAGE.name} has no {begin.strip()} ... {end}")
    return before + begin + "".join(f"{line}\n" for line in lines) + end + after


def head(cells: Sequence[str]) -> list[str]:
    """The first two lines of a table."""
    return [row(cells), f"|{'---|' * len(cells)}"]


def row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
