"""Times with a zone: the shop's own hour is kept, and whose hour it is must be one thing.

A time that is written with an offset (`2025-03-01T17:00+01:00`), or lies in a Parquet column of a zone, is taken by
its own clock: a shop's rush hour is 17 h in summer and in winter. Offsets that no zone ever had at those moments,
or times of which some have an offset and some have none, are refused: nothing says whose hour they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

OFFSET = re.compile(r"^(.*[T ]\d[\d:.,]*?)\s*(Z|[+-]\d{2}(?::?\d{2})?)$", re.IGNORECASE)
MOST_RUNS = 400
"""Of one offset after another in time: two a year for two hundred years."""

FARTHEST = 16 * 60
"""Minutes east or west of UTC: no zone was ever farther (Manila and Alaska, before 1900)."""


@dataclass(frozen=True)
class Stretch:
    """A stretch of time with one offset (minutes east of UTC): its first and last moment, seconds since 1970."""

    first: int
    last: int
    minutes: int


@dataclass(frozen=True)
class Zone:
    """What is known of the zone of some times: its name where the file tells it, and which offset held when. No
    runs: the times have no zone."""

    name: str = ""
    runs: tuple[Stretch, ...] = ()

    @property
    def words(self) -> str:
        """For people."""
        if not self.runs:
            return "no zone"
        if self.name:
            return self.name
        offsets = sorted({one.minutes for one in self.runs})
        if offsets == [0]:
            return "UTC"
        return " and ".join(map(offset_words, offsets))


NO_ZONE = Zone()


def offset_words(minutes: int) -> str:
    """`+01:00`."""
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def minutes_of(text: str) -> int:
    """`+01:00`, `+0100`, `+01` or `Z` as minutes east of UTC."""
    if text in "Zz":
        return 0
    digits = text[1:].replace(":", "").ljust(4, "0")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    return -minutes if text[0] == "-" else minutes


def part_offsets(texts: pd.Series) -> tuple[pd.Series, NDArray[np.float64]]:
    """Each time without its offset, and the offset in minutes; NaN where it has none."""
    found = texts.str.extract(OFFSET)
    known = found[1].notna()
    if not known.any():
        return texts, np.full(len(texts), np.nan)
    of = {text: minutes_of(text) for text in found[1][known].unique()}
    offsets = found[1].map(of).to_numpy(np.float64)
    return texts.where(~known, found[0]), offsets


def zone_of(times: pd.Series, offsets: NDArray[np.float64], name: str = "") -> Zone:
    """The zone of times by their own clock, all with an offset (minutes)."""
    moments = (times.to_numpy("datetime64[s]").astype(np.int64) - offsets * 60).astype(np.int64)
    order = np.argsort(moments, kind="stable")
    moments, sorted_offsets = moments[order], offsets[order]
    borders = np.flatnonzero(np.diff(sorted_offsets)) + 1
    starts, ends = [0, *borders.tolist()], [*borders.tolist(), len(moments)]
    found = (
        Stretch(int(moments[begin]), int(moments[end - 1]), int(sorted_offsets[begin]))
        for begin, end in zip(starts[: MOST_RUNS + 1], ends[: MOST_RUNS + 1], strict=True)
    )
    return Zone(name, tuple(found))


def join_zones(zones: Sequence[Zone]) -> Zone | None:
    """One zone for all of these times; None where they can be of no one zone."""
    if all(not one.runs for one in zones):
        return NO_ZONE
    if any(not one.runs for one in zones):
        return None
    names = {one.name for one in zones if one.name}
    runs = tuple(run for one in zones for run in one.runs)
    if (
        len(names) > 1
        or len(runs) > MOST_RUNS * len(zones)
        or any(abs(run.minutes) > FARTHEST for run in runs)
    ):
        return None
    one_offset = len({run.minutes for run in runs}) == 1
    if len(zones) == 1 and names:
        return zones[0]
    held = one_offset or held_somewhere(runs, names or available_timezones())
    return Zone(next(iter(names), ""), runs) if held else None


def held_somewhere(runs: Iterable[Stretch], names: Iterable[str]) -> bool:
    """Whether some zone had each of these offsets when it is said to have held."""
    at = [(moment, timedelta(minutes=run.minutes)) for run in runs for moment in (run.first, run.last)]
    moments = [(datetime.fromtimestamp(moment, UTC), offset) for moment, offset in at]
    known = available_timezones().intersection(names)
    return any(has_held(ZoneInfo(name), moments) for name in sorted(known))


def has_held(zone: ZoneInfo, moments: Sequence[tuple[datetime, timedelta]]) -> bool:
    """Whether the zone had these offsets at these moments."""
    return all(moment.astimezone(zone).utcoffset() == offset for moment, offset in moments)


def aware(column: pd.Series) -> tuple[pd.Series, NDArray[np.float64], str]:
    """Times of a column that has a zone by their own clock, their offsets in minutes, and the zone's name."""
    import pandas as pd

    kind: Any = column.dtype
    local = column.dt.tz_localize(None)
    apart = local - column.dt.tz_convert("UTC").dt.tz_localize(None)
    return local, (apart / pd.Timedelta(minutes=1)).to_numpy(np.float64), str(kind.tz)
