"""A shop's own shipments in place of flights: the last year, moved by whole weeks onto the year that is cut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from modelpack.usecases.logistics.data import split
from modelpack.usecases.own_data.expressions import days_old
from modelpack.usecases.own_data.reading import enough, optional
from modelpack.usecases.own_data.schema import Field, OwnData, Table
from modelpack.usecases.tabular.frame import Split, enough_of_both, keep_here

if TYPE_CHECKING:
    import pandas as pd

YEAR = 2013
FEWEST_DAYS, FEWEST_LATE = 357, 50
MEASURED = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")

OWN = OwnData(
    (
        Table(
            "shipments",
            "one line for each shipment that arrived",
            (
                Field("planned", "time", "when it was to leave, in the depot's own time"),
                Field("depot", "code", "from where"),
                Field("carrier", "code", "by whom"),
                Field("destination", "code", "where to"),
                Field("late_minutes", "number", "how late it arrived; early is below 0"),
                Field("distance", "number", "how far; default 0", False, low=0),
            ),
            fewest=5000,
        ),
        Table(
            "weather",
            "one line for each depot and hour",
            (
                Field("depot", "code", "where"),
                Field("time", "time", "the hour, in the depot's own time"),
                *(Field(name, "number", "in units of your own; default 0", False) for name in MEASURED),
            ),
            required=False,
        ),
    ),
    (
        f"At least {FEWEST_DAYS} days; the last year counts: trained on its first seven months, compared on the next "
        "two, measured on the last three.",
        "Late is more than 15 minutes. A file alone holds the shipments; with weather, a folder of both.",
    ),
)


def condense(tables: Mapping[str, Any]) -> Mapping[str, Any]:
    """The shipments of the last year, of which `load` takes those that lie in the year that is cut; Ibis tables."""
    shipments = tables["shipments"]
    return {**tables, "shipments": shipments.filter(days_old(shipments.planned) < 365)}


def load(tables: Mapping[str, pd.DataFrame]) -> Split:
    """Shipments by days, as from the use case's own data. Raises TooLittle."""
    import pandas as pd

    rows = tables["shipments"]
    last = rows.planned.max().normalize()
    enough(int((last - rows.planned.min().normalize()).days) + 1, FEWEST_DAYS, "days of shipments")
    weeks = (pd.Timestamp(YEAR, 12, 31) - last).days // 7
    moved = rows.planned + pd.Timedelta(weeks=weeks)
    flights = pd.DataFrame(
        {
            "time_hour": moved.dt.floor("h"),
            "year": moved.dt.year,
            "month": moved.dt.month,
            "day": moved.dt.day,
            "hour": moved.dt.hour,
            "minute": moved.dt.minute,
            "origin": rows.depot,
            "carrier": rows.carrier,
            "dest": rows.destination,
            "flight": np.arange(len(rows)),
            "arr_delay": rows.late_minutes,
            "distance": optional(rows, "distance", 0.0),
        }
    )
    flights = flights[flights.year == YEAR].reset_index(drop=True)
    found = split(flights, weather(tables.get("weather"), rows, weeks), {})
    for words, part in found.parts.items():
        enough_of_both(
            part.target, FEWEST_LATE, f"late shipments {words}", f"shipments {words} that were on time"
        )
    return keep_here(found)


def weather(given: pd.DataFrame | None, rows: pd.DataFrame, weeks: int) -> pd.DataFrame:
    """Weather by depot and hour, in the words of the use case's own; where there is none, nothing that could tell."""
    import pandas as pd

    if given is None:
        depots = rows.depot.unique()
        return pd.DataFrame(
            {"origin": depots, "time_hour": pd.Timestamp(YEAR, 1, 1), **dict.fromkeys(MEASURED, 0.0)}
        )
    columns = {name: optional(given, name, 0.0) for name in MEASURED}
    moved = given.time + pd.Timedelta(weeks=weeks)
    return pd.DataFrame({"origin": given.depot, "time_hour": moved.dt.floor("h"), **columns})
