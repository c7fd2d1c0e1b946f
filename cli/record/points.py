"""The measured combinations of a record as one list: the model as trained first, then what was tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Shown:
    """A combination by number. `low`, `high`: where its metric lies by the interval of the difference to the trained
    model; `state`: reference, chosen, front, kept, allowed, dropped or refused."""

    number: int
    name: str
    state: str
    reason: str
    figures: Mapping[str, Any]
    low: float | None = None
    high: float | None = None

    def figure(self, key: str) -> float | None:
        value = self.figures.get(key)
        return float(value) if isinstance(value, int | float) else None


def points(record: Mapping[str, Any]) -> list[Shown]:
    """Every combination that the record holds, measured or not."""
    first = Shown(0, "as trained", "reference", "what all others are measured against", record["reference"])
    search = record.get("search")
    rest = from_search(record, search) if search else from_passes(record)
    return [first, *rest]


def from_search(record: Mapping[str, Any], search: Mapping[str, Any]) -> list[Shown]:
    """One for every combination that the search tried."""
    front, chosen = set(search["front"]), search["chosen"]
    needed = [one["name"] for one in record["passes"] if one["reason"].startswith("needed")]
    found = []
    for place, one in enumerate(search["points"]):
        state = "chosen" if place == chosen else "front" if place in front else ""
        state = state or ("allowed" if one["allowed"] else "refused")
        name = " + ".join([*needed, *one["passes"]]) or "as given"
        found.append(show(record, place + 1, name, state, one))
    return found


def from_passes(record: Mapping[str, Any]) -> list[Shown]:
    """One for every pass, on top of those kept before it."""
    kept: list[str] = []
    last = max((place for place, one in enumerate(record["passes"]) if one["kept"]), default=-1)
    found = []
    for place, one in enumerate(record["passes"]):
        state = "chosen" if place == last else "kept" if one["kept"] else "dropped"
        found.append(show(record, place + 1, " + ".join([*kept, one["name"]]), state, one))
        kept += [one["name"]] if one["kept"] else []
    return found


def show(record: Mapping[str, Any], number: int, name: str, state: str, one: Mapping[str, Any]) -> Shown:
    """With the metric's interval, where it was measured."""
    drop, trained = one.get("drop"), record["reference"]["metric"]
    if not drop:
        return Shown(number, name, state, one["reason"], one)
    sign = 1 if record["metric"]["higher_is_better"] else -1
    ends = sorted((trained - sign * drop["low"], trained - sign * drop["high"]))
    return Shown(number, name, state, one["reason"], one, ends[0], ends[1])


COLUMNS = (
    ("metric", "metric", ".4f"),
    ("p50_ms", "p50 ms", ".3f"),
    ("p99_ms", "p99 ms", ".3f"),
    ("rows_per_cpu_s", "rows / CPU s", ",.0f"),
    ("size_mb", "MB", ",.2f"),
    ("peak_mb", "peak MB", ",.0f"),
    ("usd_per_million", "$ / million", ".4f"),
)
"""Figures in tables: key in the record, words, format."""


def cells(one: Shown) -> list[str]:
    """The figures of a row, "-" where there is none."""
    return ["-" if (value := one.figure(key)) is None else format(value, form) for key, _, form in COLUMNS]


def headings(record: Mapping[str, Any]) -> list[str]:
    """Words over the figures, the metric by its name."""
    return [record["metric"]["name"] if key == "metric" else words for key, words, _ in COLUMNS]


def difference(one: Shown, record: Mapping[str, Any]) -> str:
    """The metric against the trained model's, with its interval."""
    if one.low is None or one.high is None:
        return "-"
    trained = record["reference"]["metric"]
    return (
        f"{(one.figure('metric') or 0) - trained:+.4f} [{one.low - trained:+.4f}, {one.high - trained:+.4f}]"
    )
