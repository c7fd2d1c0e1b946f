"""A shop's own order lines in place of Online Retail II: the last 105 whole weeks, cut at the same weeks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from modelpack.usecases.inventory.data import (
    FEWEST_WEEKS,
    TEST_FROM,
    VALIDATION_FROM,
    WEEKS,
    YEAR,
    WeeklySales,
    split,
    weekly,
)
from modelpack.usecases.own_data.expressions import add_up, days_old
from modelpack.usecases.own_data.reading import enough, optional
from modelpack.usecases.own_data.schema import Field, OwnData, Table
from modelpack.usecases.tabular.frame import Split, keep_here

if TYPE_CHECKING:
    import pandas as pd

FEWEST_PRODUCTS = 20

OWN = OwnData(
    (
        Table(
            "orders",
            "one line for each product of an order; cancelled ones left out",
            (
                Field("order", "text", "which order", identifies=True),
                Field("product", "text", "what was ordered", identifies=True),
                Field("time", "time", "when"),
                Field("units", "number", "how many", low=0),
                Field("price", "number", "of one", low=0),
                Field("name", "text", "the product in words, for `predict`", False),
            ),
            fewest=1000,
        ),
    ),
    (
        f"The last {WEEKS} whole weeks count: trained up to week {VALIDATION_FROM}, compared up to {TEST_FROM}, "
        "measured on the rest.",
        f"Products ordered in at least {FEWEST_WEEKS} of the year before week {VALIDATION_FROM}.",
    ),
)


def condense(tables: Mapping[str, Any]) -> Mapping[str, Any]:
    """`orders`: of each product that is ordered often, by week, the units, what was paid and in how many orders;
    `shop`: all units and the days with orders, by week; `names`: each product's most frequent words, the least of those
    where several are. Ibis tables; weeks are counted as in `WeeklySales`, earlier ones are below 0."""
    orders = tables["orders"]
    lines = orders.mutate(day=orders.time.date(), week=WEEKS - 1 - days_old(orders.time) // 7)
    sold = (lines.week >= 0) & (lines.units > 0) & (lines.price > 0)
    shop = lines.group_by("week").aggregate(
        days=lines.day.nunique(where=sold),
        units=add_up(sold.ifelse(lines.units, 0)),
        first=lines.day.min(),
        last=lines.day.max(),
    )
    lines = lines.filter(sold)
    year = lines.filter(lines.week.between(VALIDATION_FROM - YEAR, VALIDATION_FROM - 1))
    often = year.group_by("product").having(lambda one: one.week.nunique() >= FEWEST_WEEKS).aggregate()
    lines = lines.semi_join(often, "product")
    once = lines.group_by("product", "order").aggregate(week=lines.week.min())
    counted = once.group_by("product", "week").aggregate(orders=once.count())
    by_week = lines.group_by("product", "week").aggregate(
        units=add_up(lines.units), paid=add_up(lines.units * lines.price)
    )
    found = {"orders": by_week.join(counted, ["product", "week"]), "shop": shop}
    if "name" not in lines.columns:
        return found
    words = lines.group_by("product", "name").aggregate(lines=lines.count())
    most = words.group_by("product").aggregate(lines=words.lines.max())
    best = words.semi_join(most, ["product", "lines"])
    return {**found, "names": best.group_by("product").aggregate(name=best.name.min())}


def from_weeks(tables: Mapping[str, pd.DataFrame]) -> WeeklySales:
    """What `condense` made, as products by weeks."""
    orders, shop = tables["orders"], tables["shop"]
    shop = shop[shop.week >= 0].set_index("week").reindex(range(WEEKS), fill_value=0)
    codes = np.unique(orders["product"].to_numpy(str))
    words = tables["names"].set_index("product").name if "names" in tables else {}
    place = np.searchsorted(codes, orders["product"].to_numpy(str)), orders.week.to_numpy(np.int64)

    def spread(name: str) -> Any:
        grid = np.zeros((len(codes), WEEKS))
        grid[place] = orders[name]
        return grid

    units, paid = spread("units"), spread("paid")
    price = np.full(units.shape, np.nan)
    np.divide(paid, units, out=price, where=units > 0)
    return WeeklySales(
        codes=tuple(codes.tolist()),
        names=tuple(" ".join(words.get(code, code).split()).capitalize() for code in codes),
        units=units,
        price=price,
        orders=spread("orders"),
        shop=shop.units.to_numpy(np.float64),
        days=shop.days.to_numpy(np.float64),
    )


def load(tables: Mapping[str, pd.DataFrame]) -> Split:
    """Products by weeks, as from the use case's own data, of order lines or of what `condense` made of them. Raises
    TooLittle."""
    if "shop" in tables:
        first, last = tables["shop"]["first"].min(), tables["shop"]["last"].max()
    else:
        day = tables["orders"].time.dt.normalize()
        first, last = day.min(), day.max()
    enough(((last - first).days + 1) // 7, WEEKS, "weeks of orders")
    data = from_weeks(tables) if "shop" in tables else from_lines(tables["orders"])
    enough(len(data.codes), FEWEST_PRODUCTS, f"products ordered in {FEWEST_WEEKS} weeks of that year")
    return keep_here(split(data))


def from_lines(orders: pd.DataFrame) -> WeeklySales:
    """Lines of orders as products by weeks."""
    day = orders.time.dt.normalize()
    lines = orders.assign(
        Invoice=orders["order"],
        code=orders["product"],
        Quantity=orders.units,
        Price=orders.price,
        Description=optional(orders, "name", orders["product"]),
        day=day,
        week=WEEKS - 1 - (day.max() - day).dt.days // 7,
    )
    return weekly(lines[(lines.week >= 0) & (lines.Quantity > 0) & (lines.Price > 0)])
