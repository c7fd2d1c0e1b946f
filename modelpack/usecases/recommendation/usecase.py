"""Recommendation: a household and what it bought last -> the ten products it most likely buys next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modelpack.formats.safetensors import load_own
from modelpack.formats.signature import Arrays, Run, Signature
from modelpack.home import Home
from modelpack.inputs.spec import TrainSpec
from modelpack.progress import Progress
from modelpack.server.signature import Guardrail, Tensor
from modelpack.usecases.base import Baseline, Evaluation, Samples, UseCase
from modelpack.usecases.checkpoints import NOTHING_KEPT, Checkpoints
from modelpack.usecases.complete_journey import PACKAGE
from modelpack.usecases.metrics import auc, hits, ndcg_at_k, recall_at_k
from modelpack.usecases.own_data.schema import OwnData
from modelpack.usecases.packages import fetch
from modelpack.usecases.recommendation import data as purchases
from modelpack.usecases.recommendation import own
from modelpack.usecases.recommendation.data import (
    HISTORY,
    LAST_TRAINING_WEEK,
    LAST_WEEK,
    Ids,
    Purchases,
)
from modelpack.usecases.sampling import pick_evenly

if TYPE_CHECKING:
    from modelpack.usecases.recommendation.model import Recommender

TOP = 10
EVALUATION_BATCH = 256
GOLDEN_HOUSEHOLDS = 8
SAMPLE_HOUSEHOLDS = 12
SHOWN_BEFORE = 12
AUC_BASKETS = 2000
CALIBRATION_BASKETS = 512
TRAFFIC_BASKETS = 20_000
STRANGER_EVERY = 20
"""One request in so many is as of a new household, as in training."""


class Recommendation(UseCase[Purchases]):
    """Next-basket recommendation on Complete Journey."""

    name: ClassVar[str] = "recommendation"
    title: ClassVar[str] = "which products a household buys next"
    epochs: ClassVar[int] = 1
    passes: ClassVar[tuple[str, ...]] = ("onnx", "embedding-int4", "dense-int4")
    packages = (PACKAGE,)
    own_data: ClassVar[OwnData] = own.OWN
    split = (
        f"by time: trained on baskets of weeks 1-{LAST_TRAINING_WEEK} of 2017, measured on every basket of weeks "
        f"{LAST_TRAINING_WEEK + 1}-{LAST_WEEK}"
    )
    tolerance: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "products": {"kind": "ranking", "overlap": 0.8},
        "scores": {"kind": "close", "rtol": 0.05, "atol": 0.002},
    }
    guardrails: ClassVar[tuple[Guardrail, ...]] = (
        Guardrail("empty_lists", "products", "empty"),
        Guardrail("identical_lists", "products", "repeated"),
    )

    architectures: ClassVar[tuple[str, ...]] = ("one-stage", "two-stage")
    inner_metric: ClassVar[str] = "ranking"
    guards: ClassVar[Mapping[str, float]] = {"auc": 0.002}

    def prepare(self, home: Home, progress: Progress) -> Purchases:
        data = purchases.load(fetch(PACKAGE, home, progress))
        progress.note(self.summary(data))
        return data

    def summary(self, data: Purchases) -> str:
        return (
            f"{len(data.line_product):,} purchases of {len(data.households):,} households, "
            f"{len(data.catalogue):,} products; {len(data.held_out):,} baskets held out"
        )

    def from_tables(self, tables: Mapping[str, Any], home: Home, progress: Progress) -> Purchases:
        data = own.load(tables)
        progress.note(self.summary(data))
        return data

    def condense(self, tables: Mapping[str, Any]) -> Mapping[str, Any]:
        return own.condense(tables["purchases"])

    def train(self, data: Purchases, spec: TrainSpec, progress: Progress) -> Recommender:
        return self.resume(data, spec, progress, NOTHING_KEPT)

    def resume(self, data: Purchases, spec: TrainSpec, progress: Progress, kept: Checkpoints) -> Recommender:
        from modelpack.usecases.recommendation.architectures import train_architecture

        return train_architecture(self, data, spec, spec.epochs or self.epochs, progress, kept)

    def save(self, model: Recommender, path: Path) -> None:
        from modelpack.usecases.recommendation.model import save

        save(model, path)

    def load(self, path: Path) -> Recommender:
        from modelpack.usecases.recommendation.architectures import KINDS
        from modelpack.usecases.recommendation.model import load

        known = {kind.kind: kind for kind in KINDS.values()}
        return load_own(path, self.name, known, lambda config: load(path, config, known[config["kind"]]))

    def candidate_table(self, model: Recommender) -> Sequence[Mapping[str, Any]]:
        return model.candidates

    def evaluate(self, run: Run, data: Purchases) -> Evaluation:
        ranked = np.concatenate(
            [
                run(requests(data, data.held_out[begin : begin + EVALUATION_BATCH]))["products"]
                for begin in range(0, len(data.held_out), EVALUATION_BATCH)
            ]
        )
        return score(data, ranked)

    def baselines(self, data: Purchases) -> tuple[Baseline, ...]:
        popular = data.catalogue[np.argsort(-data.bought, kind="stable")]
        everyone = np.tile(popular[:TOP], (len(data.held_out), 1))
        baskets = data.held_out[pick_evenly(len(data.held_out), AUC_BASKETS)]
        apart = area(data, baskets, (data.bought for _ in baskets)).values.mean()
        by_sales = score(data, everyone)
        by_sales = replace(by_sales, more={**by_sales.more, "auc": float(apart)})
        personal = np.array([most_bought(data, basket, popular) for basket in data.held_out])
        return (
            Baseline("popularity", "the ten most bought products for everyone", by_sales, True),
            Baseline(
                "personal frequency",
                "the ten products the household bought most often in all its past, filled up by popularity",
                score(data, personal),
                False,
            ),
        )

    def signature(self) -> Signature:
        return Signature(
            inputs=(
                Tensor("household", "INT64", (-1,)),
                Tensor("history", "INT64", (-1, HISTORY), default=0),
            ),
            outputs=(Tensor("products", "INT64", (-1, TOP)), Tensor("scores", "FP32", (-1, TOP))),
        )

    def examples(self, data: Purchases, count: int) -> Arrays:
        return requests(data, data.held_out[pick_evenly(len(data.held_out), count)])

    def golden(self, data: Purchases) -> Sequence[Mapping[str, Any]]:
        if isinstance(data, own.OwnPurchases):
            strangers = own.make_requests(data)
            return [*({"instances": [one]} for one in strangers), {"instances": strangers[:3]}]
        chosen = last_baskets(data, GOLDEN_HOUSEHOLDS)
        bodies = [{"instances": [instance(data, basket)]} for basket in chosen]
        stranger = {"household": 0, "history": instance(data, chosen[0])["history"][-5:]}
        return [
            *bodies,
            {"instances": [stranger]},
            {"instances": [instance(data, basket) for basket in chosen[:3]]},
        ]

    def samples(self, data: Purchases) -> Samples:
        if isinstance(data, own.OwnPurchases):
            shown = tuple(show_as(data, one, "a made stranger") for one in own.make_requests(data))
        else:
            shown = tuple(sample(data, basket) for basket in last_baskets(data, SAMPLE_HOUSEHOLDS))
        return Samples(
            requests=shown,
            names={str(product): data.names[product] for product in data.catalogue.tolist()},
        )

    def calibration(self, data: Purchases) -> Arrays:
        """Baskets of the training weeks."""
        return requests(data, data.training[pick_evenly(len(data.training), CALIBRATION_BASKETS)])

    def traffic(self, data: Purchases) -> Arrays:
        found = requests(data, data.training[pick_evenly(len(data.training), TRAFFIC_BASKETS)])
        found["household"][::STRANGER_EVERY] = 0
        return found

    def evaluate_inside(self, run: Run, data: Purchases) -> Mapping[str, Evaluation]:
        """AUC over the whole catalogue, basket by basket."""
        baskets = data.held_out[pick_evenly(len(data.held_out), AUC_BASKETS)]
        rankings = (
            run(requests(data, part))[self.inner_metric]
            for part in np.array_split(baskets, max(1, len(baskets) // EVALUATION_BATCH))
        )
        return {"auc": area(data, baskets, (row for ranking in rankings for row in ranking))}


def requests(data: Purchases, baskets: Ids) -> dict[str, Ids]:
    """The model's inputs just before each basket."""
    return {"household": data.household[baskets], "history": purchases.history(data, baskets)}


