"""Logistics: a planned shipment, the weather at the depot and yesterday's lateness -> the chance that it is late."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modelpack.home import Home
from modelpack.progress import Progress
from modelpack.usecases.base import Baseline, Evaluation
from modelpack.usecases.logistics import own
from modelpack.usecases.logistics.data import HOURS_BEFORE, PACKAGE, WEATHER, code_of, date_of, load
from modelpack.usecases.logistics.lateness import SHRINK_LONG
from modelpack.usecases.own_data.schema import OwnData
from modelpack.usecases.packages import DataPackage, fetch
from modelpack.usecases.tabular.frame import BINARY, Category, Column, Number, Part, Split, join
from modelpack.usecases.tabular.hyperparameters import Boosting, Dense
from modelpack.usecases.tabular.usecase import TabularUseCase, as_often, by_auc, instance

RULES = ("lane rate", "lane rate up to now")


class Logistics(TabularUseCase):
    """Lateness by AUC."""

    name: ClassVar[str] = "logistics"
    title: ClassVar[str] = "which shipments will be late"
    epochs: ClassVar[int] = 2
    passes: ClassVar[tuple[str, ...]] = ("prune-channels", "onnx", "int8")
    metric_drop: ClassVar[float] = 0.005
    task: ClassVar[str] = BINARY
    own_data: ClassVar[OwnData] = own.OWN
    packages: ClassVar[tuple[DataPackage, ...]] = (PACKAGE,)
    columns: ClassVar[tuple[Column, ...]] = (
        Category("origin", 3),
        Category("carrier"),
        Category("destination"),
        Category("weekday", 3),
        *(Number(name, log=name == "precip") for name in WEATHER),
        Number("departure"),
        Number("distance", log=True),
        Number("planned"),
        Number("late_yesterday"),
        Number("origin_yesterday"),
        Number("carrier_yesterday"),
        Number("lane_so_far"),
        Number("route_so_far"),
    )
    dense: ClassVar[Dense] = Dense(dropout=0.2, batch=1024)
    trees: ClassVar[Boosting] = Boosting(rounds=200, leaves=31, learning_rate=0.05, rows_per_leaf=200)
    split: ClassVar[str] = (
        "by day of 2013, cancelled flights left out: candidates trained on January to July, compared on August and "
        "September, the chosen one trained on both, measured on October to December; answers rest on what is known "
        f"{HOURS_BEFORE} hours before the planned departure"
    )

    def prepare(self, home: Home, progress: Progress) -> Split:
        return self.announce(load(fetch(PACKAGE, home, progress)), progress)

    def from_tables(self, tables: Mapping[str, Any], home: Home, progress: Progress) -> Split:
        return self.announce(own.load(tables), progress)

    def condense(self, tables: Mapping[str, Any]) -> Mapping[str, Any]:
        return own.condense(tables)

    def summary(self, data: Split) -> str:
        return f"shipments: {data.count_rows('late')}"

    def measure(self, answers: Mapping[str, NDArray[Any]], part: Part) -> Evaluation:
        return by_auc(answers, part)

    def baselines(self, data: Split) -> tuple[Baseline, ...]:
        from modelpack.usecases.tabular import linear
        from modelpack.usecases.tabular.model import predict

        known = join(data.training, data.validation)
        names = self.column_names
        logistic, _ = predict(linear.train(self.columns, known), data.test, names)
        rules = (
            (
                "lane rate",
                "the late share of depot, carrier and hour, January to September",
                lane_rate(known, data.test),
            ),
            ("lane rate up to now", "the same up to two days before the shipment", data.test.more["so_far"]),
            ("logistic regression", "on the same numbers, standardised", logistic),
        )
        return tuple(
            Baseline(name, about, self.measure(as_often(chance, known), data.test), must_beat=name in RULES)
            for name, about, chance in rules
        )

    def sample(self, data: Split, row: int) -> dict[str, Any]:
        one = instance(data.test, row)
        names = data.facts["names"]
        carrier, origin, destination = (code_of(one[name]) for name in ("carrier", "origin", "destination"))
        clock = f"{int(one['departure']):02d}:{int(one['departure'] % 1 * 60 + 0.5):02d}"
        return {
            "request": {"instances": [one]},
            "about": f"{names.get(carrier, carrier)} from {origin} to {names.get(destination, destination)}, "
            f"{date_of(data.test.groups[row])} {clock}",
            "before": [
                f"late yesterday: {one['late_yesterday']:.0%} of all, {one['carrier_yesterday']:.0%} of the carrier's",
                f"wind {one['wind_speed']:.0f} mph, rain {one['precip']:.2f} in, visibility {one['visib']:.0f} miles",
                f"known afterwards: {'late' if data.test.target[row] else 'on time'}",
            ],
        }


def lane_rate(known: Part, asked: Part) -> NDArray[np.float64]:
    """The late share of each lane's known shipments, lanes of few drawn towards the share of all."""
    lane, place = np.unique(known.more["lane"], return_inverse=True)
    overall = float(known.target.mean())
    share = (np.bincount(place, known.target) + SHRINK_LONG * overall) / (np.bincount(place) + SHRINK_LONG)
    at = np.searchsorted(lane, asked.more["lane"]).clip(max=len(lane) - 1)
    return np.asarray(np.where(lane[at] == asked.more["lane"], share[at], overall), dtype=np.float64)
