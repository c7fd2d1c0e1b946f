"""Golden requests: known questions whose answers every copy of a pack must give.

Used by the model server before it says it is ready, by `verify` through the route, and by the gate. Standard
library only: the server carries this file into the image.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Tolerance = Mapping[str, Mapping[str, Any]]
"""Output name -> rule. Rules: `{"kind": "equal"}`, `{"kind": "close", "rtol": r, "atol": a}` (|got - want| <=
a + r * |want|, element by element), `{"kind": "ranking", "overlap": o}` (at least the share `o` of the wanted
entries is there, whatever the order). An output without a rule must be equal."""

MOST_SHOWN = 120


@dataclass(frozen=True)
class Golden:
    """One question and its answer, both as `/invocations` bodies (`instances` -> `predictions`)."""

    request: Mapping[str, Any]
    answer: Mapping[str, Any]


def compare(answer: Mapping[str, Any], got: Any, tolerance: Tolerance) -> tuple[str, ...]:
    """The differences between the wanted `answer` and what was `got`, in words; empty when it agrees.

    Never raises: whatever a broken server may answer is a difference, not an error.
    """
    wanted = answer.get("predictions", [])
    found: Any = got.get("predictions") if isinstance(got, Mapping) else None
    if not _is_list(found):
        return (f"the answer has no list of predictions: {_short(got)}",)
    if len(found) != len(wanted):
        return (f"{len(found)} predictions instead of {len(wanted)}",)
    return tuple(
        difference
        for row, (want, have) in enumerate(zip(wanted, found, strict=True))
        for difference in _compare_row(row, want, have, tolerance)
    )


def _compare_row(row: int, want: Mapping[str, Any], have: Any, tolerance: Tolerance) -> tuple[str, ...]:
    if not isinstance(have, Mapping):
        return (f"prediction {row} is not an object: {_short(have)}",)
    missing = tuple(f"prediction {row} lacks {name}" for name in want if name not in have)
    shared = (name for name in want if name in have)
    verdicts = ((name, _differs(want[name], have[name], tolerance.get(name, {}))) for name in shared)
    return missing + tuple(f"prediction {row}, {name}: {words}" for name, words in verdicts if words)


def _differs(want: Any, have: Any, rule: Mapping[str, Any]) -> str:
    """Why `have` does not pass for `want` under `rule`; empty when it does."""
    kind = rule.get("kind", "equal")
    if kind == "close":
        return _not_close(want, have, float(rule.get("rtol", 0.0)), float(rule.get("atol", 0.0)))
    if kind == "ranking":
        return _compare_ranking(want, have, float(rule.get("overlap", 1.0)))
    if kind == "equal":
        return "" if want == have else f"{_short(have)} instead of {_short(want)}"
    return f"unknown tolerance kind {kind!r}"


def _not_close(want: Any, have: Any, rtol: float, atol: float) -> str:
    if _is_list(want):
        if not _is_list(have) or len(have) != len(want):
            return f"{_short(have)} instead of {_short(want)}"
        pairs = zip(want, have, strict=True)
        return next((words for one, other in pairs if (words := _not_close(one, other, rtol, atol))), "")
    if not _is_number(have) or not math.isfinite(have):
        return f"{_short(have)} is not a finite number"
    if abs(have - want) > atol + rtol * abs(want):
        return f"{have:.6g} instead of {want:.6g} (allowed: {atol:g} + {rtol:g} of it)"
    return ""


def _compare_ranking(want: Any, have: Any, overlap: float) -> str:
    if not _is_list(have) or len(have) != len(want):
        return f"{_short(have)} instead of {_short(want)}"
    try:
        shared = len(set(want) & set(have))
    except TypeError:
        return f"{_short(have)} is not a list of identifiers"
    if shared < overlap * len(want):
        return f"shares {shared} of {len(want)} with the golden answer (at least {overlap:.0%} asked for)"
    return ""


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 3] + "..."
