"""Busy hours: how AWS is told, when they run, in summer and in winter."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from infra.components.autoscaling import Moment, minimum, moments
from infra.recurring import is_running, write_cron, write_unix_cron
from infra.spec import BusyHours, ScaleSpec

EVENINGS = BusyHours(
    name="evenings", start="18:00", end="23:00", days=("fri", "sat"), time_zone="Europe/Berlin", min=4
)
NIGHT = BusyHours(name="night", start="22:30", end="02:15", days=("sun", "wed"), min=2)
DAILY = BusyHours(name="daily", start="08:00", end="20:00", min=3)
SPRING = BusyHours(name="early", start="01:30", end="03:30", time_zone="America/New_York", min=2)
MONTH_ROUND = BusyHours(name="late", start="23:00", end="01:00", min=3)


@pytest.mark.parametrize(
    ("hours", "begin", "end"),
    [
        (EVENINGS, "cron(0 18 ? * FRI,SAT *)", "cron(0 23 ? * FRI,SAT *)"),
        (NIGHT, "cron(30 22 ? * WED,SUN *)", "cron(15 2 ? * MON,THU *)"),
        (DAILY, "cron(0 8 * * ? *)", "cron(0 20 * * ? *)"),
        (MONTH_ROUND, "cron(0 23 * * ? *)", "cron(0 1 * * ? *)"),
    ],
)
def test_how_aws_is_told(hours: BusyHours, begin: str, end: str) -> None:
    assert write_cron(hours) == (begin, end)


@pytest.mark.parametrize(
    ("hours", "at", "runs"),
    [
        (EVENINGS, "2026-11-27T16:59Z", False),  # a Friday, 17:59 in Berlin
        (EVENINGS, "2026-11-27T17:00Z", True),
        (EVENINGS, "2026-11-27T21:59Z", True),
        (EVENINGS, "2026-11-27T22:00Z", False),
        (EVENINGS, "2026-11-26T18:00Z", False),  # a Thursday
        (EVENINGS, "2026-07-03T16:00Z", True),  # summer: 18:00 in Berlin
        (EVENINGS, "2026-07-03T15:59Z", False),
        (NIGHT, "2026-11-30T02:14Z", True),  # Monday, what began on Sunday
        (NIGHT, "2026-11-30T02:15Z", False),
        (NIGHT, "2026-11-30T23:00Z", False),
        (MONTH_ROUND, "2026-12-01T00:59Z", True),
        # Two o'clock is three o'clock that day.
        (SPRING, "2026-03-08T06:45Z", True),
        (SPRING, "2026-03-08T07:30Z", False),
    ],
)  # fmt: skip
def test_when_they_run(hours: BusyHours, at: str, runs: bool) -> None:
    assert is_running(hours, datetime.fromisoformat(at)) is runs


def test_an_up_in_the_middle_declares_their_range_and_both_ends_are_told() -> None:
    scale = ScaleSpec(min=1, max=3, target_rps=9.0, recurring=(EVENINGS,))
    within, after = (datetime(2026, 11, 27, hour, tzinfo=UTC) for hour in (19, 23))
    assert [minimum(scale, now) for now in (within, after)] == [4, 1]
    zone = "Europe/Berlin"
    assert moments(scale, within) == (
        Moment(name="evenings-begin", schedule="cron(0 18 ? * FRI,SAT *)", min=4, max=4, time_zone=zone),
        Moment(name="evenings-end", schedule="cron(0 23 ? * FRI,SAT *)", min=1, max=3, time_zone=zone),
    )
    assert not scale.by_hand().is_automatic


@pytest.mark.parametrize(
    ("hours", "begin", "end"),
    [
        (EVENINGS, "0 18 * * 5,6", "0 23 * * 5,6"),
        (NIGHT, "30 22 * * 3,0", "15 2 * * 1,4"),
        (DAILY, "0 8 * * *", "0 20 * * *"),
    ],
)
def test_how_cron_is_told(hours: BusyHours, begin: str, end: str) -> None:
    assert write_unix_cron(hours) == (begin, end)
