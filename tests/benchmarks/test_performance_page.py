"""What docs/performance.md tells is what was measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from benchmarks import _data_page as data
from benchmarks import _growth_page as growth
from benchmarks import _peer_tables as tables
from benchmarks.__main__ import RESULTS
from benchmarks._page import PAGE, rewrite

PARTS: dict[str, Callable[[Any], Iterable[str]]] = {
    "image": tables.image,
    "serve": tables.serve,
    "commands": tables.commands,
    "cold_ci": tables.cold_ci,
    "data": data.table,
    "growth": growth.tables,
}
TAKEN = [name for name in PARTS if (RESULTS / f"{name}.json").exists()]
"""Figures of the others are to be taken; their part is empty."""


def figures_of(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text())["figures"]


@pytest.mark.parametrize("name", TAKEN)
def test_each_part_is_of_its_figures(name: str) -> None:
    page = PAGE.read_text()
    assert rewrite(page, name, [*PARTS[name](figures_of(name))]) == page


@pytest.mark.parametrize("name", TAKEN)
def test_a_part_that_was_touched_is_found(name: str) -> None:
    lines = [*PARTS[name](figures_of(name))]
    lines[2] = lines[2].replace("|", "| 1", 2)
    assert rewrite(PAGE.read_text(), name, lines) != PAGE.read_text()


def test_the_plot_is_of_the_figures() -> None:
    figures = figures_of("growth")
    assert growth.draw(figures) == growth.PLOT.read_text()
    figures["releases"]["10"]["status"] += 1
    assert growth.draw(figures) != growth.PLOT.read_text()


@pytest.mark.parametrize("name", [one for one in PARTS if one not in TAKEN])
def test_nothing_is_told_that_was_not_measured(name: str) -> None:
    page = PAGE.read_text()
    assert rewrite(page, name, []) == page


def test_a_page_without_the_part_is_refused() -> None:
    with pytest.raises(ValueError, match="image: written by"):
        rewrite("# another page\n", "image", [])
