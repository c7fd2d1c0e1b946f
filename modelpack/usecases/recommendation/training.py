"""Training the recommender: the likelihood of each next basket, bit for bit the same under one seed.

Repeatable because: one thread count, deterministic kernels, and every random number from a seeded generator.
MKL chooses its code by CPU, so the promise holds for one CPU type (pytorch.org/docs/stable/notes/randomness.html).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from modelpack.progress import Progress
from modelpack.usecases.checkpoints import NOTHING_KEPT, Checkpoints
from modelpack.usecases.epochs import TorchTraining
from modelpack.usecases.recommendation.data import HISTORY, Ids, Purchases, history
from modelpack.usecases.recommendation.model import Recommender, RecommenderShape
from modelpack.usecases.recommendation.two_stage import TwoStage
from modelpack.usecases.repeatable import repeatable

"""One thread repeats exactly, needs no idle second core, and does not spin where the machine is shared."""
BATCH = 512
LEARNING_RATE = 0.005
RECENCY_LEARNING_RATE = 0.025
WARM_UP = 0.1
OFTEN_BOUGHT = 1024
RARELY_BOUGHT = 1024
"""Columns per step of the normalizer: the most bought products always, a sample of the others weighted up."""
RANKED = 128
"""Baskets of a step that the ranking network learns from: it is small, and its candidates are expensive to find."""
UNKNOWN_HOUSEHOLDS = 0.05
"""The share of requests trained as if the household were new, so that its place 0 learns to serve strangers."""


def train(
    data: Purchases,
    kind: type[Recommender],
    epochs: int,
    seed: int,
    progress: Progress,
    kept: Checkpoints = NOTHING_KEPT,
) -> Recommender:
    """A recommender of that kind in evaluation mode."""
    with repeatable(seed):
        model = kind(RecommenderShape(len(data.households), len(data.catalogue), HISTORY))
        model.households.know(torch.from_numpy(data.households))
        model.catalogue.know(torch.from_numpy(data.catalogue))
        model.begin_at(torch.from_numpy(np.log(data.bought / data.bought.sum())))
        fit(model, data, epochs, np.random.default_rng(seed), progress, kept)
        return model.eval()


def fit(
    model: Recommender,
    data: Purchases,
    epochs: int,
    generator: np.random.Generator,
    progress: Progress,
    kept: Checkpoints,
) -> None:
    """Adam under a one-cycle schedule (Smith & Topin, arXiv:1708.07120) over all training baskets; each epoch is
    `kept`."""
    recency = [model.recency, model.last_bought, model.again.weight]
    chosen = {id(parameter) for parameter in recency}
    others = [parameter for parameter in model.parameters() if id(parameter) not in chosen]
    rates = [LEARNING_RATE, RECENCY_LEARNING_RATE]
    optimizer = torch.optim.Adam(
        [{"params": group, "lr": rate} for group, rate in zip([others, recency], rates, strict=True)]
    )
    steps = -(-len(data.training) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rates, total_steps=epochs * steps, pct_start=WARM_UP
    )
    training = TorchTraining(model, optimizer, schedule, generator)
    done = training.go_on(kept)
    model.train()
    with progress.track("training", epochs * len(data.training), "baskets") as advance:
        advance(done * len(data.training))
        for epoch in range(done, epochs):
            order = generator.permutation(data.training)
            for begin in range(0, len(order), BATCH):
                baskets = order[begin : begin + BATCH]
                optimizer.zero_grad(set_to_none=True)
                loss(model, data, baskets, generator).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                advance(len(baskets))
            training.keep(kept, epoch + 1)


def loss(model: Recommender, data: Purchases, baskets: Ids, generator: np.random.Generator) -> torch.Tensor:
    """Mean negative log-likelihood per basket of the catalogue products in it, every basket weighing the same.

    Only the bought products' probabilities are formed; of the rest of the catalogue only the normalizer is needed.
    """
    before = history(data, baskets, model.shape.history)
    household = places(data.households, data.household[baskets])
    household[generator.random(len(baskets)) < UNKNOWN_HOUSEHOLDS] = 0
    row, target = targets(data, baskets)
    product = torch.from_numpy(places(data.catalogue, before))
    hidden, attention, share = model.parts(torch.from_numpy(household), product, torch.from_numpy(before > 0))
    normalizer = estimated_normalizer(model, hidden, data, generator)
    rows, wanted = torch.from_numpy(row), torch.from_numpy(target)
    column, bias = model.columns(wanted - 1)
    new = torch.exp((model.query_vectors(hidden)[rows] * column).sum(1) + bias - normalizer[rows])
    again = (attention[rows] * (product[rows] == wanted.unsqueeze(1))).sum(1)
    mixed = share[rows, 0]
    likelihood = torch.log((1 - mixed) * new + mixed * again + 1e-12)
    weight = torch.from_numpy((1.0 / np.bincount(row))[row].astype(np.float32))
    total = -(likelihood * weight).sum() / len(baskets)
    if isinstance(model, TwoStage):
        some = rows < RANKED
        parts = (hidden[:RANKED], attention[:RANKED], share[:RANKED], product[:RANKED])
        total = total + model.rank_loss(*parts, rows[some], wanted[some] - 1)
    return total


def estimated_normalizer(
    model: Recommender, hidden: torch.Tensor, data: Purchases, generator: np.random.Generator
) -> torch.Tensor:
    """log of the softmax's denominator: exact over the most bought products, an unbiased estimate over the others.

    After Bengio & Senécal, "Adaptive importance sampling to accelerate training of a neural probabilistic language
    model" (2008). A sixth of the catalogue's columns, so that a full softmax is not formed at every step.
    """
    by_sales = np.argsort(-data.bought, kind="stable")
    often, others = by_sales[:OFTEN_BOUGHT], by_sales[OFTEN_BOUGHT:]
    sample = generator.choice(others, min(RARELY_BOUGHT, len(others)), replace=False)
    weight = np.zeros(len(often) + len(sample), dtype=np.float32)
    weight[len(often) :] = np.log(max(len(others), 1) / max(len(sample), 1))
    columns, bias = model.columns(torch.from_numpy(np.concatenate([often, sample])))
    return torch.logsumexp(model.query_vectors(hidden) @ columns.T + (bias + torch.from_numpy(weight)), dim=1)


def targets(data: Purchases, baskets: Ids) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Flat pairs (row of the batch, place in the catalogue) of what each basket holds."""
    lengths = data.end[baskets] - data.start[baskets]
    row = np.repeat(np.arange(len(baskets)), lengths)
    offset = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    place = places(data.catalogue, data.line_product[data.start[baskets][row] + offset])
    return row[place > 0], place[place > 0]


def places(ids: Ids, values: Ids) -> NDArray[np.int64]:
    """Where `values` stand in the sorted `ids`, counted from 1; 0 for strangers."""
    at = np.minimum(np.searchsorted(ids, values), len(ids) - 1)
    return np.where(ids[at] == values, at + 1, 0)
