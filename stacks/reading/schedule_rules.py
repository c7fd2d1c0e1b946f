"""Rules of `scale.schedule` and `scale.recurring`: times that are ones, names once, nothing that ends in another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from infra.recurring import find_clash, read_time
from infra.spec import WEEK, BusyHours, Period
from stacks.reading.document import Value

NAME = re.compile(r"(?! )[^:/|\x00-\x1f\x7f-\x9f]{1,100}(?<! )")
"""https://docs.aws.amazon.com/autoscaling/application/APIReference/API_PutScheduledAction.html; ours is part of one."""
SCHEDULES = ("schedule", "recurring")
Wrong = Iterator[tuple[Value, str, str]]


def schedules(scale: Value | None) -> Wrong:
    """Every broken rule of both."""
    windows, weekly = (list_entries(scale, key) for key in SCHEDULES)
    seen: dict[str, str] = {}
    for entry in (*windows, *weekly):
        name = entry.at("name")
        if name and name.data in seen:
            yield name, f"{seen[name.data]} is called {name.data} too", "each name is once in both lists"
        elif name and isinstance(name.data, str):
            seen[name.data] = entry.path
            if not NAME.fullmatch(name.data):
                yield name, f"{name.data!r} names no scheduled action", "up to 100 characters, none of : / |"
    for entry in weekly:
        yield from clock(entry)
    yield from clashes(windows, weekly)


def list_entries(scale: Value | None, key: str) -> list[Value]:
    found = scale.at(key) if scale else None
    return found.data if found and isinstance(found.data, list) else []


def times(window: Value) -> Wrong:
    moments = {}
    for word in ("from", "to"):
        at = window.at(word)
        try:
            moment = datetime.fromisoformat(at.data if at and isinstance(at.data, str) else "")
        except ValueError:
            continue
        if at and moment.tzinfo is None:
            yield at, "needs its offset from UTC", f'like "{at.data}+08:00"'
        else:
            moments[word] = moment
    end = window.at("to")
    if end and len(moments) == 2 and moments["to"] <= moments["from"]:
        yield end, f"{end.data} is not after {window.path}.from", ""


def clock(entry: Value) -> Wrong:
    for word in ("from", "to"):
        at = entry.at(word)
        try:
            read_time(str(at.data) if at else "0:00")
        except ValueError:
            if at:
                yield at, f"expected a time of the day, got {at.data!r}", 'in quotes, like "18:30"'
    first, last, zone = entry.at("from"), entry.at("to"), entry.at("time_zone")
    if first and last and first.data == last.data:
        yield last, "ends when it begins", "busy hours of a whole day are scale.min"
    try:
        ZoneInfo(str(zone.data if zone else "UTC"))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        if zone:
            hint = "a name of the IANA's, like Europe/Berlin, that this machine's tzdata has"
            yield zone, f"{zone.data!r} is no time zone here", hint


def clashes(windows: list[Value], weekly: list[Value]) -> Wrong:
    """What ends puts the range back to scale.min, whatever else runs; so no busy hours overlap with anything. Sale days
    may: each of their ends is reckoned by itself."""
    hours = [(entry, made) for entry in weekly if (made := read_hours(entry))]
    for place, (entry, one) in enumerate(hours):
        others: list[tuple[Value, BusyHours | Period]] = [*hours[:place]]
        others += [(each, found) for each in windows if (found := read_period(each))]
        for before, other in others:
            if moment := find_clash(one, other):
                what = f"overlaps with {before.path}, as at {moment:%Y-%m-%dT%H:%MZ}"
                yield entry, f"{what}: where one ends, the other's min would end too", "let them not touch"


def read_hours(entry: Value) -> BusyHours | None:
    """None where something is wrong with it, which is told elsewhere."""
    data = entry.data if isinstance(entry.data, dict) else {}
    told = {key: one.data for key in ("from", "to", "days", "time_zone") if (one := entry.at(key))}
    days = told.get("days", list(WEEK))
    with suppress(ValueError, KeyError, TypeError, OSError, ZoneInfoNotFoundError):
        begin, end, zone = str(told["from"]), str(told["to"]), str(told.get("time_zone", "UTC"))
        chosen = tuple(day for day in WEEK if day in [getattr(one, "data", one) for one in days])
        read_time(begin), read_time(end), ZoneInfo(zone)
        if data and chosen and begin != end:
            return BusyHours(name="", start=begin, end=end, days=chosen, time_zone=zone, min=1)
    return None


def read_period(entry: Value) -> Period | None:
    with suppress(ValueError, TypeError):
        moments = [datetime.fromisoformat(str(at.data)) for key in ("from", "to") if (at := entry.at(key))]
        if len(moments) == 2 and all(one.tzinfo for one in moments) and moments[0] < moments[1]:
            return Period(name="", start=moments[0], end=moments[1])
    return None
