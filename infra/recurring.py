"""Busy hours that come back every week: when they run, how AWS is told, and whether two get in each other's way.

Times are those of a wall clock in their time zone, through summer time and back. How AWS writes them:
https://docs.aws.amazon.com/autoscaling/application/userguide/scheduled-scaling-using-cron-expressions.html
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from infra.spec import WEEK, BusyHours, Period

DAY = timedelta(days=1)
YEAR = (date(2027, 1, 1), date(2027, 12, 31))
"""Any whole one will do: it has each day of the week at both sides of summer time."""


def read_time(text: str) -> time:
    """Of a day, as "18:30". Raises ValueError."""
    return datetime.strptime(text, "%H:%M").time()


def ends_next_day(hours: BusyHours) -> bool:
    return read_time(hours.end) <= read_time(hours.start)


def occur(hours: BusyHours, first: date, last: date) -> Iterator[tuple[datetime, datetime]]:
    """Begin and end, in UTC, of those that begin on the days from `first` to `last`."""
    zone, later = ZoneInfo(hours.time_zone), DAY if ends_next_day(hours) else timedelta()
    for number in range((last - first).days + 1):
        day = first + number * DAY
        if WEEK[day.weekday()] in hours.days:
            begin = datetime.combine(day, read_time(hours.start), zone)
            end = datetime.combine(day + later, read_time(hours.end), zone)
            yield begin.astimezone(UTC), end.astimezone(UTC)


def is_running(hours: BusyHours, now: datetime) -> bool:
    """`now`: an aware datetime."""
    today = now.astimezone(ZoneInfo(hours.time_zone)).date()
    return any(begin <= now < end for begin, end in occur(hours, today - DAY, today))


def write_cron(hours: BusyHours) -> tuple[str, str]:
    """The two expressions of Application Auto Scaling, of their begin and of their end, in their time zone."""
    shift = 1 if ends_next_day(hours) else 0
    return write_moment(hours, hours.start, 0), write_moment(hours, hours.end, shift)


def write_unix_cron(hours: BusyHours) -> tuple[str, str]:
    """The same in five fields, as cron has them (0 is Sunday)."""
    shift = 1 if ends_next_day(hours) else 0
    told = []
    for text, later in ((hours.start, 0), (hours.end, shift)):
        at, on = read_time(text), list_days(hours, later)
        days = "*" if len(on) == len(WEEK) else ",".join(str((one + 1) % len(WEEK)) for one in on)
        told.append(f"{at.minute} {at.hour} * * {days}")
    return told[0], told[1]


def list_days(hours: BusyHours, later: int) -> list[int]:
    """On which days of the week, Monday first, as many days `later`."""
    return sorted((WEEK.index(day) + later) % len(WEEK) for day in set(hours.days))


def write_moment(hours: BusyHours, text: str, shift: int) -> str:
    at = read_time(text)
    on = list_days(hours, shift)
    days = "* * ?" if len(on) == len(WEEK) else f"? * {','.join(WEEK[one].upper() for one in on)}"
    return f"cron({at.minute} {at.hour} {days} *)"


def find_clash(one: BusyHours, other: BusyHours | Period) -> datetime | None:
    """When the end of one would take away what the other asks for: the first moment that both run, or that one ends in
    the other's first; None: never."""
    if isinstance(other, Period):
        first, last = (moment.astimezone(UTC).date() for moment in (other.start, other.end))
        theirs = [(other.start.astimezone(UTC), other.end.astimezone(UTC))]
        ours = list(occur(one, first - 2 * DAY, last + 2 * DAY))
    else:
        ours, theirs = list(occur(one, *YEAR)), list(occur(other, *YEAR))
    ordered = sorted([(*span, 0) for span in ours] + [(*span, 1) for span in theirs])
    pairs = pairwise(ordered)
    return next((late[0] for early, late in pairs if early[2] != late[2] and late[0] <= early[1]), None)
