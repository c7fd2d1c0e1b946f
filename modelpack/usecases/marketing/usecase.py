"""Marketing: a household and a campaign about to start -> the chance that it redeems one of the coupons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modelpack.home import Home
from modelpack.progress import Progress
from modelpack.usecases.base import Baseline, Evaluation
from modelpack.usecases.complete_journey import PACKAGE
from modelpack.usecases.marketing import own
from modelpack.usecases.marketing.data import TYPES, WINDOWS, load
from modelpack.usecases.marketing.households import split, with_known_labels
from modelpack.usecases.own_data.schema import OwnData
from modelpack.usecases.packages import DataPackage, fetch
from modelpack.usecases.tabular.frame import BINARY, Column, Number, Part, Split, in_turn
from modelpack.usecases.tabular.hyperparameters import Boosting, Dense
from modelpack.usecases.tabular.usecase import SAMPLES, TabularUseCase, as_often, by_auc, instance

SHRINK_TYPE, SHRINK_HOUSEHOLD = 10.0, 2.0
"""Rows' worth of the general rate that a type's and a household's past rate are drawn towards."""
PER_WEEK = ("spent", "lines", "visits", "coupon", "coupon_lines")


class Marketing(TabularUseCase):
    """Coupon redemption by AUC. Redemptions are few, and logistic regression does as well on them as larger models."""

    name: ClassVar[str] = "marketing"
    title: ClassVar[str] = "which households will redeem a coupon"
    epochs: ClassVar[int] = 8
    metric_drop: ClassVar[float] = 0.01
    task: ClassVar[str] = BINARY
    own_data: ClassVar[OwnData] = own.OWN
    packages: ClassVar[tuple[DataPackage, ...]] = (PACKAGE,)
    columns: ClassVar[tuple[Column, ...]] = (
        *(Number(f"{name}_{window}", log=True) for window in WINDOWS for name in PER_WEEK),
        Number("own_brand"),
        Number("days_since_visit", log=True),
        Number("products", log=True),
        Number("fitting_lines", log=True),
        Number("fitting_spent", log=True),
        Number("fitting_share"),
        Number("sent", log=True),
        Number("redeemed", log=True),
        Number("sent_same_type", log=True),
        Number("redeemed_same_type", log=True),
        Number("days_since_redeemed", log=True),
        Number("age"),
        Number("income"),
        Number("kids"),
        Number("told"),
        Number("days"),
        Number("type_a"),
        Number("type_c"),
    )
    dense: ClassVar[Dense] = Dense(
        hidden=(32,), dropout=0.3, learning_rate=2e-3, weight_decay=0.05, batch=128
    )
    ridge: ClassVar[float] = 100.0
    trees: ClassVar[Boosting] = Boosting(rounds=150, leaves=7, learning_rate=0.03, rows_per_leaf=50, l2=10.0)
    split: ClassVar[str] = (
        "by campaigns' starts in 2017, those still open on 31 December left out: candidates trained on campaigns that "
        "began in February to 7 May, compared on those of 8 May to July, the chosen one trained on both, measured on "
        "those from August on; inputs rest on days before the start, and no label of training is later than the cut"
    )

    def prepare(self, home: Home, progress: Progress) -> Split:
        return self.announce(split(load(fetch(PACKAGE, home, progress))), progress)

    def from_tables(self, tables: Mapping[str, Any], home: Home, progress: Progress) -> Split:
        return self.announce(own.load(tables), progress)

    def condense(self, tables: Mapping[str, Any]) -> Mapping[str, Any]:
        return own.condense(tables)

    def summary(self, data: Split) -> str:
        return f"households in campaigns: {data.count_rows('redeemed')}"

    def measure(self, answers: Mapping[str, NDArray[Any]], part: Part) -> Evaluation:
        return by_auc(answers, part, best_tenth(part.target > 0, answers["probability"]))

    def label_as_known(self, part: Part) -> Part:
        return with_known_labels(part)

    def baselines(self, data: Split) -> tuple[Baseline, ...]:
        from modelpack.progress import Silent
        from modelpack.usecases.tabular import boosting
        from modelpack.usecases.tabular.model import predict

        known = self.training_rows(data)
        trees = boosting.train(self.columns, BINARY, known, self.trees, 0, Silent())
        boosted, _ = predict(trees, data.test, self.column_names)
        rules = (
            (
                "type x past rate",
                "the type's rate so far times the household's, each drawn to the general",
                past_rate,
            ),
            ("type", "the type's rate so far alone", type_rate),
        )
        found = [
            Baseline(
                name, about, self.measure(as_often(rule(known, data.test), known), data.test), must_beat=True
            )
            for name, about, rule in rules
        ]
        tie = self.measure(as_often(boosted.astype(np.float64), known), data.test)
        about = "LightGBM on the same columns, reported only: what ships has to be no worse and is smaller"
        return (*found, Baseline("boosted trees", about, tie, must_beat=False))

    def choose_shown(self, data: Split) -> NDArray[np.int64]:
        """Households that redeemed and others in turn."""
        return in_turn(data.test.target > 0, SAMPLES)

    def sample(self, data: Split, row: int) -> dict[str, Any]:
        one, part = instance(data.test, row), data.test
        campaign = f"campaign {part.more['campaign'][row]} ({TYPES[part.more['type'][row]]})"
        return {
            "request": {"instances": [one]},
            "about": f"household {part.groups[row]}, {campaign}",
            "before": [
                f"spends {one[f'spent_{WINDOWS[-1]}']:.0f} a week, {one['fitting_share']:.1%} of its lines on what the "
                "coupons are for",
                f"redeemed in {one['redeemed']:.0f} of {one['sent']:.0f} campaigns before",
                f"known afterwards: {'redeemed' if part.target[row] else 'not redeemed'}",
            ],
        }


def type_rate(known: Part, asked: Part) -> NDArray[np.float64]:
    """The rate at which campaigns of the type were redeemed."""
    overall = float(known.target.mean())
    redeemed = np.bincount(known.more["type"], known.target, len(TYPES))
    sent = np.bincount(known.more["type"], minlength=len(TYPES))
    rate = (redeemed + SHRINK_TYPE * overall) / (sent + SHRINK_TYPE)
    return np.asarray(rate[asked.more["type"]], dtype=np.float64)


def past_rate(known: Part, asked: Part) -> NDArray[np.float64]:
    """The type's rate times the household's, over the general rate."""
    overall = float(known.target.mean())
    redeemed, sent = (asked.inputs[name].astype(np.float64) for name in ("redeemed", "sent"))
    own = (redeemed + SHRINK_HOUSEHOLD * overall) / (sent + SHRINK_HOUSEHOLD)
    return np.minimum(type_rate(known, asked) * own / overall, 1.0)


def best_tenth(truth: NDArray[np.bool_], probability: NDArray[Any]) -> dict[str, float]:
    """What a campaign that can only reach a tenth of the households gets: their rate over the rate of all."""
    first = np.argsort(-probability, kind="stable")[: max(len(truth) // 10, 1)]
    return {"lift_of_best_tenth": float(truth[first].mean() / truth.mean())}
