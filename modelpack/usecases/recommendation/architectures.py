"""Which architecture serves: candidates trained on the same baskets, compared on baskets that neither saw.

Validation are the last two training weeks of every other household; what is chosen ships as it was compared, for a
training without those 2 % of the baskets is hardly another. (Comparing on a third of the baskets costs less, but
misleads: sharing embeddings pays while there is little to learn from, and no more when there is much.) The simplest
stays unless another is ahead of it outside the interval; held-out weeks play no part. The table goes into the model's
file, and from there into the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from modelpack.formats.signature import Arrays, Run
from modelpack.inputs.spec import TrainSpec
from modelpack.progress import Progress
from modelpack.usecases.base import Evaluation, UseCase, beats
from modelpack.usecases.checkpoints import NOTHING_KEPT, Checkpoints
from modelpack.usecases.metrics import bootstrap
from modelpack.usecases.recommendation.data import LAST_TRAINING_WEEK, Purchases, count_bought
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
VALIDATION_WEEKS = 2


def train_architecture(
    usecase: UseCase[Purchases],
    data: Purchases,
    spec: TrainSpec,
    epochs: int,
    progress: Progress,
    kept: Checkpoints = NOTHING_KEPT,
) -> Recommender:
    """The architecture asked for, trained on all training baskets; where none is, the one that comparing chooses."""
    if spec.architecture:
        return train(data, KINDS[spec.architecture], epochs, spec.seed, progress, kept)
    part = without_validation(data)
    models, found = {}, {}
    for name, kind in KINDS.items():
        progress.note(f"candidate {name}: {ABOUT[name]}")
        models[name] = train(part, kind, epochs, spec.seed, progress, kept.within(name))
        found[name] = usecase.evaluate(running(models[name]), part)
    best = simplest_of_the_best(found)
    popularity = usecase.baselines(part)[0]
    table = [line(name, found[name], best, found[best]) for name in found]
    table.append(line(popularity.name, popularity.evaluation, best, found[best]))
    tell(table, progress)
    models[best].candidates = tuple(table)
    return models[best]


def without_validation(data: Purchases) -> Purchases:
    """The data with the last two training weeks of every other household held out instead of the weeks after them,
    and what was bought counted without those."""
    recent = data.week > LAST_TRAINING_WEEK - VALIDATION_WEEKS
    asked = recent & (np.searchsorted(data.households, data.household) % 2 == 1)
    seen = (data.week <= LAST_TRAINING_WEEK) & ~asked
    return replace(
        data,
        training=data.training[~asked[data.training]],
        held_out=data.training[asked[data.training]],
        bought=np.maximum(count_bought(data, seen), 1),
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
    """One candidate for the record: its figure on validation baskets, and how far it is behind the chosen one."""
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
    progress.table("Candidates, on validation baskets", ("candidate", table[0]["metric"], "verdict"), rows)
