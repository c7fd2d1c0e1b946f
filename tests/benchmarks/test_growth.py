"""What the page on growth tells is what was measured."""

from __future__ import annotations

import json

from benchmarks.__main__ import RESULTS
from benchmarks._growth_page import PAGE, PLOT, draw, rewrite


def test_page_and_plot_are_of_the_figures() -> None:
    figures = json.loads((RESULTS / "growth.json").read_text())["figures"]
    assert rewrite(PAGE.read_text(), figures) == PAGE.read_text()
    assert draw(figures) == PLOT.read_text()


def test_other_figures_give_another_page_and_plot() -> None:
    figures = json.loads((RESULTS / "growth.json").read_text())["figures"]
    figures["releases"]["10"]["status"] += 1
    assert rewrite(PAGE.read_text(), figures) != PAGE.read_text()
    assert draw(figures) != PLOT.read_text()
