"""Pricing: a product, its past weeks and next week's plans -> units at a price, and the price that pays best."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modelpack.formats.signature import Signature
from modelpack.home import Home
from modelpack.progress import Progress
from modelpack.server.signature import Guardrail, Tensor
from modelpack.usecases.base import Baseline, Evaluation
from modelpack.usecases.complete_journey import PACKAGE
from modelpack.usecases.own_data.schema import OwnData
from modelpack.usecases.packages import DataPackage, fetch
from modelpack.usecases.pricing import own
from modelpack.usecases.pricing.data import PAST, PLANNED, TEST_FROM, VALIDATION_FROM, WEEKS, load, split
from modelpack.usecases.pricing.elasticity import FURTHEST
from modelpack.usecases.sampling import pick_evenly
from modelpack.usecases.tabular import measures
from modelpack.usecases.tabular.frame import AMOUNT, Category, Column, Number, Part, Split, join
from modelpack.usecases.tabular.hyperparameters import Boosting, Dense
from modelpack.usecases.tabular.usecase import SAMPLES, TabularUseCase, by_wmape, instance

if TYPE_CHECKING:
    from modelpack.usecases.tabular.model import Tabular
    from modelpack.usecases.tabular.selection import Selected

ROUNDED = 0.005
"""How far outside its bounds a price may come to lie by rounding."""
ASSUMED_COST = 0.7
"""Share of the usual price that samples take as cost where they show a recommendation; the data holds no cost."""


class Pricing(TabularUseCase):
    """Weekly demand by wMAPE, and a price recommender with bounds."""

    name: ClassVar[str] = "pricing"
    title: ClassVar[str] = "what sells at which price, and which price to set"
    epochs: ClassVar[int] = 10
    passes: ClassVar[tuple[str, ...]] = ("prune-channels", "distil", "onnx", "half-weights")
    metric_drop: ClassVar[float] = 0.005
    task: ClassVar[str] = AMOUNT
    own_data: ClassVar[OwnData] = own.OWN
    scale: ClassVar[str | None] = "usual_units"
    output: ClassVar[str] = "units_at_price"
    packages: ClassVar[tuple[DataPackage, ...]] = (PACKAGE,)
    columns: ClassVar[tuple[Column, ...]] = (
        Category("product", 8),
        Category("department", 4),
        Number("units", PAST, log=True),
        Number("usual_units", log=True),
        Number("displays", PLANNED),
        Number("mailers", PLANNED),
        Number("usual_displays"),
        Number("usual_mailers"),
        Number("usual_price", log=True),
        Number("last_price", log=True),
        Number("week"),
    )
    dense: ClassVar[Dense] = Dense(hidden=(128, 64), dropout=0.1, learning_rate=2e-3, batch=256)
    trees: ClassVar[Boosting] = Boosting(rounds=300, leaves=31, learning_rate=0.05, rows_per_leaf=50)
    split: ClassVar[str] = (
        f"by week of 2017: candidates trained on weeks up to {VALIDATION_FROM - 1}, compared on weeks "
        f"{VALIDATION_FROM}-{TEST_FROM - 1}, the chosen one trained on both, measured on weeks {TEST_FROM}-{WEEKS}; "
        "products chosen by the weeks before validation"
    )
    tolerance: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "units_at_price": {"kind": "close", "rtol": 0.1, "atol": 0.2},
        "best_price": {"kind": "close", "rtol": 0.001, "atol": 0.001},
        "units_at_best": {"kind": "close", "rtol": 0.1, "atol": 0.2},
    }

    guardrails: ClassVar[tuple[Guardrail, ...]] = (
        Guardrail(
            "price_out_of_bounds",
            "best_price",
            low=1 - FURTHEST - ROUNDED,
            high=1 + FURTHEST + ROUNDED,
            relative_to="usual_price",
        ),
    )

    def prepare(self, home: Home, progress: Progress) -> Split:
        return self.announce(split(load(fetch(PACKAGE, home, progress))), progress)

    def from_tables(self, tables: Mapping[str, Any], home: Home, progress: Progress) -> Split:
        return self.announce(own.load(tables), progress)

    def condense(self, tables: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**tables, "sales": own.condense(tables["sales"])}

    def summary(self, data: Split) -> str:
        return f"{len(np.unique(data.test.inputs['product'])):,} products; product-weeks: {data.count_rows()}"

    def finish(self, selected: Selected, data: Split) -> Tabular:
        from modelpack.usecases.pricing.elasticity import estimate
        from modelpack.usecases.pricing.model import with_prices

        model = super().finish(selected, data)
        return with_prices(model, estimate(join(data.training, data.validation)))

    def module(self) -> type[Tabular]:
        from modelpack.usecases.pricing.model import PriceModel

        return PriceModel

    def measure(self, answers: Mapping[str, NDArray[Any]], part: Part) -> Evaluation:
        return by_wmape(answers[self.output], part)

    def baselines(self, data: Split) -> tuple[Baseline, ...]:
        four = self.measure({self.output: data.test.more["four_weeks"]}, data.test)
        eight = self.measure({self.output: data.test.inputs["usual_units"]}, data.test)
        return (
            Baseline(
                "four-week mean",
                "what the product sold a week over the last four weeks",
                four,
                must_beat=True,
            ),
            Baseline("eight-week mean", "the same over eight weeks", eight, must_beat=True),
        )

    def further_figures(self, model: Tabular, data: Split) -> Mapping[str, float]:
        """Does the price response hold on held-out weeks that sold something, where the price paid is known?"""
        from modelpack.usecases.tabular.model import predict

        sold = data.test.take(np.isfinite(data.test.more["paid"]))
        names = [tensor.name for tensor in self.signature().inputs]
        plain, _, _ = predict(model, sold, names)
        paid = Part({**sold.inputs, "price": sold.more["paid"].astype(np.float32)}, sold.target, sold.groups)
        truth = sold.target.astype(np.float64)
        slope = model.state_dict()["elasticity"].numpy()[1:]
        return {
            "sold_weeks_wmape_at_usual_price": float(measures.wmape(truth, plain).mean()),
            "sold_weeks_wmape_at_price_paid": float(
                measures.wmape(truth, predict(model, paid, names)[0]).mean()
            ),
            "elasticity_median": float(np.median(slope)),
            "elasticity_10th": float(np.quantile(slope, 0.1)),
            "elasticity_90th": float(np.quantile(slope, 0.9)),
        }

    def signature(self) -> Signature:
        asked = (Tensor("price", "FP32", (-1,), 0), Tensor("cost", "FP32", (-1,), 0))
        names = (self.output, "best_price", "units_at_best")
        return Signature(
            (*(column.tensor for column in self.columns), *asked),
            tuple(Tensor(name, "FP32", (-1,)) for name in names),
        )

    def choose_shown(self, data: Split) -> NDArray[np.int64]:
        """Products that sell, spread over the held-out weeks."""
        often = np.flatnonzero(data.test.inputs["usual_units"] >= 5)
        return often[pick_evenly(len(often), SAMPLES)]

    def sample(self, data: Split, row: int) -> dict[str, Any]:
        one = instance(data.test, row)
        one["cost"] = round(one["usual_price"] * ASSUMED_COST, 2)
        sold, recent = int(data.test.target[row]), ", ".join(f"{units:.0f}" for units in one["units"][-4:])
        name, week, cost = data.names[str(one["product"])], int(one["week"]), one["cost"]
        return {
            "request": {"instances": [one]},
            "about": f"{name}, week {week}, at an assumed cost of {cost:.2f}: "
            "units at the usual price; best price; units there",
            "before": [
                f"sold in the last four weeks: {recent}",
                f"usual price {one['usual_price']:.2f}",
                f"stores with a display planned {one['displays'][-1]:.0%}, in the mailer {one['mailers'][-1]:.0%}",
                f"sold in that week: {sold}",
            ],
        }
