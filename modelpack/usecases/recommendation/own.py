"""A shop's own purchases in place of Complete Journey's: the same baskets, the same split by weeks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from modelpack.usecases.own_data.reading import enough, optional
from modelpack.usecases.own_data.schema import Field, OwnData, Table
from modelpack.usecases.recommendation.data import LAST_TRAINING_WEEK, Ids, Purchases, split

if TYPE_CHECKING:
    import pandas as pd

HELD_OUT_SHARE = 0.08
"""Of the weeks, the last; at least one."""
FEWEST_WEEKS, FEWEST_PRODUCTS, FEWEST_TRAINING, FEWEST_HELD_OUT = 8, 50, 500, 200
MADE, MADE_LENGTH = 8, 20
MOST_PURCHASES = 10_000_000
"""That training takes; of more, those of whole customers are drawn. The demonstration has 1.4 million."""
PRIME, MULTIPLIER = 2**31 - 1, 742_938_285

OWN = OwnData(
    (
        Table(
            "purchases",
            "one line for each product in a basket",
            (
                Field("customer", "whole", "who bought", low=1, identifies=True),
                Field("product", "whole", "what was bought", low=1, identifies=True),
                Field("time", "time", "when"),
                Field(
                    "basket",
                    "text",
                    "which lines were bought together; default: a customer's day",
                    False,
                    identifies=True,
                ),
                Field("name", "text", "the product in words, for `predict`", False),
            ),
            fewest=1000,
        ),
    ),
    (
        f"The last {HELD_OUT_SHARE:.0%} of the weeks are held out (at least one); at least {FEWEST_WEEKS} weeks.",
        "A product bought fewer than 20 times in training weeks is not recommended.",
        f"Of more than {MOST_PURCHASES // 10**6} million purchases (data.from) whole customers are drawn.",
    ),
    "the shop's own data, read on the machine that packed; no basket of it is in the image, but ids of customers and "
    "products that the model knows are, and the products' names beside it",
)


@dataclass(frozen=True)
class OwnPurchases(Purchases):
    """Purchases of which no household's history may leave this machine."""


def condense(purchases: Any, most: int = MOST_PURCHASES) -> Mapping[str, Any]:
    """The purchases with a number for each basket, and each product's words once; Ibis tables. Of more purchases than
    `most`, those of about as many customers as make so many."""
    every = purchases
    purchases = draw_customers(purchases, most)
    basket = purchases.basket if "basket" in purchases.columns else purchases.time.date()
    numbered = purchases.mutate(basket=basket.dense_rank()).select("customer", "product", "time", "basket")
    if "name" not in purchases.columns:
        return {"purchases": numbered}
    return {
        "purchases": numbered,
        "products": every.group_by("product").aggregate(name=every.name.min()),
    }


def draw_customers(purchases: Any, most: int) -> Any:
    """Whole customers, by their numbers alone: the same ones in every engine, and as the shop grows fewer of those that
    were drawn before, never others. All of them where there are no more purchases than `most`.

    Source of the multiplier: Fishman and Moore, "An exhaustive analysis of multiplicative congruential random number
    generators with modulus 2^31 - 1", 1986.
    """
    place = purchases.customer % PRIME * MULTIPLIER % PRIME
    return purchases.filter(place * purchases.count().as_scalar() < PRIME * most)


def load(tables: Mapping[str, pd.DataFrame]) -> OwnPurchases:
    """Baskets and split. Raises TooLittle."""
    lines = tables["purchases"]
    day = lines.time.dt.normalize()
    week = ((day - day.min()).dt.days // 7).to_numpy(np.int64)
    weeks = int(week.max()) + 1
    enough(weeks, FEWEST_WEEKS, "weeks of purchases")
    held = max(1, round(weeks * HELD_OUT_SHARE))
    shifted = week - (weeks - held - 1) + LAST_TRAINING_WEEK
    basket = optional(lines, "basket", day.dt.strftime("%Y%m%d"))
    lines = lines.assign(week=shifted, place=basket.factorize(sort=True)[0])
    lines = lines.sort_values(["customer", "time", "place", "product"], kind="stable")
    named = tables.get("products", lines)
    words = named.groupby("product").name.min() if "name" in named else {}
    found = split(
        household=lines.customer.to_numpy(np.int64),
        basket=lines.place.to_numpy(np.int64),
        product=lines["product"].to_numpy(np.int64),
        week=lines.week.to_numpy(np.int64),
        names={int(one): str(words.get(one, one)) for one in lines["product"].unique()},
    )
    enough(len(found.catalogue), FEWEST_PRODUCTS, "products bought 20 times in training weeks")
    enough(len(found.training), FEWEST_TRAINING, "baskets with ten purchases before them to train on")
    enough(len(found.held_out), FEWEST_HELD_OUT, "such baskets to measure on")
    return OwnPurchases(**vars(found))


def make_requests(data: Purchases) -> list[dict[str, Any]]:
    """Requests of strangers with histories drawn from the catalogue: nobody's, and fit to be shown."""
    generator = np.random.default_rng(0)
    chance = data.bought / data.bought.sum()
    drawn: Sequence[Ids] = [generator.choice(data.catalogue, MADE_LENGTH, p=chance) for _ in range(MADE)]
    return [{"household": 0, "history": one.tolist()} for one in drawn]
