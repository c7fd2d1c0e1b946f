"""Which state the points of an alarm mean: CloudWatch's rules, data missing or not.

Source: "Configuring how CloudWatch alarms treat missing data" with its two tables, and "Avoiding premature transitions
to alarm state" (documented). How far back CloudWatch looks for points it says only by its example, five for three; here
it is always two more than are needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

OK, ALARM, INSUFFICIENT = "OK", "ALARM", "INSUFFICIENT_DATA"
FURTHER = 2
"""Periods looked at beyond the evaluation periods."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """`state` None: it stays what it is. `used`: the places of the points that were evaluated; `filled`: how many
    missing ones were needed to make up the number."""

    state: str | None
    used: tuple[int, ...]
    filled: int


def judge(points: Sequence[bool | None], *, periods: int, needed: int, missing: str) -> Judgement:
    """The state that the newest points mean, the newest last: True is breaching, None is missing.

    `periods` and `needed` are EvaluationPeriods and DatapointsToAlarm, `missing` is TreatMissingData.
    """
    there = tuple(place for place, point in enumerate(points) if point is not None)
    used = there[-periods:]
    filled = periods - len(used)
    bad = sum(bool(points[place]) for place in used)
    worst = bad + (filled if missing == "breaching" else 0)
    if worst >= needed:
        return Judgement(state=ALARM, used=used, filled=filled)
    if not filled or missing in ("breaching", "notBreaching") or bad < len(used):
        return Judgement(state=OK, used=used, filled=filled)
    # Only missing and too few breaching ones are left, none of which says that all is well.
    old_enough = bool(used) and len(points) - used[0] >= needed
    unsure = ALARM if old_enough else INSUFFICIENT
    return Judgement(state=None if missing == "ignore" else unsure, used=used, filled=filled)
