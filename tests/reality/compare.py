"""Where two runs of a scenario differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Record = dict[str, Any]
WHOLE = ("do", "result", "steps", "counts", "outputs", "calls", "cloud", "pending")


@dataclass(frozen=True)
class Mismatch:
    """`place` is "2 up: state Thing::a outputs" or "2 up: counts"."""

    place: str
    real: Any
    ours: Any

    def __str__(self) -> str:
        if isinstance(self.real, list) and isinstance(self.ours, list):
            missing = [one for one in self.real if one not in self.ours]
            more = [one for one in self.ours if one not in self.real]
            return f"{self.place}: only real {missing}, only ours {more}"
        return f"{self.place}: real {self.real!r:.500}, ours {self.ours!r:.500}"


def compare(real: Sequence[Record], ours: Sequence[Record]) -> list[Mismatch]:
    """All of them, step by step."""
    found = []
    if len(real) != len(ours):
        found.append(Mismatch("steps in all", len(real), len(ours)))
    for number, (expected, got) in enumerate(zip(real, ours, strict=False), 1):
        found.extend(compare_step(f"{number} {expected['do']}", expected, got))
    return found


def compare_step(step: str, real: Record, ours: Record) -> Iterator[Mismatch]:
    for key in WHOLE:
        if (real.get(key) or None) != (ours.get(key) or None):
            yield Mismatch(f"{step}: {key}", real.get(key), ours.get(key))
    for urn in sorted({*real["state"], *ours["state"]}):
        expected, got = real["state"].get(urn), ours["state"].get(urn)
        name = urn.rpartition(":")[2]
        if expected is None or got is None:
            yield Mismatch(f"{step}: state {name}", expected, got)
            continue
        for key in sorted({*expected, *got}):
            if expected.get(key) != got.get(key):
                yield Mismatch(f"{step}: state {name} {key}", expected.get(key), got.get(key))