def area(data: Purchases, baskets: Ids, rankings: Iterable[NDArray[Any]]) -> Evaluation:
    """AUC of each basket: the chance that a product of it ranks above another one of the catalogue, all pairs counted.
    Baskets without a product of the catalogue are left out."""
    values, groups = [], []
    for basket, row in zip(baskets, rankings, strict=True):
        bought = data.line_product[data.start[basket] : data.end[basket]]
        place = np.minimum(np.searchsorted(data.catalogue, bought), len(data.catalogue) - 1)
        held = np.zeros(len(data.catalogue), dtype=np.bool_)
        held[place[data.catalogue[place] == bought]] = True
        if held.any():
            values.append(auc(row[held], row[~held]))
            groups.append(data.household[basket])
    return Evaluation("auc", np.array(values), np.array(groups))


def score(data: Purchases, ranked: Ids) -> Evaluation:
    """recall@10 per held-out basket; all the basket's products count, also those outside the catalogue."""
    truth = purchases.list_bought(data, data.held_out)
    sizes = np.array([len(basket) for basket in truth])
    hit = hits(ranked, truth)
    return Evaluation(
        metric=f"recall@{TOP}",
        values=recall_at_k(hit, sizes),
        groups=data.household[data.held_out],
        more={f"ndcg@{TOP}": float(ndcg_at_k(hit, sizes).mean())},
    )


