"""Uplift: a customer and an e-mail not yet sent -> what the e-mail adds to the chance of a visit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modelpack.home import Home
from modelpack.progress import Progress, Silent
from modelpack.server.signature import Tensor
from modelpack.usecases.base import Baseline, Evaluation
from modelpack.usecases.checkpoints import NOTHING_KEPT, Checkpoints
from modelpack.usecases.marketing import own_uplift
from modelpack.usecases.marketing.hillstrom import EMAILS, load
from modelpack.usecases.marketing.own_uplift import RULE
from modelpack.usecases.marketing.qini import effect, qini
from modelpack.usecases.own_data.schema import OwnData
from modelpack.usecases.packages import DataPackage, fetch
from modelpack.usecases.tabular.frame import BINARY, Column, Number, Part, Split, in_turn, join
from modelpack.usecases.tabular.hyperparameters import Boosting, Dense
from modelpack.usecases.tabular.usecase import SAMPLES, TabularUseCase, instance

if TYPE_CHECKING:
    from modelpack.usecases.tabular.model import Tabular
    from modelpack.usecases.tabular.selection import Candidate


class MarketingUplift(TabularUseCase):
    """Uplift by Qini. The rule "bought women's wear before" is a candidate like the others, and the simplest."""

    name: ClassVar[str] = "marketing-uplift"
    title: ClassVar[str] = "whom an e-mail makes visit who would not have"
    epochs: ClassVar[int] = 4
    task: ClassVar[str] = BINARY
    simplest_first: ClassVar[bool] = True
    metric_drop: ClassVar[float] = 0.0003
    own_data: ClassVar[OwnData] = own_uplift.OWN
    packages: ClassVar[tuple[DataPackage, ...]] = (EMAILS,)
    columns: ClassVar[tuple[Column, ...]] = (
        Number("recency"),
        Number("history", log=True),
        *(Number(name) for name in ("mens", RULE, "newbie", "rural", "suburban", "urban")),
        *(Number(name) for name in ("by_phone", "by_web", "by_both")),
    )
    dense: ClassVar[Dense] = Dense(
        hidden=(16,), dropout=0.1, learning_rate=2e-3, weight_decay=0.05, batch=256
    )
    trees: ClassVar[Boosting] = Boosting(rounds=60, leaves=6, learning_rate=0.03, rows_per_leaf=200, l2=50.0)
    ridge: ClassVar[float] = 30.0
    split: ClassVar[str] = (
        "at random (the rows carry no time and no customer's id): candidates trained on 30 %, compared on 20 %, the "
        "chosen one trained on both, measured on the other half; mailed or not was drawn by lot for each customer"
    )
    tolerance: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "uplift": {"kind": "close", "rtol": 0.05, "atol": 0.01}
    }

    def prepare(self, home: Home, progress: Progress) -> Split:
        return self.announce(load(fetch(EMAILS, home, progress)), progress)

    def from_tables(self, tables: Mapping[str, Any], home: Home, progress: Progress) -> Split:
        return self.announce(own_uplift.load(tables), progress)

    def summary(self, data: Split) -> str:
        added = effect(data.test.target, data.test.more["mailed"])
        return f"customers: {data.count_rows('visited')}; the e-mail adds {added:.3f} to the chance to visit"

    def candidates(self, epochs: int) -> Sequence[Candidate]:
        from modelpack.usecases.marketing import uplift_model as models
        from modelpack.usecases.tabular import boosting, linear, training
        from modelpack.usecases.tabular.selection import Candidate

        trees = self.trees

        def follow_rule(
            part: Part, seed: int, progress: Progress, kept: Checkpoints = NOTHING_KEPT
        ) -> Tabular:
            return models.rule(self.columns, part, RULE)

        def logistic(part: Part, seed: int, progress: Progress, kept: Checkpoints = NOTHING_KEPT) -> Tabular:
            return models.two_models(part, lambda rows: linear.train(self.columns, rows, self.ridge))

        def layers(part: Part, seed: int, progress: Progress, kept: Checkpoints = NOTHING_KEPT) -> Tabular:
            parts = iter(("left-alone", "mailed"))

            def fit(rows: Part) -> Tabular:
                own = kept.within(next(parts))
                return training.train(
                    self.columns, BINARY, rows, self.dense, epochs, seed, progress, kept=own
                )

            return models.two_models(part, fit)

        def boost(part: Part, seed: int, progress: Progress, kept: Checkpoints = NOTHING_KEPT) -> Tabular:
            return models.changed_label(
                part, lambda rows: boosting.train(self.columns, BINARY, rows, trees, seed, progress)
            )

        return (
            Candidate("bought women's wear", "the uplift of those who did, and of the others", follow_rule),
            Candidate("two logistic regressions", f"mailed less left alone, ridge {self.ridge:g}", logistic),
            Candidate(
                "boosted trees", f"LightGBM on the changed label, {trees.rounds} of {trees.leaves}", boost
            ),
            Candidate("two dense networks", f"PyTorch, 16, {epochs} epochs, mailed less left alone", layers),
        )

    def module(self) -> type[Tabular]:
        from modelpack.usecases.marketing.uplift_model import Uplift

        return Uplift

    def training_rows(self, data: Split) -> Part:
        """None: no row has a right answer, for nobody was both mailed and left alone. Raises ValueError."""
        raise ValueError("no training_rows: no customer was both mailed and left alone")

    def tabular_outputs(self) -> tuple[Tensor, ...]:
        return Tensor("uplift", "FP32", (-1,)), Tensor("decision", "INT64", (-1,))

    def threshold(self, score: NDArray[np.float64], part: Part) -> float:
        """The better half of the customers: what an e-mail costs is the shop's to say."""
        return float(np.quantile(score, 0.5))

    def measure(self, answers: Mapping[str, NDArray[Any]], part: Part) -> Evaluation:
        mailed, chosen = part.more["mailed"], answers["decision"] > 0
        return Evaluation(
            metric="Qini",
            values=qini(part.target, mailed, answers["uplift"]),
            groups=part.groups,
            more={
                "share_chosen": float(chosen.mean()),
                "effect_on_chosen": effect(part.target[chosen], mailed[chosen]),
                "effect_on_others": effect(part.target[~chosen], mailed[~chosen]),
            },
        )

    def baselines(self, data: Split) -> tuple[Baseline, ...]:
        from modelpack.usecases.tabular.model import predict

        known, names = join(data.training, data.validation), self.column_names
        bought, logistic, boosted, _ = self.candidates(self.epochs)
        found = []
        for one in (bought, logistic, boosted):
            model = one.fit(known, 0, Silent())
            before, uplift = (predict(model, part, names)[0] for part in (known, data.test))
            measured = self.measure(answer(uplift, self.threshold(before, known)), data.test)
            about = f"{one.about}; reported only: the simplest that no other beats is what ships"
            found.append(Baseline(one.name, about, measured, must_beat=False))
        lot = self.measure(answer(np.zeros(len(data.test)), 0), data.test)
        return (*found, Baseline("by lot", "customers in random order, whose Qini is 0", lot, must_beat=True))

    def choose_shown(self, data: Split) -> NDArray[np.int64]:
        """Customers who bought women's wear before and others in turn."""
        return in_turn(data.test.inputs[RULE] > 0, SAMPLES)

    def sample(self, data: Split, row: int) -> dict[str, Any]:
        one, part = instance(data.test, row), data.test
        bought = [word for name, word in (("mens", "men's"), (RULE, "women's")) if one[name]]
        mailed, visited = bool(part.more["mailed"][row]), bool(part.target[row])
        return {
            "request": {"instances": [one]},
            "about": f"a customer of {one['history']:.0f} dollars in the past year",
            "before": [
                f"bought {' and '.join(bought)} wear, last {one['recency']:.0f} months ago",
                f"known afterwards: {'mailed' if mailed else 'left alone'}, "
                f"{'visited' if visited else 'did not visit'}",
            ],
        }


def answer(uplift: NDArray[Any], threshold: float) -> dict[str, NDArray[Any]]:
    """A baseline's answers."""
    return {"uplift": uplift, "decision": (uplift >= threshold).astype(np.int64)}
