"""A scatter plot as inline SVG, drawn by matplotlib: no script, and no font or picture from elsewhere.

Its colours are the page's own (CSS variables, so that a dark page has dark plots); what is written is text in its font.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

SIZE = (6.2, 4.0)
"""Inches, of 72 units in the drawing."""
LOGARITHMIC = 6
"""From this ratio of largest to smallest on, the axis is logarithmic."""
NEAR = 10
"""Units between dots that share one label."""
FEW = 16
"""With more dots only those that the choice is between show their numbers; every dot tells it when pointed at."""
PAGE = ("ink", "soft", "line", "paper", "accent", "front", "plain", "bad", "trained")
COLOURS = {name: f"#0000{place:02x}" for place, name in enumerate(PAGE, 1)}
"""A colour that nothing else has, in the place of each CSS variable of the page."""
ON_TOP = ("allowed", "kept", "front", "reference", "chosen")
STATES = dict(zip(ON_TOP, ("plain", "front", "front", "trained", "accent"), strict=True))
"""Colour by state, what lies on top last; others are hollow, in the colour for what is refused."""
STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": COLOURS["line"],
    "axes.facecolor": COLOURS["paper"],
    "axes.formatter.useoffset": False,
    "axes.grid": True,
    "axes.labelcolor": COLOURS["soft"],
    "axes.xmargin": 0.08,
    "axes.ymargin": 0.08,
    "figure.dpi": 72,
    "figure.facecolor": "none",
    "font.size": 9,
    "grid.color": COLOURS["line"],
    "svg.fonttype": "none",
    "svg.hashsalt": "ecomdeploy",
    "text.color": COLOURS["ink"],
    "xtick.labelcolor": COLOURS["soft"],
    "xtick.major.size": 0,
    "ytick.labelcolor": COLOURS["soft"],
    "ytick.major.size": 0,
}


@dataclass(frozen=True)
class Dot:
    """One point: `low` and `high` are the ends of its vertical bar."""

    label: str
    title: str
    state: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None


def scatter(dots: Sequence[Dot], across: str, up: str) -> str:
    """The plot, with both axes named."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator

    written, xs = io.StringIO(), [dot.x for dot in dots]
    with rc_context(STYLE):
        figure = Figure(SIZE, layout="constrained")
        axes = figure.add_subplot(xlabel=across, ylabel=up)
        if min(xs) > 0 and max(xs) / min(xs) > LOGARITHMIC:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:g}")
        for dot in sorted(dots, key=lambda dot: ON_TOP.index(dot.state) if dot.state in ON_TOP else -1):
            draw(axes, dot)
        figure.draw_without_rendering()
        label(axes, [dot for dot in dots if len(dots) <= FEW or dot.state in ON_TOP[1:]])
        figure.savefig(written, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return in_page(written.getvalue(), dots, f"{up} against {across}")


def draw(axes: Any, dot: Dot) -> None:
    """Its bar, a ring where it is chosen, and the dot by the name that the page knows it by."""
    colour = COLOURS[STATES.get(dot.state, "bad")]
    edge, inner = ("paper", colour) if dot.state in STATES else ("bad", COLOURS["paper"])
    if dot.low is not None and dot.high is not None:
        axes.vlines(dot.x, dot.low, dot.high, colors=colour, alpha=0.5, linewidth=1.5)
    if dot.state == "chosen":
        axes.plot(dot.x, dot.y, "o", ms=14, color="none", mec=colour, mew=2, gid="ring")
    axes.plot(dot.x, dot.y, "o", ms=8, color=inner, mec=COLOURS[edge], mew=1.5, gid=f"dot {dot.label}")


def label(axes: Any, dots: Sequence[Dot]) -> None:
    """The dots' numbers; one text for those that lie over one another."""
    groups: list[tuple[Any, list[Dot]]] = []
    for dot, place in zip(dots, axes.transData.transform([(dot.x, dot.y) for dot in dots]), strict=True):
        near = next((group for at, group in groups if abs(at - place).max() < NEAR), None)
        if near is None:
            groups.append((place, near := []))
        near.append(dot)
    for _, group in groups:
        words, at = ", ".join(dot.label for dot in group), (group[0].x, group[0].y)
        axes.annotate(words, at, xytext=(6, 5), textcoords="offset points", weight="bold", gid="label")


def in_page(drawn: str, dots: Sequence[Dot], words: str) -> str:
    """The drawing without what only a file needs, in the page's colours, every dot with its title."""
    inner = drawn[drawn.index("<defs>") :]
    for name, colour in COLOURS.items():
        inner = inner.replace(colour, f"var(--{name})")
    inner = inner.replace('<g id="label">', '<g class="label">').replace('<g id="ring">', '<g class="ring">')
    for dot in dots:
        title = f"<title>{escape(dot.title)}</title>"
        inner = inner.replace(f'<g id="dot {dot.label}">', f'<g class="dot {dot.state}">{title}')
    width, height = (72 * size for size in SIZE)
    return f'<svg class="plot" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(words)}">\n{inner}'
