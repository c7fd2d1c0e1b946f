"""A scatter plot as inline SVG: no script, no font and no picture from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 620, 400
LEFT, RIGHT, TOP, BOTTOM = 76, 24, 20, 54
LOGARITHMIC = 6
"""From this ratio of largest to smallest on, the axis is logarithmic."""
NEAR = 17
RING = 1.5
PLACES = ((11, -9), (-11, -9), (11, 17), (-11, 17), (0, -15), (0, 25), (20, 4), (-20, 4))


@dataclass(frozen=True)
class Dot:
    """One point: `state` is its CSS class, `low` and `high` the ends of its vertical bar."""

    label: str
    title: str
    state: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Axis:
    """Numbers to places."""

    place: Callable[[float], float]
    ticks: tuple[float, ...]


def scatter(dots: Sequence[Dot], across: str, up: str) -> str:
    """The plot, with both axes named."""
    xs = [dot.x for dot in dots]
    ys = [value for dot in dots for value in (dot.y, dot.low, dot.high) if value is not None]
    x = axis(xs, LEFT, WIDTH - RIGHT, logarithmic=max(xs) / max(min(xs), 1e-12) > LOGARITHMIC)
    y = axis(ys, HEIGHT - BOTTOM, TOP, logarithmic=False)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(up)} against {escape(across)}">',
        *grid(x, y),
        f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}">{escape(across)}</text>',
        f'<text class="axis" transform="translate(16 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)">{escape(up)}</text>',
        *marks(dots, x, y),
        "</svg>",
    ]
    return "\n".join(parts)


def axis(values: Sequence[float], begin: float, end: float, *, logarithmic: bool) -> Axis:
    """A scale with some room at both ends, and round ticks."""
    change = math.log10 if logarithmic else float
    low, high = change(min(values)), change(max(values))
    room = (high - low) * 0.08 or abs(high) * 0.05 or 1.0
    low, high = low - room, high + room

    def place(value: float) -> float:
        return begin + (change(value) - low) / (high - low) * (end - begin)

    if logarithmic:
        decades = range(math.floor(low), math.ceil(high) + 1)
        ticks = [step * 10.0**decade for decade in decades for step in (1, 2, 5)]
        inside = [tick for tick in ticks if low <= math.log10(tick) <= high]
    else:
        step = nice((high - low) / 7)
        inside = [step * count for count in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return Axis(place, tuple(inside))


def nice(rough: float) -> float:
    """1, 2 or 5 times a power of ten, at least `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)


def grid(x: Axis, y: Axis) -> list[str]:
    """Lines and numbers."""
    parts = [
        f'<rect class="field" x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}"/>'
    ]
    for tick in x.ticks:
        at = f"{x.place(tick):.1f}"
        parts.append(f'<line class="grid" x1="{at}" x2="{at}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text class="tick" x="{at}" y="{HEIGHT - BOTTOM + 18}">{tick:g}</text>')
    digits = max((len(f"{tick:.6g}".partition(".")[2]) for tick in y.ticks), default=0)
    for tick in y.ticks:
        at = f"{y.place(tick):.1f}"
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>')
        parts.append(
            f'<text class="tick left" x="{LEFT - 8}" y="{float(at) + 4:.1f}">{tick:.{digits}f}</text>'
        )
    return parts


def marks(dots: Sequence[Dot], x: Axis, y: Axis) -> list[str]:
    """Bars, then dots, then labels; what is chosen lies on top."""
    taken = [(x.place(dot.x), y.place(dot.y)) for dot in dots]
    bars, circles, labels = [], [], []
    for dot in sorted(dots, key=lambda dot: dot.state == "chosen"):
        across, up = x.place(dot.x), y.place(dot.y)
        if dot.low is not None and dot.high is not None:
            ends = f'y1="{y.place(dot.low):.1f}" y2="{y.place(dot.high):.1f}"'
            bars.append(f'<line class="bar {dot.state}" x1="{across:.1f}" x2="{across:.1f}" {ends}/>')
        if dot.state == "chosen":
            circles.append(f'<circle class="ring" cx="{across:.1f}" cy="{up:.1f}" r="11"/>')
        circles.append(
            f'<circle class="dot {dot.state}" cx="{across:.1f}" cy="{up:.1f}" r="6">'
            f"<title>{escape(dot.title)}</title></circle>"
        )
        free = room_for(across, up, taken, RING if dot.state == "chosen" else 1.0)
        taken.append((free[0], free[1] - 4))
        labels.append(f'<text class="label" x="{free[0]:.1f}" y="{free[1]:.1f}">{escape(dot.label)}</text>')
    return [*bars, *circles, *labels]


def room_for(
    across: float, up: float, taken: Sequence[tuple[float, float]], away: float
) -> tuple[float, float]:
    """The place around a dot that is clear of everything else, in order of taste; `away` times the usual distance."""

    def clear(place: tuple[float, float]) -> float:
        others = [(a, b) for a, b in taken if (a, b) != (across, up)]
        return min((math.hypot(place[0] - a, place[1] - 4 - b) for a, b in others), default=math.inf)

    places = [(across + right * away, up + down * away) for right, down in PLACES]
    return next((place for place in places if clear(place) > NEAR), max(places, key=clear))
