"""Marketing: a household and a campaign about to start -> the chance that it redeems one of the coupons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

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
from modelpack.usecases.tabular import measures
from modelpack.usecases.tabular.frame import BINARY, Column, Number, Part, Split, in_turn, join
from modelpack.usecases.tabular.usecase import SAMPLES, TabularUseCase, as_often, instance

if TYPE_CHECKING:
    from modelpack.usecases.tabular.boosting import Boosting
    from modelpack.usecases.tabular.model import Tabular
    from modelpack.usecases.tabular.selection import Candidate

RIDGE = 100.0
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
    split: ClassVar[str] = (
        "by campaigns' starts in 2017, those still open on 31 December left out: candidates trained on campaigns that "
        "began in February to 7 May, compared on those of 8 May to July, the chosen one trained on both, measured on "
        "those from August on; inputs rest on days before the start, and no label of training is later than the cut"
    )

    def prepare(self, home: Home, progress: Progress) -> Split:
        data = split(load(fetch(PACKAGE, home, progress)))
        progress.note(self.summary(data))
        return data

    def from_tables(self, tables: Mapping[str, Any], home: Home, progress: Progress) -> Split:
        data = own.load(tables)
        progress.note(self.summary(data))
        return data

    def summary(self, data: Split) -> str:
        return f"households in campaigns: {data.count_rows('redeemed')}"

    def candidates(self, epochs: int) -> Sequence[Candidate]:
        from modelpack.usecases.tabular import boosting, linear, training
        from modelpack.usecases.tabular.selection import Candidate
        from modelpack.usecases.tabular.training import Dense

        dense = Dense(hidden=(32,), dropout=0.3, learning_rate=2e-3, weight_decay=0.05, batch=128)
        trees = small_trees()

        def logistic(part: Part, seed: int, progress: Progress) -> Tabular:
            return linear.train(self.columns, with_known_labels(part), RIDGE)

        def dense_layers(part: Part, seed: int, progress: Progress) -> Tabular:
            return training.train(
                self.columns, self.task, with_known_labels(part), dense, epochs, seed, progress
            )

        def boost(part: Part, seed: int, progress: Progress) -> Tabular:
            return boosting.train(self.columns, self.task, with_known_labels(part), trees, seed, progress)

        return (
            Candidate(
                "logistic regression", f"Newton's method on standardised numbers, ridge {RIDGE:g}", logistic
            ),
            Candidate("dense layers", f"PyTorch, 32, {epochs} epochs", dense_layers),
            Candidate("boosted trees", f"LightGBM, {trees.rounds} trees of {trees.leaves} leaves", boost),
        )

    def measure(self, answers: Mapping[str, NDArray[Any]], part: Part) -> Evaluation:
        truth = part.target > 0
        probability = answers["probability"].astype(np.float64)
        return Evaluation(
            metric="AUC",
            values=measures.area_under_roc(truth, probability),
            groups=part.groups,
            more={**measures.binary_figures(truth, answers), **best_tenth(truth, probability)},
        )

    def measure_validation(self, answers: Mapping[str, NDArray[Any]], part: Part) -> Evaluation:
        return self.measure(answers, with_known_labels(part))

    def threshold(self, probability: NDArray[np.float64], part: Part) -> float:
        return super().threshold(probability, with_known_labels(part))

    def training_rows(self, data: Split) -> Part:
        return with_known_labels(super().training_rows(data))

    def baselines(self, data: Split) -> tuple[Baseline, ...]:
        from modelpack.progress import Silent
        from modelpack.usecases.tabular import boosting
        from modelpack.usecases.tabular.model import predict

        known = with_known_labels(join(data.training, data.validation))
        trees = boosting.train(self.columns, BINARY, known, small_trees(), 0, Silent())
        boosted, _ = predict(trees, data.test, [column.name for column in self.columns])
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


def small_trees() -> Boosting:
    """LightGBM for few rows: shallow, slow, held back."""
    from modelpack.usecases.tabular.boosting import Boosting

    return Boosting(rounds=150, leaves=7, learning_rate=0.03, rows_per_leaf=50, l2=10.0)


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


def best_tenth(truth: NDArray[np.bool_], probability: NDArray[np.float64]) -> dict[str, float]:
    """What a campaign that can only reach a tenth of the households gets: their rate over the rate of all."""
    first = np.argsort(-probability, kind="stable")[: max(len(truth) // 10, 1)]
    return {"lift_of_best_tenth": float(truth[first].mean() / truth.mean())}
