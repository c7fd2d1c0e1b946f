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
from cli.record.scatter import Dot, scatter

XLINK = "http://www.w3.org/1999/xlink"


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


def read(drawn: str) -> ElementTree.Element:
    """Our own markup, which a page reads without these names."""
    names = f'xmlns:xlink="{XLINK}"'
    return ElementTree.fromstring(drawn.replace("<svg ", f"<svg {names} ", 1))


def plots(text: str) -> list[ElementTree.Element]:
    drawn = re.findall(r'<svg class="plot".*?</svg>', text, flags=re.DOTALL)
    return [read(one) for one in drawn]


def places(plot: ElementTree.Element, group: str) -> list[tuple[float, float]]:
    """Where the marks of the groups of that class are."""
    found = [one for one in plot.iter("g") if one.get("class") == group]
    uses = [use for one in found for use in one.iter("use")]
    return [(float(use.attrib["x"]), float(use.attrib["y"])) for use in uses]


@pytest.mark.parametrize("search", [True, False])
def test_the_page_holds_every_combination_and_marks_the_chosen_one(search: bool) -> None:
    data = points(record(search))
    text = report(record(search))
    measured = {str(one.number) for one in data if one.figure("metric") is not None}
    assert len(data) == (7 if search else 4)
    for plot in plots(text):
        labels = [one.findtext("text", "") for one in plot.iter("g") if one.get("class") == "label"]
        assert sorted(", ".join(labels).split(", ")) == sorted(measured)
        titles = {str(title.text).partition(":")[0] for title in plot.iter("title")}
        assert titles == measured
        assert len(places(plot, "ring")) == 1
        assert places(plot, "ring") == places(plot, "dot chosen")
    assert len(plots(text)) == 2
    assert text.count('<tr class="') == len(data)


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = Page(report(record()))
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert not [given for _, given in page.tags if {"src", "href", "onload", "onclick"} & set(given)]
    assert all(str(given.get("xlink:href", "#")).startswith("#") for _, given in page.tags)
    assert not re.search(r"url\((?!#)|@import|https?://", report(record()))
    assert report(record()) == report(record()), "the same record is the same page"
    assert "<fast>" not in report(record())
    assert "&lt;fast&gt;" in report(record())


def test_better_is_where_the_axes_say_and_colours_are_the_pages() -> None:
    left, right = Dot("1", "", "front", 1.0, 0.2), Dot("2", "", "chosen", 3.0, 0.9)
    drawn = scatter([left, right], "ms", "metric")
    ((low_x, low_y),), ((high_x, high_y),) = (
        places(read(drawn), f"dot {one}") for one in ("front", "chosen")
    )
    assert low_x < high_x
    assert low_y > high_y
    assert not re.search("#0000[0-9a-f]{2}", drawn)
    assert {"var(--front)", "var(--accent)", "var(--paper)"} <= set(re.findall(r"var\(--\w+\)", drawn))


@pytest.mark.parametrize("values", [[3.0], [0.0, 0.0], [1e-6, 1e6], [-1.0, 2.0]])
def test_an_axis_has_room_for_all_its_values(values: list[float]) -> None:
    dots = [Dot(str(number), "", "allowed", one, one, one, one) for number, one in enumerate(values)]
    for x, y in places(read(scatter(dots, "ms", "metric")), "dot allowed"):
        assert 40 < x < 440
        assert 3 < y < 260


def test_of_many_dots_only_those_that_count_carry_numbers() -> None:
    dots = [Dot(str(one), f"title {one}", "allowed", one + 1, one) for one in range(40)]
    chosen = Dot("40", "title 40", "chosen", 2.5, 3.5)
    drawn = read(scatter([*dots, chosen], "ms", "metric"))
    assert [one.findtext("text") for one in drawn.iter("g") if one.get("class") == "label"] == ["40"]
    assert len(list(drawn.iter("title"))) == 41


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


def test_a_model_of_your_own_may_have_no_baseline(capsys: pytest.CaptureFixture[str]) -> None:
    own = record(search=False)
    own["metric"] |= {"baseline": None, "baseline_name": ""}
    explain(own)
    assert "no baseline given" in capsys.readouterr().out
    assert "None" not in report(own)
