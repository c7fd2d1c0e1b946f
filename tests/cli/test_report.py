"""The record in words and as a page: every combination is there, and the page needs nothing from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest

from cli.record.explain import explain
from cli.record.points import points
from cli.record.report import report
from cli.record.scatter import Dot, axis, scatter


def figures(metric: float, p50: float, rows: float, size: float) -> dict[str, Any]:
    return {
        "metric": metric,
        "p50_ms": p50,
        "p99_ms": 2 * p50,
        "rows_per_cpu_s": rows,
        "size_mb": size,
        "hardware": "a bench",
        "peak_mb": 80.0,
        "usd_per_million": 0.01,
    }


def tried(
    passes: list[str], metric: float, p50: float, rows: float, size: float, **more: Any
) -> dict[str, Any]:
    drop = {"value": 0.5 - metric, "low": 0.49 - metric, "high": 0.51 - metric}
    return (
        {"passes": passes, "allowed": True, "reason": "good & <fast>", "drop": drop}
        | more
        | figures(metric, p50, rows, size)
    )


def record(search: bool = True) -> dict[str, Any]:
    combinations = [
        tried([], 0.5, 1.0, 1000, 10),
        tried(["int8"], 0.499, 0.5, 2000, 5),
        tried(["tables"], 0.5, 1.0, 1000, 4),
        tried(["int8", "tables"], 0.499, 0.5, 2000, 2),
        tried(["prune"], 0.3, 0.4, 3000, 2, allowed=False, reason="the metric may fall by 0.21"),
        {"passes": ["crash"], "allowed": False, "reason": "failed: no kernel", "drop": None},
    ]
    found = {
        "points": combinations,
        "front": [1, 2, 3],
        "chosen": 3,
        "budget_s": 120,
        "spent_s": 60.0,
        "complete": True,
        "objective": "throughput",
    }
    passes = [
        {"name": "onnx", "kept": True, "reason": "needed to serve; 2x", "drop": None}
        | figures(0.5, 1, 1000, 10),
        {"name": "int8", "kept": True, "reason": "2x", "drop": None} | figures(0.499, 0.5, 2000, 5),
        {"name": "prune", "kept": False, "reason": "harms", "drop": None} | figures(0.3, 0.4, 3000, 2),
    ]
    whole = {
        "usecase": "recommendation",
        "metric": {
            "name": "recall@10",
            "value": 0.5,
            "low": 0.4,
            "high": 0.6,
            "higher_is_better": True,
            "baseline": 0.1,
            "baseline_name": "popularity",
            "requests": 100,
        },
        "reference": figures(0.5, 2.0, 500, 10),
        "chosen": figures(0.499, 0.5, 2000, 2),
        "passes": passes,
        "cost": {"instance": "ml.c7i.xlarge", "usd_hour": 0.2},
    }
    return whole | ({"search": found} if search else {})


class Page(HTMLParser):
    """Collects tags and what they point at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def plots(text: str) -> list[ElementTree.Element]:
    drawn = re.findall(r'<svg viewBox="0 0 620 400".*?</svg>', text, flags=re.DOTALL)
    return [ElementTree.fromstring(one) for one in drawn]  # our own markup


@pytest.mark.parametrize("search", [True, False])
def test_the_page_holds_every_combination_and_marks_the_chosen_one(search: bool) -> None:
    data = points(record(search))
    text = report(record(search))
    measured = {str(one.number) for one in data if one.figure("metric") is not None}
    assert len(data) == (7 if search else 4)
    for plot in plots(text):
        labels = {label.text for label in plot.iter("text") if label.get("class") == "label"}
        assert labels == measured
        rings = [one for one in plot.iter("circle") if one.get("class") == "ring"]
        chosen = [one for one in plot.iter("circle") if one.get("class") == "dot chosen"]
        assert len(rings) == len(chosen) == 1
        assert (rings[0].get("cx"), rings[0].get("cy")) == (chosen[0].get("cx"), chosen[0].get("cy"))
    assert len(plots(text)) == 2
    assert text.count('<tr class="') == len(data)


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = Page(report(record()))
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert not [given for _, given in page.tags if {"src", "href", "onload", "onclick"} & set(given)]
    assert not re.search(r"url\(|@import|https?://", report(record()))
    assert "<fast>" not in report(record())
    assert "&lt;fast&gt;" in report(record())


def test_better_is_where_the_axes_say() -> None:
    left, right = Dot("1", "", "front", 1.0, 0.2), Dot("2", "", "chosen", 3.0, 0.9)
    dots = list(ElementTree.fromstring(scatter([left, right], "ms", "metric")).iter("circle"))
    low, high = [one for one in dots if "dot" in str(one.get("class"))]
    assert float(str(low.get("cx"))) < float(str(high.get("cx")))
    assert float(str(low.get("cy"))) > float(str(high.get("cy")))


@pytest.mark.parametrize("values", [[3.0], [0.0, 0.0], [1e-6, 1e6], [-1.0, 2.0]])
def test_an_axis_has_room_for_all_its_values(values: list[float]) -> None:
    found = axis(values, 0, 100, logarithmic=min(values) > 0 and max(values) / min(values) > 6)
    assert all(0 < found.place(value) < 100 for value in values)
    assert all(0 <= found.place(tick) <= 100 for tick in found.ticks)


def test_it_is_explained_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    explain(record())
    said = capsys.readouterr().out
    lines = said.splitlines()
    assert [line for line in lines if "onnx + int8 + tables" in line and "chosen" in line]
    assert "failed: no kernel" in said
    assert "searched to its end (60 s of 120 s) for throughput" in said
    assert "-0.0010 [-0.0110, +0.0090]" in said
    explain(record(search=False))
    assert "dropped" in capsys.readouterr().out
