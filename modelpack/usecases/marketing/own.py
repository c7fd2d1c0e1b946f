"""A shop's own campaigns in place of Complete Journey's: the last year, moved onto the year that is cut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from modelpack.usecases.marketing.data import (
    FIRST_START,
    LAST_DAY,
    TEST_FROM,
    TYPES,
    VALIDATION_FROM,
    Households,
    Ids,
)
from modelpack.usecases.marketing.households import split, with_known_labels
from modelpack.usecases.own_data.expressions import days_old
from modelpack.usecases.own_data.reading import TooLittle, enough, optional
from modelpack.usecases.own_data.schema import Field, OwnData, Table
from modelpack.usecases.tabular.frame import Split, enough_of_both, keep_here

if TYPE_CHECKING:
    import pandas as pd

FEWEST_CUSTOMERS = 30
"""That redeemed, and that did not, in each part."""
NOBODY = -1

OWN = OwnData(
    (
        Table(
            "purchases",
            "one line for each product in a basket",
            (
                Field("customer", "text", "who bought", identifies=True),
                Field("product", "text", "what was bought", identifies=True),
                Field("time", "time", "when"),
                Field("spent", "number", "money paid for the line", low=0),
                Field("coupon", "number", "money that a coupon took off; default 0", False, low=0),
                Field("own_brand", "yes", "1 for the shop's own brand; default 0", False),
            ),
            fewest=1000,
        ),
        Table(
            "campaigns",
            "one line for each campaign",
            (
                Field("campaign", "text", "which", once=True, identifies=True),
                Field("start", "time", "its first day"),
                Field("end", "time", "the last day on which its coupons were taken", from_column="start"),
                Field("type", "text", f"at most {len(TYPES)} kinds, in words of your own", False),
            ),
        ),
        Table(
            "sent",
            "one line for each customer whom a campaign was sent to",
            (
                Field("customer", "text", "whom", identifies=True),
                Field("campaign", "text", "which", among="campaigns.campaign", identifies=True),
            ),
            fewest=100,
        ),
        Table(
            "redeemed",
            "one line for each coupon that was redeemed",
            (
                Field("customer", "text", "by whom", identifies=True),
                Field("campaign", "text", "of which", among="campaigns.campaign", identifies=True),
                Field("time", "time", "when"),
            ),
        ),
        Table(
            "coupons",
            "what the coupons of a campaign are for",
            (
                Field("campaign", "text", "which", among="campaigns.campaign", identifies=True),
                Field("product", "text", "one of the products", identifies=True),
            ),
            required=False,
        ),
        Table(
            "people",
            "what customers told of themselves",
            (
                Field("customer", "text", "who", once=True, identifies=True),
                *(
                    Field(name, "number", "a number or a rank; default: not told", False, low=0)
                    for name in ("age", "income", "kids")
                ),
            ),
            required=False,
        ),
    ),
    (
        f"Purchases of at least {LAST_DAY + 1} days; the last {LAST_DAY + 1} count. Campaigns by their start: trained "
        f"on days {FIRST_START + 1} to {VALIDATION_FROM}, compared up to day {TEST_FROM}, measured on the rest; those "
        "still open on the last day are left out.",
        f"At least {FEWEST_CUSTOMERS} customers who redeemed and {FEWEST_CUSTOMERS} who did not in each of these.",
        "A coupon redeemed before its campaign's start, or by somebody whom it was not sent to, does not count.",
    ),
)


def condense(tables: Mapping[str, Any]) -> Mapping[str, Any]:
    """The purchases of the last year by those whom a campaign was sent to, and when all purchases were made; Ibis
    tables."""
    bought = tables["purchases"]
    recent = bought.filter(days_old(bought.time) <= LAST_DAY).semi_join(tables["sent"], "customer")
    made = bought.aggregate(first=bought.time.min(), last=bought.time.max())
    return {**tables, "purchases": recent, "made": made}


def load(tables: Mapping[str, pd.DataFrame]) -> Split:
    """Customers in campaigns, as from the use case's own data. Raises TooLittle."""
    times = tables["made"].iloc[0] if "made" in tables else tables["purchases"].time
    first, last = times.min().normalize(), times.max().normalize()
    enough(int((last - first).days) + 1, LAST_DAY + 1, "days of purchases")
    households = number_tables(tables, last)
    enough_campaigns(households, last)
    data = split(households)
    answers = {
        "to train on": with_known_labels(data.training).target,
        "to choose by": with_known_labels(data.validation).target,
        "held out": data.test.target,
    }
    for words, answer in answers.items():
        enough_of_both(answer, FEWEST_CUSTOMERS, f"customers who redeemed {words}", f"who did not, {words}")
    return keep_here(data)


