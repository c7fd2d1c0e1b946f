"""Training dense layers on a table, bit for bit the same under one seed (on one type of CPU)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from modelpack.progress import Progress
from modelpack.usecases.checkpoints import NOTHING_KEPT, Checkpoints
from modelpack.usecases.epochs import TorchTraining
from modelpack.usecases.repeatable import repeatable
from modelpack.usecases.tabular.frame import BINARY, Category, Column, Part
from modelpack.usecases.tabular.hyperparameters import Dense
from modelpack.usecases.tabular.model import Tabular, TabularShape

WARM_UP = 0.2
FEWEST_STEPS = 10
"""Of the schedule: fewer leave its warm-up without a length."""
TEACHER = 0.7
"""The weight of a teacher's answers beside the true ones."""


def shape_for(
    columns: tuple[Column, ...], task: str, part: Part, body: str, scale: str | None, **more: object
) -> TabularShape:
    """A shape whose vocabularies fit these rows."""
    sizes = tuple(len(np.unique(part.inputs[one.name])) for one in columns if isinstance(one, Category))
    return TabularShape(columns, task, body, sizes, scale=scale, **more)  # type: ignore[arg-type]


def train(
    columns: tuple[Column, ...],
    task: str,
    part: Part,
    dense: Dense,
    epochs: int,
    seed: int,
    progress: Progress,
    scale: str | None = None,
    kept: Checkpoints = NOTHING_KEPT,
) -> Tabular:
    """Dense layers fitted to `part`, in evaluation mode. Binary: likelihood; amounts: absolute error, in units."""
    shape = shape_for(columns, task, part, "dense", scale, hidden=dense.hidden, dropout=dense.dropout)
    with repeatable(seed):
        model = Tabular(shape)
        model.know(part)
        start(model, part)
        fit(model, part, dense, epochs, np.random.default_rng(seed), progress, kept=kept)
        return model.eval()


def start(model: Tabular, part: Part) -> None:
    """Begin at the mean answer: training then need not first learn how rare the positives are."""
    last = final(model)
    mean = float(part.target.mean(dtype=np.float64))
    with torch.no_grad():
        if model.shape.task == BINARY:
            last.bias.fill_(float(np.log(mean / (1 - mean))))
        elif model.shape.scale is not None:
            last.bias.fill_(0.5413)  # softplus gives 1: the scale itself
        else:
            last.bias.fill_(float(np.log(np.expm1(max(mean, 1e-3)))))


def final(model: Tabular) -> nn.Linear:
    """The last layer of a linear or dense body."""
    last = model.body[-1] if isinstance(model.body, nn.Sequential) else None
    if not isinstance(last, nn.Linear):
        raise TypeError(f"a body of {model.shape.body} has no last layer")
    return last


def fit(
    model: Tabular,
    part: Part,
    dense: Dense,
    epochs: int,
    generator: np.random.Generator,
    progress: Progress,
    taught: Tensor | None = None,
    kept: Checkpoints = NOTHING_KEPT,
) -> None:
    """`epochs` times over all rows in a new order each time; `taught`: a teacher's answer for each row. Each epoch is
    `kept`."""
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in part.inputs.items()}
    target = torch.from_numpy(part.target)
    batches = -(-len(part) // dense.batch)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=dense.learning_rate, weight_decay=dense.weight_decay, foreach=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, dense.learning_rate, total_steps=max(epochs * batches, FEWEST_STEPS), pct_start=WARM_UP
    )
    training = TorchTraining(model, optimizer, schedule, generator)
    done = training.go_on(kept)
    model.train()
    with progress.track("training", epochs * len(part), "rows") as advance:
        advance(done * len(part))
        for epoch in range(done, epochs):
            order = torch.from_numpy(generator.permutation(len(part)))
            for rows in torch.split(order, dense.batch):
                optimizer.zero_grad(set_to_none=True)
                given = {name: tensor[rows] for name, tensor in tensors.items()}
                wanted = None if taught is None else taught[rows]
                loss(model, given, target[rows], wanted).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                advance(len(rows))
            training.keep(kept, epoch + 1)


def loss(model: Tabular, inputs: dict[str, Tensor], target: Tensor, taught: Tensor | None = None) -> Tensor:
    """Mean over the rows; with a teacher, mostly towards its answers (Hinton, Vinyals & Dean, arXiv:1503.02531: a
    weighted mean of both losses; a yes or no needs no temperature, for its probability is soft already)."""
    score = model.score(inputs)
    own = error(model, score, target)
    return own if taught is None else own.lerp(error(model, score, taught), TEACHER)


def error(model: Tabular, score: Tensor, wanted: Tensor) -> Tensor:
    """Likelihood of a yes or no, absolute error of an amount."""
    if model.binary:
        return nn.functional.binary_cross_entropy_with_logits(score, wanted)
    return (score - wanted).abs().mean()
