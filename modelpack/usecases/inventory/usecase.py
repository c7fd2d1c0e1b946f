"""Inventory: a product's past weeks and what is known of the next -> units that will be ordered in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modelpack.home import Home
from modelpack.progress import Progress
from modelpack.usecases.base import Baseline, Evaluation
from modelpack.usecases.inventory import own
from modelpack.usecases.inventory.data import (
    OLDER,
    TEST_FROM,
    USUAL,
    VALIDATION_FROM,
    WEEKS,
    first_day,
    load,
    split,
)
from modelpack.usecases.online_retail import SHOP
from modelpack.usecases.own_data.schema import OwnData
from modelpack.usecases.packages import DataPackage, fetch
from modelpack.usecases.sampling import pick_evenly
from modelpack.usecases.tabular.frame import AMOUNT, Column, Number, Part, Split
from modelpack.usecases.tabular.hyperparameters import Boosting, Dense
from modelpack.usecases.tabular.usecase import SAMPLES, TabularUseCase, by_wmape, instance


class Inventory(TabularUseCase):
    """Demand per product and week by wMAPE.

    wMAPE rewards the median, and most weeks' median lies below their mean: the forecasts of all products together
    are too low (`bias` in the record). To fill a warehouse, add a safety stock to them.
    """

    name: ClassVar[str] = "inventory"
    title: ClassVar[str] = "how much of each product will be ordered next week"
    epochs: ClassVar[int] = 6
    metric_drop: ClassVar[float] = 0.005
    task: ClassVar[str] = AMOUNT
    own_data: ClassVar[OwnData] = own.OWN
    scale: ClassVar[str | None] = "usual_units"
    packages: ClassVar[tuple[DataPackage, ...]] = (SHOP,)
    columns: ClassVar[tuple[Column, ...]] = (
        Number("usual_units", log=True),
        Number("units", USUAL, log=True),
        Number("older_units", OLDER, log=True),
        Number("middle"),
        Number("older_middle"),
        Number("recent", log=True),
        Number("largest", log=True),
        Number("orders", log=True),
        Number("weeks_ordered"),
        Number("weeks_since_order"),
        Number("weeks_on_sale"),
        Number("year_ago"),
        Number("price", log=True),
        Number("price_change"),
        Number("shop_trend"),
        Number("shop_year_ago"),
        Number("open_days"),
        Number("past_open_days"),
        Number("week_of_year"),
    )
    dense: ClassVar[Dense] = Dense(dropout=0.2)
    trees: ClassVar[Boosting] = Boosting(rounds=200, leaves=31, learning_rate=0.05, rows_per_leaf=200)
    split: ClassVar[str] = (
        f"by week: candidates trained on weeks up to {first_day(VALIDATION_FROM)}, compared on the weeks from there to "
        f"{first_day(TEST_FROM)}, the chosen one trained on both, measured on the {WEEKS - TEST_FROM} weeks from there "
        f"to {first_day(WEEKS)}, one week ahead; products chosen by weeks before validation"
    )

    def prepare(self, home: Home, progress: Progress) -> Split:
        return self.announce(split(load(fetch(SHOP, home, progress))), progress)

    def from_tables(self, tables: Mapping[str, Any], home: Home, progress: Progress) -> Split:
        return self.announce(own.load(tables), progress)

    def condense(self, tables: Mapping[str, Any]) -> Mapping[str, Any]:
        return own.condense(tables)

    def summary(self, data: Split) -> str:
        return f"{len(data.facts['codes']):,} products; product-weeks: {data.count_rows()}"

    def measure(self, answers: Mapping[str, NDArray[Any]], part: Part) -> Evaluation:
        return by_wmape(answers[self.output], part)

    def baselines(self, data: Split) -> tuple[Baseline, ...]:
        rules = (
            ("eight-week mean", "what was ordered of the product a week over the last eight weeks", "mean"),
            ("eight-week median", "the middle one of these weeks, which wMAPE rewards", "median"),
            ("same week a year ago", "what was ordered of the product 52 weeks earlier", "same_week"),
        )
        return tuple(
            Baseline(name, about, self.measure({self.output: data.test.more[key]}, data.test), must_beat=True)
            for name, about, key in rules
        )

    def choose_shown(self, data: Split) -> NDArray[np.int64]:
        """Products that sell, spread over the held-out weeks."""
        often = np.flatnonzero(data.test.inputs["usual_units"] >= 20)
        return often[pick_evenly(len(often), SAMPLES)]

    def sample(self, data: Split, row: int) -> dict[str, Any]:
        part = data.test
        place, usual = int(part.more["product"][row]), float(part.inputs["usual_units"][row])
        recent = ", ".join(f"{share * max(usual, 0.5):.0f}" for share in part.inputs["units"][row][-4:])
        product = f"{data.facts['codes'][place]} {data.facts['names'][place]}"
        return {
            "request": {"instances": [instance(part, row)]},
            "about": f"{product}, week of {first_day(part.groups[row])}",
            "before": [
                f"ordered in the last four weeks: {recent}",
                f"a week over eight weeks: {usual:.0f}",
                f"ordered in that week: {part.target[row]:.0f}",
            ],
        }
