"""Store-days in London: places that are real, orders that look made.

Source: LaptopSales, as the PyPI package `dmba` carries it: a year of a laptop chain's sales with the national grid
coordinates of shops and customers' postcodes. The coordinates are those of real postcodes; the orders look synthetic
(every configuration sells alike), and nothing says that they were delivered. So this is London's geography and
nothing else: straight lines in place of streets, and a van that holds 15.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.delivery.problem import Problem
from modelpack.usecases.packages import DataPackage

LAPTOPS = DataPackage(
    name="dmba",
    version="0.2.4",
    filename="dmba-0.2.4-py3-none-any.whl",
    sha256="a1eb44079d7b07a1d2b150e54e2aed88ba901f837673c544f8ccc637b4a6ad61",
    licence="package: MIT; the data's own terms are not restated in it",
    statement=(
        "297,572 laptop sales of 16 shops in London, 2008, from the book Data Mining for Business Analytics. Postcodes "
        "and coordinates are real, the sales look synthetic."
    ),
    url="https://pypi.org/project/dmba/0.2.4/",
)
FILE = "dmba/csvFiles/LaptopSales.csv.gz"
COLUMNS = {
    "Date": "date",
    "Store Postcode": "shop",
    "Customer Postcode": "customer",
    "customer X": "x",
    "customer Y": "y",
    "store X": "shop_x",
    "store Y": "shop_y",
}
CAPACITY = 15
FEWEST, MOST = 60, 130
DAY_OF_MONTH = 15


@dataclass(frozen=True)
class StoreDay:
    """What one shop sold to addresses on one day, as rounds to drive."""

    shop: str
    day: str
    problem: Problem


def load(wheel: Path, capacity: int = CAPACITY) -> tuple[StoreDay, ...]:
    """The 15th of every month, each shop that sold to 60 to 130 addresses; a stop is a postcode. About 4 s."""
    import pandas as pd

    with zipfile.ZipFile(wheel) as archive:
        sales = pd.read_csv(
            io.BytesIO(archive.read(FILE)), compression="gzip", usecols=list(COLUMNS), low_memory=False
        )
    sales = sales.rename(columns=COLUMNS).dropna()
    when = pd.to_datetime(sales.date, format="mixed")
    sales = sales.assign(day=when.dt.strftime("%Y-%m-%d"))[when.dt.day == DAY_OF_MONTH]
    found = []
    for (day, shop), sold in sales.groupby(["day", "shop"]):
        stops = sold.groupby("customer").agg(x=("x", "first"), y=("y", "first"), load=("x", "size"))
        if FEWEST <= len(stops) <= MOST:
            problem = Problem(
                sold[["shop_x", "shop_y"]].iloc[0].to_numpy(np.float64),
                stops[["x", "y"]].to_numpy(np.float64),
                stops.load.to_numpy(np.int64),
                capacity,
            )
            found.append(StoreDay(str(shop), str(day), problem))
    return tuple(found)