def most_bought(data: Purchases, basket: int, popular: Ids) -> Ids:
    """What the household bought most often before this basket, ties by popularity, then what is popular."""
    past = data.line_product[data.first[basket] : data.start[basket]]
    products, counts = np.unique(past, return_counts=True)
    place = np.minimum(np.searchsorted(data.catalogue, products), len(data.catalogue) - 1)
    everywhere = np.where(data.catalogue[place] == products, data.bought[place], 0)
    own = products[np.lexsort((-everywhere, -counts))][:TOP]
    others = popular[: 2 * TOP]
    return np.concatenate([own, others[~(others[:, None] == own).any(axis=1)]])[:TOP]


def last_baskets(data: Purchases, count: int) -> Ids:
    """The last held-out basket of `count` households with enough history, spread over all households."""
    _, last = np.unique(data.household[data.held_out][::-1], return_index=True)
    baskets = data.held_out[::-1][last]
    baskets = baskets[data.start[baskets] - data.first[baskets] >= HISTORY // 4]
    return baskets[pick_evenly(len(baskets), count)]


def instance(data: Purchases, basket: int) -> dict[str, Any]:
    """One request as JSON values: the household and what it bought, oldest first, without padding."""
    before = data.line_product[data.first[basket] : data.start[basket]][-HISTORY:]
    return {"household": int(data.household[basket]), "history": before.tolist()}


def sample(data: Purchases, basket: int) -> dict[str, Any]:
    """A request to show: its body, whom it is about, and what they buy most."""
    one = instance(data, basket)
    return show_as(data, one, f"household {one['household']}")


def show_as(data: Purchases, one: dict[str, Any], about: str) -> dict[str, Any]:
    """A request with whom it is about and what they buy most."""
    usual = Counter(one["history"]).most_common(SHOWN_BEFORE)
    names = [data.names[product] for product, _ in usual]
    return {"request": {"instances": [one]}, "about": about, "before": names}
