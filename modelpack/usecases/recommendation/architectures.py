"""Which architecture serves: candidates trained on the same baskets, compared on weeks that neither saw.

The comparison costs less than a training: the latest `COMPARED_ON` baskets before the weeks it is measured on. The
simplest stays unless another is ahead of it outside the interval; held-out weeks play no part. The table goes into the
model's file, and from there into the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from modelpack.metrics import bootstrap
from modelpack.progress import Progress
from modelpack.spec import TrainSpec
from modelpack.usecases.base import Arrays, Evaluation, Run, UseCase, beats
from modelpack.usecases.recommendation.data import LAST_TRAINING_WEEK, Purchases, bought_before, spread
from modelpack.usecases.recommendation.model import Recommender
from modelpack.usecases.recommendation.training import train
from modelpack.usecases.recommendation.two_stage import TwoStage

KINDS: Mapping[str, type[Recommender]] = {"one-stage": Recommender, "two-stage": TwoStage}
"""Simplest first."""
ABOUT = {
    "one-stage": "a column for every product over dense layers, mixed with an attention over the history",
    "two-stage": "two-tower retrieval of 64 products over shared embeddings, then a ranking network, in one graph",
    "popularity": "the ten most bought products for everyone",
}
COMPARED_ON = 36_000
VALIDATION_WEEKS = 2
VALIDATION_BASKETS = 4000


def trained(
    usecase: UseCase[Purchases], data: Purchases, spec: TrainSpec, epochs: int, progress: Progress
) -> Recommender:
    """The architecture asked for, trained on all training baskets; the one that comparing chooses where none is."""
    if spec.architecture:
        return train(data, KINDS[spec.architecture], epochs, spec.seed, progress)
    part, found = before_validation(data), {}
    for name, kind in KINDS.items():
        progress.note(f"candidate {name}: {ABOUT[name]}")
        found[name] = usecase.evaluate(running(train(part, kind, epochs, spec.seed, progress)), part)
    best = simplest_of_the_best(found)
    popularity = usecase.baselines(part)[0]
    table = [line(name, found[name], best, found[best]) for name in found]
    table.append(line(popularity.name, popularity.evaluation, best, found[best]))
    tell(table, progress)
    model = train(data, KINDS[best], epochs, spec.seed, progress)
    model.candidates = tuple(table)
    return model


def before_validation(data: Purchases) -> Purchases:
    """The data as it was two weeks before the held-out weeks: those two weeks are held out, and what was bought is
    counted up to them. Baskets are taken evenly from all households and weeks."""
    last = LAST_TRAINING_WEEK - VALIDATION_WEEKS
    week = data.week[data.training]
    return replace(
        data,
        training=spread(data.training[week <= last], COMPARED_ON),
        held_out=spread(data.training[week > last], VALIDATION_BASKETS),
        bought=np.maximum(bought_before(data, last + 1), 1),
    )


def running(model: Recommender) -> Run:
    """A model as the use case runs it."""

    def run(arrays: Arrays) -> Arrays:
        with torch.inference_mode():
            products, scores = model(*(torch.from_numpy(arrays[name]) for name in ("household", "history")))
        return {"products": products.numpy(), "scores": scores.numpy()}

    return run


def simplest_of_the_best(found: Mapping[str, Evaluation]) -> str:
    """The first, unless a later one is ahead of it outside the interval; then that, and so on."""
    names = list(found)
    best = names[0]
    for name in names[1:]:
        if beats(found[name], found[best]).low > 0:
            best = name
    return best


def line(name: str, own: Evaluation, best: str, chosen: Evaluation) -> dict[str, Any]:
    """One candidate for the record: its figure on validation weeks, and how far it is behind the chosen one."""
    interval, behind = bootstrap(own.values, own.groups), beats(chosen, own)
    data: dict[str, Any] = {
        "name": name,
        "about": ABOUT[name],
        "chosen": name == best,
        "metric": own.metric,
        "on": "validation",
        **interval.as_data(),
    }
    if name == best:
        return {**data, "verdict": "chosen: no simpler one, and none ahead of it outside the interval"}
    clear = "outside the interval" if behind.low > 0 else "within the interval"
    words = f"behind {best}, {clear}" if behind.value > 0 else f"ahead of {best}, within the interval"
    return {**data, "behind": behind.as_data(), "verdict": words}


def tell(table: Sequence[Mapping[str, Any]], progress: Progress) -> None:
    """The table for people."""
    rows = [
        (one["name"], f"{one['value']:.4f} [{one['low']:.4f}, {one['high']:.4f}]", one["verdict"])
        for one in table
    ]
    progress.table("Candidates, on validation weeks", ("candidate", table[0]["metric"], "verdict"), rows)
