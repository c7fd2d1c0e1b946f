"""What is known of a household on the day before a campaign starts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelpack.usecases.marketing.data import (
    FIRST_START,
    LAST_DAY,
    NEVER,
    TEST_FROM,
    TYPES,
    VALIDATION_FROM,
    WINDOWS,
    Households,
    Ids,
)
from modelpack.usecases.tabular.frame import Part, Split, by_time, stack

Numbers = dict[str, NDArray[Any]]
WEEK = 7


def split(data: Households) -> Split:
    """Rows of all campaigns that can be judged, by start; a household's rows belong together."""
    campaigns = data.campaigns
    judged = (campaigns["start"] >= FIRST_START) & (campaigns["end"] <= LAST_DAY)
    places = np.flatnonzero(judged)[np.argsort(campaigns["start"][judged], kind="stable")]
    every = stack([rows(data, int(place)) for place in places])
    labels = {"0": "send no coupon", "1": "likely to redeem"}
    return by_time(every, every.more["start"], VALIDATION_FROM, TEST_FROM, labels)


def rows(data: Households, place: int) -> Part:
    """One row for each household that the campaign at this place was sent to."""
    campaign, start, end = (int(data.campaigns[name][place]) for name in ("campaign", "start", "end"))
    kind = int(data.campaigns["type"][place])
    household = np.sort(data.sent["household"][data.sent["campaign"] == campaign])
    numbers = {
        **purchases(data, household, start),
        **fitting(data, household, campaign, start),
        **past_campaigns(data, household, start, kind),
        **people(data, household),
        "days": np.full(len(household), end - start),
        "type_a": np.full(len(household), kind == TYPES.index("Type A")),
        "type_c": np.full(len(household), kind == TYPES.index("Type C")),
    }
    inputs = {name: np.asarray(array, dtype=np.float32) for name, array in numbers.items()}
    mine = data.redeemed["campaign"] == campaign
    day = np.full(len(household), NEVER, dtype=np.int64)
    known = np.isin(data.redeemed["household"][mine], household)
    day[np.searchsorted(household, data.redeemed["household"][mine][known])] = data.redeemed["day"][mine][
        known
    ]
    more = {
        "start": np.full(len(household), start),
        "campaign": np.full(len(household), campaign),
        "type": np.full(len(household), kind),
        "redeemed": day,
    }
    return Part(inputs, (day < NEVER).astype(np.float32), household, more)


def with_known_labels(part: Part) -> Part:
    """The part with the labels that were known when its data was cut: at the start of the validation campaigns, or
    of the test campaigns when the validation campaigns are in it. What was redeemed later was not redeemed yet."""
    cut = TEST_FROM if part.more["start"].max() >= VALIDATION_FROM else VALIDATION_FROM
    return Part(part.inputs, (part.more["redeemed"] < cut).astype(np.float32), part.groups, part.more)


def totals(household: Ids, who: Ids, amount: NDArray[Any] | None = None) -> NDArray[np.float64]:
    """Amounts (or counts) added up per household; `household` is sorted."""
    at = np.searchsorted(household, who).clip(max=len(household) - 1)
    mine = household[at] == who
    weights = None if amount is None else amount[mine]
    return np.bincount(at[mine], weights, len(household)).astype(np.float64)


def purchases(data: Households, household: Ids, start: int) -> Numbers:
    """Per week: money spent, lines, days in the shop, what coupons took off; how long ago the last visit was."""
    found: Numbers = {}
    end = np.searchsorted(data.lines["day"], start)
    for window in WINDOWS:
        begin = np.searchsorted(data.lines["day"], start - window)
        lines = {name: array[begin:end] for name, array in data.lines.items()}
        weeks = min(window, start) / WEEK
        visits = np.unique(lines["household"] * NEVER + lines["day"]) // NEVER
        found |= {
            f"spent_{window}": totals(household, lines["household"], lines["spent"]) / weeks,
            f"lines_{window}": totals(household, lines["household"]) / weeks,
            f"visits_{window}": totals(household, visits) / weeks,
            f"coupon_{window}": totals(household, lines["household"], lines["coupon"]) / weeks,
            f"coupon_lines_{window}": totals(household, lines["household"], lines["coupon"] > 0) / weeks,
        }
    own = totals(household, lines["household"], lines["own"])
    last = np.full(len(household), -1.0)
    at = np.searchsorted(household, data.lines["household"][:end]).clip(max=len(household) - 1)
    mine = household[at] == data.lines["household"][:end]
    np.maximum.at(last, at[mine], data.lines["day"][:end][mine])
    return {
        **found,
        "own_brand": own / np.maximum(found[f"lines_{WINDOWS[-1]}"] * weeks, 1),
        "days_since_visit": start - last,
    }


def fitting(data: Households, household: Ids, campaign: int, start: int) -> Numbers:
    """How much of what the campaign's coupons are for the household bought before."""
    products = data.coupons["product"][data.coupons["campaign"] == campaign]
    end = np.searchsorted(data.lines["day"], start)
    fits = np.isin(data.lines["product"][:end], products)
    who, spent = data.lines["household"][:end][fits], data.lines["spent"][:end][fits]
    weeks = max(start, WEEK) / WEEK
    everything = totals(household, data.lines["household"][:end])
    return {
        "products": np.full(len(household), len(products)),
        "fitting_lines": totals(household, who) / weeks,
        "fitting_spent": totals(household, who, spent) / weeks,
        "fitting_share": totals(household, who) / np.maximum(everything, 1),
    }


def past_campaigns(data: Households, household: Ids, start: int, kind: int) -> Numbers:
    """Campaigns sent before, and redeemed in before: all, and of the same type."""
    sent, redeemed = data.sent, data.redeemed
    place = np.searchsorted(data.campaigns["campaign"], sent["campaign"])
    before = data.campaigns["start"][place] < start
    same = data.campaigns["type"][place] == kind
    done = redeemed["day"] < start
    same_done = done & (
        data.campaigns["type"][np.searchsorted(data.campaigns["campaign"], redeemed["campaign"])] == kind
    )
    last = np.full(len(household), -1.0)
    at = np.searchsorted(household, redeemed["household"][done]).clip(max=len(household) - 1)
    mine = household[at] == redeemed["household"][done]
    np.maximum.at(last, at[mine], redeemed["day"][done][mine])
    return {
        "sent": totals(household, sent["household"][before]),
        "redeemed": totals(household, redeemed["household"][done]),
        "sent_same_type": totals(household, sent["household"][before & same]),
        "redeemed_same_type": totals(household, redeemed["household"][same_done]),
        "days_since_redeemed": np.where(last < 0, LAST_DAY, start - last),
    }


def people(data: Households, household: Ids) -> Numbers:
    """What a third of the households told of themselves; -1 where they did not."""
    at = np.searchsorted(data.people["household"], household).clip(max=len(data.people["household"]) - 1)
    told = data.people["household"][at] == household
    return {name: np.where(told, data.people[name][at], -1) for name in ("age", "income", "kids")} | {
        "told": told
    }
