"""A shop's own sales in place of Complete Journey's: the last 52 whole weeks, cut at the same weeks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from modelpack.usecases.own_data.expressions import add_up, days_old
from modelpack.usecases.own_data.reading import enough, optional
from modelpack.usecases.own_data.schema import Field, OwnData, Table
from modelpack.usecases.pricing.data import (
    FEWEST_WEEKS,
    TEST_FROM,
    VALIDATION_FROM,
    WEEKS,
    WeeklyPrices,
    split,
    sum_by_week,
)
from modelpack.usecases.tabular.frame import Split, keep_here

if TYPE_CHECKING:
    import pandas as pd

FEWEST_PRODUCTS = 20

OWN = OwnData(
    (
        Table(
            "sales",
            "what was sold of a product, by day or by week, with the promotions that were planned for it",
            (
                Field("time", "time", "the day, or a day of the week"),
                Field("product", "whole", "what was sold", low=1, identifies=True),
                Field("units", "number", "how many", low=0),
                Field("revenue", "number", "money paid for them", low=0),
                Field("department", "whole", "a group of products", False, low=0),
                Field("display", "number", "share of stores with a display that week", False, low=0, high=1),
                Field("mailer", "number", "share of stores with it in the mailer", False, low=0, high=1),
                Field("name", "text", "the product in words, for `predict`", False),
            ),
            fewest=1000,
        ),
    ),
    (
        f"The last {WEEKS} whole weeks count: trained on weeks 15 to {VALIDATION_FROM - 1}, compared up to "
        f"{TEST_FROM - 1}, measured on the rest.",
        f"Products sold in at least {FEWEST_WEEKS} of the weeks before week {VALIDATION_FROM}.",
    ),
)


def condense(sales: Any) -> Any:
    """Sales by product and week, counted back from the last day, as an Ibis expression: the same columns, of which
    `load` makes what it makes of the lines. Amounts are added up as exact decimals; of a product's words and department
    the least is taken where a week has several."""
    # What a shop knows of a product or plans for it beside what it sold.
    others = {"department": "min", "name": "min", "display": "max", "mailer": "max"}
    lines = sales.mutate(day=sales.time.date(), age=days_old(sales.time) // 7)
    found = lines.group_by("product", "age").agg(
        time=lines.day.max().cast("timestamp"),
        units=add_up(lines.units),
        revenue=add_up(lines.revenue),
        **{name: getattr(lines[name], how)() for name, how in others.items() if name in lines.columns},
    )
    return found.select(*(name for name in sales.columns if name in found.columns))


def load(tables: Mapping[str, pd.DataFrame]) -> Split:
    """Products by weeks, as from the use case's own data. Raises TooLittle."""
    lines = tables["sales"]
    day = lines.time.dt.normalize()
    week = WEEKS - (day.max() - day).dt.days // 7
    enough(int((day.max() - day.min()).days) // 7 + 1, WEEKS, "weeks of sales")
    lines = lines.assign(week=week)[week >= 1]
    early = lines[(lines.week < VALIDATION_FROM) & (lines.units > 0)].groupby("product").week.nunique()
    product = np.sort(early.index[early >= FEWEST_WEEKS].to_numpy(np.int64))
    enough(len(product), FEWEST_PRODUCTS, f"products sold in {FEWEST_WEEKS} early weeks")
    lines = lines[lines["product"].isin(product)]
    first = lines.drop_duplicates("product").set_index("product").loc[product]
    words = optional(first, "name", first.index.astype(str))

    def shares(name: str) -> Any:
        held = np.zeros((len(product), WEEKS))
        if name in lines.columns:
            place = np.searchsorted(product, lines["product"].to_numpy(np.int64))
            np.maximum.at(held, (place, lines.week.to_numpy(np.int64) - 1), lines[name].to_numpy(np.float64))
        return held

    weekly = WeeklyPrices(
        product=product,
        department=np.asarray(optional(first, "department", np.zeros(len(first))), dtype=np.int64),
        units=sum_by_week(product, lines["product"], lines.week, lines.units),
        revenue=sum_by_week(product, lines["product"], lines.week, lines.revenue),
        displays=shares("display"),
        mailers=shares("mailer"),
        names={int(one): str(word) for one, word in zip(product, words, strict=True)},
    )
    return keep_here(split(weekly))
