"""A shop's own order lines in place of Online Retail II: the last 105 whole weeks, cut at the same weeks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from modelpack.usecases.inventory.data import FEWEST_WEEKS, TEST_FROM, VALIDATION_FROM, WEEKS, split, weekly
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


def load(tables: Mapping[str, pd.DataFrame]) -> Split:
    """Products by weeks, as from the use case's own data. Raises TooLittle."""
    orders = tables["orders"]
    day = orders.time.dt.normalize()
    enough(int((day.max() - day.min()).days + 1) // 7, WEEKS, "weeks of orders")
    lines = orders.assign(
        Invoice=orders["order"],
        code=orders["product"],
        Quantity=orders.units,
        Price=orders.price,
        Description=optional(orders, "name", orders["product"]),
        day=day,
        week=WEEKS - 1 - (day.max() - day).dt.days // 7,
    )
    data = weekly(lines[(lines.week >= 0) & (lines.Quantity > 0) & (lines.Price > 0)])
    enough(len(data.codes), FEWEST_PRODUCTS, f"products ordered in {FEWEST_WEEKS} weeks of that year")
    return keep_here(split(data))
