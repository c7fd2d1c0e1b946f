"""Why an alarm is in its state, in CloudWatch's words.

recorded: the sentences are those of notifications, events and answers of DescribeAlarms that others published; none was
compared by us.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from infra.rehearsal.cloud.aws.watching.judgement import ALARM, INSUFFICIENT

COMPARED = {
    "GreaterThanThreshold": "greater than",
    "GreaterThanOrEqualToThreshold": "greater than or equal to",
    "LessThanThreshold": "less than",
    "LessThanOrEqualToThreshold": "less than or equal to",
}
FILLED = {"breaching": "Breaching", "notBreaching": "NonBreaching", "missing": "Missing", "ignore": "Ignored"}
NEW = "Unchecked: Initial alarm creation"


@dataclass(frozen=True, kw_only=True)
class AlarmPoint:
    """One evaluated datapoint. `samples` is 0 where it was computed of others."""

    when: datetime
    value: float
    samples: float


@dataclass(frozen=True, kw_only=True)
class Grounds:
    """What an evaluation rests on. `missing` is TreatMissingData; `points` are the oldest first."""

    points: Sequence[AlarmPoint]
    filled: int
    missing: str
    threshold: float
    comparison: str
    periods: int
    needed: int
    period: int
    statistic: str
    asked: datetime
    since: datetime


def explain(new: str, why: Grounds) -> str:
    """StateReason of a change to a state."""
    if new == INSUFFICIENT:
        unknown = why.filled or why.periods
        return f"Insufficient Data: {_count(unknown)} {_be(unknown)} unknown."
    missing = f"{why.filled} missing datapoint{_be(why.filled, 's')} treated as [{FILLED[why.missing]}]"
    decisive = [point for point in why.points if _breaches(point, why) == (new == ALARM)]
    if not decisive:
        received = f"{_count(len(why.points))} {_be(len(why.points))}" if why.points else "no datapoints were"
        periods = f"{why.periods} period{'s' if why.periods > 1 else ''}"
        return f"Threshold Crossed: {received} received for {periods} and {missing}."
    negated = "" if new == ALARM else " not"
    compared = (
        f"{_show(decisive)} {_be(len(decisive))}{negated} {COMPARED[why.comparison]} "
        f"the threshold ({why.threshold})"
    )
    filled = f" and {missing}" if why.filled and why.missing in ("breaching", "notBreaching") else ""
    if filled and why.needed == why.periods:
        return f"Threshold Crossed: {_count(len(decisive))} {compared}{filled}."
    needed = why.needed if new == ALARM else why.periods - why.needed + 1
    change = "OK -> ALARM" if new == ALARM else "ALARM -> OK"
    return (
        f"Threshold Crossed: {len(decisive)} out of the last {why.periods} datapoints {compared}{filled}"
        f" (minimum {_count(needed)} for {change} transition)."
    )


def explain_as_data(why: Grounds) -> str:
    """StateReasonData."""
    data: dict[str, Any] = {
        "version": "1.0",
        "queryDate": stamp(why.asked),
        "startDate": stamp(why.since),
        **({"statistic": why.statistic} if why.statistic else {}),
        "period": why.period,
        "recentDatapoints": [point.value for point in why.points],
        "threshold": why.threshold,
        "evaluatedDatapoints": [
            {
                "timestamp": stamp(point.when),
                **({"sampleCount": point.samples} if point.samples else {}),
                "value": point.value,
            }
            for point in reversed(why.points)
        ],
    }
    return json.dumps(data)


def breaches(value: float, comparison: str, threshold: float) -> bool:
    """Whether the value is on the wrong side."""
    return {
        "GreaterThanThreshold": value > threshold,
        "GreaterThanOrEqualToThreshold": value >= threshold,
        "LessThanThreshold": value < threshold,
        "LessThanOrEqualToThreshold": value <= threshold,
    }[comparison]


def stamp(when: datetime) -> str:
    """A time as CloudWatch writes it in JSON."""
    return when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03d}+0000"


def _breaches(point: AlarmPoint, why: Grounds) -> bool:
    return breaches(point.value, why.comparison, why.threshold)


def _show(points: Sequence[AlarmPoint]) -> str:
    """The newest first."""
    shown = [f"{point.value} ({point.when:%d/%m/%y %H:%M:%S})" for point in reversed(points)]
    return f"[{', '.join(shown)}]"


def _count(number: int) -> str:
    return f"{number} datapoint{'' if number == 1 else 's'}"


def _be(number: int, plural: str = "") -> str:
    """The verb that goes with a number; `plural` is what its noun still lacks for more than one."""
    if plural:
        return " was" if number == 1 else f"{plural} were"
    return "was" if number == 1 else "were"