def number_tables(tables: Mapping[str, pd.DataFrame], last: pd.Timestamp) -> Households:
    """The tables as numbers, their days counted so that the last one is the last of the year that is cut."""
    customer = numbers_of(tables, "customer", ("purchases", "sent", "redeemed", "people"))
    product = numbers_of(tables, "product", ("purchases", "coupons"))
    lines = tables["purchases"].assign(day=day_of(tables["purchases"].time, last))
    lines = lines[lines.day >= 0].sort_values("day", kind="stable")
    campaigns = tables["campaigns"].assign(start=day_of(tables["campaigns"].start, last))
    campaigns = campaigns[campaigns.start >= 0].sort_values("campaign")
    number = {name: place for place, name in enumerate(campaigns.campaign)}
    sent = tables["sent"].drop_duplicates(["customer", "campaign"])
    sent = sent[sent.campaign.isin(number)]
    coupons = tables["coupons"].drop_duplicates(["campaign", "product"]) if "coupons" in tables else None
    redeemed = redemptions(tables["redeemed"], sent, campaigns, last)
    return Households(
        lines={
            "household": encode(lines.customer, customer),
            "product": encode(lines["product"], product),
            "day": lines.day.to_numpy(np.int64),
            "spent": lines.spent.to_numpy(np.float64),
            "coupon": np.asarray(optional(lines, "coupon", np.zeros(len(lines))), dtype=np.float64),
            "own": np.asarray(optional(lines, "own_brand", np.zeros(len(lines))), dtype=np.float64),
        },
        sent={"household": encode(sent.customer, customer), "campaign": encode(sent.campaign, number)},
        redeemed={
            "household": encode(redeemed.customer, customer),
            "campaign": encode(redeemed.campaign, number),
            "day": redeemed.day.to_numpy(np.int64),
        },
        campaigns={
            "campaign": np.arange(len(campaigns)),
            "type": kinds(campaigns),
            "start": campaigns.start.to_numpy(np.int64),
            "end": day_of(campaigns.end, last).to_numpy(np.int64),
        },
        coupons=of_campaigns(coupons, number, product),
        people=demographics(tables.get("people"), customer),
    )


def redemptions(
    given: pd.DataFrame, sent: pd.DataFrame, campaigns: pd.DataFrame, last: pd.Timestamp
) -> pd.DataFrame:
    """The first of each customer and campaign, of those whom it was sent to and from its start on, by day."""
    rows = given.assign(day=day_of(given.time, last)).sort_values("day", kind="stable")
    rows = rows.merge(sent[["customer", "campaign"]]).merge(campaigns[["campaign", "start"]])
    return (
        rows[rows.day >= rows.start]
        .drop_duplicates(["customer", "campaign"])
        .sort_values("day", kind="stable")
    )


def of_campaigns(
    coupons: pd.DataFrame | None, number: Mapping[str, int], product: Mapping[str, int]
) -> dict[str, Ids]:
    """Which products each campaign's coupons are for; none where nothing is told of it."""
    if coupons is None:
        nothing = np.zeros(0, dtype=np.int64)
        return {"campaign": nothing, "product": nothing}
    kept = coupons[coupons.campaign.isin(number)]
    return {"campaign": encode(kept.campaign, number), "product": encode(kept["product"], product)}


def demographics(people: pd.DataFrame | None, customer: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    """What customers told of themselves, by number; where there is no such table, of nobody."""
    if people is None:
        return {name: np.array([NOBODY]) for name in ("household", "age", "income", "kids")}
    household = encode(people.customer, customer)
    order = np.argsort(household)
    missing = np.full(len(people), NOBODY)
    return {"household": household[order]} | {
        name: np.asarray(optional(people, name, missing))[order] for name in ("age", "income", "kids")
    }


def kinds(campaigns: pd.DataFrame) -> Ids:
    """The place of each campaign's type among all. Raises TooLittle for more types than are told apart."""
    found, names = optional(campaigns, "type", campaigns.campaign.map(lambda _: "")).factorize(sort=True)
    if len(names) > len(TYPES):
        raise TooLittle(
            f"campaigns: {len(names)} types; at most {len(TYPES)} are told apart",
            "put types that are alike together",
        )
    return np.asarray(found, dtype=np.int64)


def enough_campaigns(households: Households, last: pd.Timestamp) -> None:
    """Raises TooLittle, with the days, when no campaign began in one of the parts and was over on the last day."""
    start = households.campaigns["start"][households.campaigns["end"] <= LAST_DAY]
    cuts = (FIRST_START, VALIDATION_FROM, TEST_FROM, LAST_DAY + 1)
    for words, begin, end in zip(("train on", "choose by", "measure on"), cuts[:-1], cuts[1:], strict=True):
        if not ((start >= begin) & (start < end)).any():
            raise TooLittle(
                f"campaigns: none to {words}: none that was over on {date_of(LAST_DAY, last)}, the last day of the "
                f"purchases, began from {date_of(begin, last)} to {date_of(end - 1, last)}",
                "campaigns and purchases of the same year are wanted",
            )


def numbers_of(tables: Mapping[str, pd.DataFrame], column: str, names: tuple[str, ...]) -> dict[str, int]:
    """A number for each value of the column in these tables, in order of the values."""
    every = {value for name in names if name in tables for value in tables[name][column].unique()}
    return {value: place for place, value in enumerate(sorted(every))}


def encode(values: pd.Series, number: Mapping[str, int]) -> Ids:
    """The number of each value."""
    return np.asarray(values.map(number), dtype=np.int64)


def day_of(times: pd.Series, last: pd.Timestamp) -> pd.Series:
    """Days of the year that is cut, from 0."""
    return (times.dt.normalize() - last).dt.days + LAST_DAY


def date_of(day: int, last: pd.Timestamp) -> str:
    """The shop's own date of such a day."""
    import pandas as pd

    return str((last + pd.Timedelta(days=day - LAST_DAY)).date())
