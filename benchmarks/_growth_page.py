"""`docs/performance.md` between its marks, and its plot, from the figures of benchmarks/growth.py."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks._page import DOCS, head, row, write_part

PLOT = DOCS / "performance.svg"
WORDS = {"up_nothing_changed": "`up`, nothing changed", "first_up": "first `up`"}
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "ecomdeploy",
    "font.size": 9,
    "axes.grid": True,
    "grid.color": "#ddd",
}
MARKERS = "osv^D"


def write(figures: Mapping[str, Any]) -> None:
    """Tables and plot, so that they say what the figures say."""
    write_part("growth", tables(figures))
    PLOT.write_text(draw(figures))


def tables(figures: Mapping[str, Any]) -> list[str]:
    """Figures as they are, and how much dearer the last ten times as many are (linear: 10)."""
    return [
        *commands("releases", figures),
        *commands("resources", figures),
        *catalogue(figures),
        *image(figures),
    ]


def commands(what: str, figures: Mapping[str, Any]) -> Iterator[str]:
    sizes = list(figures[what])
    yield from head(
        [f"CPU seconds with so many {what}", *(f"{int(size):,}" for size in sizes), "ten times as many"]
    )
    for name in figures[what][sizes[0]]:
        spent = [figures[what][size][name] for size in sizes]
        cells = [f"{one:.2f}" for one in spent]
        yield row([WORDS.get(name, f"`{name}`"), *cells, f"{spent[-1] / spent[-2]:.1f}x"])
    yield ""


def catalogue(figures: Mapping[str, Any]) -> Iterator[str]:
    by_kind = lines_of(figures)
    sizes = [one["products"] for one in next(iter(by_kind.values()))]
    yield from head(
        ["one row, milliseconds; MB served", *(f"{size:,} products" for size in sizes), "ten times as many"]
    )
    for kind, rows in by_kind.items():
        cells = [f"{one['row_us'] / 1e3:.2f}; {one['size_mb']:,.0f}" for one in rows]
        yield row([kind, *cells, f"{rows[-1]['row_us'] / rows[-2]['row_us']:.1f}x"])
    yield ""


def image(figures: Mapping[str, Any]) -> Iterator[str]:
    found = figures["image"]
    yield from head(
        ["an image with a model of so many MB", *(f"{int(size):,}" for size in found), "ten times as many"]
    )
    for name, field, places in (("CPU seconds", "cpu_s", 2), ("most memory, MB", "peak_mb", 0)):
        values = [one[field] for one in found.values()]
        cells = [f"{one:,.{places}f}" for one in values]
        yield row([name, *cells, f"{values[-1] / values[-2]:.1f}x"])


def lines_of(figures: Mapping[str, Any]) -> Mapping[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for one in figures["catalogue"]:
        found.setdefault(one["architecture"], []).append(one)
    return found


def draw(figures: Mapping[str, Any]) -> str:
    """A plot a table, both axes logarithmic, with a dotted line for what is linear."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    written = io.StringIO()
    with rc_context(STYLE):
        figure = Figure((9, 6.8), layout="constrained")
        axes = figure.subplots(2, 2).flat
        for place, what in enumerate(("releases", "resources")):
            sizes = [int(size) for size in figures[what]]
            spent = {
                name: [one[name] for one in figures[what].values()]
                for name in next(iter(figures[what].values()))
            }
            plot(axes[place], what, "CPU seconds", sizes, {WORDS.get(one, one): spent[one] for one in spent})
        by_kind = lines_of(figures)
        sizes = [one["products"] for one in next(iter(by_kind.values()))]
        rows = {kind: [one["row_us"] / 1e3 for one in found] for kind, found in by_kind.items()}
        plot(axes[2], "products", "milliseconds a row", sizes, rows)
        sizes = [int(size) for size in figures["image"]]
        spent = {"build and push": [one["cpu_s"] for one in figures["image"].values()]}
        plot(axes[3], "MB of the model", "CPU seconds", sizes, spent)
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    return "".join(f"{line.rstrip()}\n" for line in written.getvalue().splitlines())


def plot(axes: Any, across: str, up: str, sizes: Sequence[int], lines: Mapping[str, Sequence[float]]) -> None:
    for marker, (name, spent) in zip(MARKERS, lines.items(), strict=False):
        axes.plot(sizes, spent, marker=marker, label=name.replace("`", ""))
    least = min(spent[0] for spent in lines.values())
    axes.plot(sizes, [least * size / sizes[0] for size in sizes], ":", color="#888", label="linear")
    axes.set(xscale="log", yscale="log", xlabel=across, ylabel=up)
    axes.set_ylim(top=3 * max(max(spent) for spent in lines.values()))
    axes.legend(fontsize=7)
