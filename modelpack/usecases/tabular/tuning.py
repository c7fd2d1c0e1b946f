"""Smaller models of a table's dense layers, and training them on: what pruning and distillation are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from modelpack.progress import Progress
from modelpack.usecases.repeatable import repeatable
from modelpack.usecases.sampling import pick_evenly
from modelpack.usecases.tabular.frame import Category, Part
from modelpack.usecases.tabular.hyperparameters import Dense
from modelpack.usecases.tabular.model import Tabular, TabularShape
from modelpack.usecases.tabular.training import fit, loss, start

NARROWEST = 4
"""Hidden units that a layer keeps at least."""
NARROWEST_EMBEDDING = 2
FROM_TREES = (64, 32)
"""Hidden widths of a student whose teacher has no layers of its own to go by."""
TUNING, LEARNING = Dense(learning_rate=1e-3), Dense(learning_rate=3e-3)
FEWEST_STEPS, BATCHES = 100, (32, 512)
"""Steps an epoch has at least, as far as batches of that many rows go."""
ROWS_AT_ONCE = 4096


def dense_layers(model: Tabular) -> nn.Sequential:
    """The body of dense layers. Raises ValueError for a body without hidden units."""
    if not model.shape.hidden or not isinstance(model.body, nn.Sequential):
        raise ValueError(f"no hidden units to take out: the model is {describe(model.shape)}")
    return model.body


def describe(shape: TabularShape) -> str:
    """A body in words."""
    words = {"linear": "a logistic regression", "trees": "boosted trees"}
    return words.get(shape.body, f"dense layers {'-'.join(map(str, shape.hidden))}")


def narrow(model: Tabular, kept: Sequence[Tensor]) -> Tabular:
    """The model with only the `kept` units of each hidden layer, in evaluation mode."""
    state = dict(model.state_dict())
    linear = [place for place, part in enumerate(dense_layers(model)) if isinstance(part, nn.Linear)]
    for units, here, following in zip(kept, linear[:-1], linear[1:], strict=True):
        for name in (f"body.{here}.weight", f"body.{here}.bias"):
            state[name] = state[name][units]
        state[f"body.{following}.weight"] = state[f"body.{following}.weight"][:, units]
    return like(model, replace(model.shape, hidden=tuple(len(units) for units in kept)), state)


def student(model: Tabular, share: float, part: Part, seed: int) -> Tabular:
    """Dense layers of about this share of the model's widths, untrained, with its preparation and threshold.

    Raises ValueError for a linear model, which nothing is smaller than.
    """
    shape = model.shape
    if shape.body == "linear":
        raise ValueError(f"no smaller student: the model is {describe(shape)}")
    hidden = tuple(max(round(width * share), NARROWEST) for width in shape.hidden) or FROM_TREES
    columns = tuple(
        replace(one, width=max(round(one.width * share), NARROWEST_EMBEDDING))
        if isinstance(one, Category)
        else one
        for one in shape.columns
    )
    smaller = replace(shape, body="dense", hidden=hidden, columns=columns, forest=(0, 0, 0))
    learned = ("body.", "embeddings.")
    own = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(learned)}
    with repeatable(seed):
        made = like(model, smaller, own)
        start(made, part)
    return made


def like(model: Tabular, shape: TabularShape, state: Mapping[str, Tensor]) -> Tabular:
    """A model of the same class in another shape, with these tensors and the ids known, in evaluation mode."""
    made = type(model)(shape)
    return made.take_over(model, {**made.state_dict(), **state})


def mean_loss(model: Tabular, part: Part, rows: int) -> Tensor:
    """Over rows spread evenly, with a graph for gradients."""
    some = part.take(pick_evenly(len(part), rows))
    return loss(model, tensors(some), torch.from_numpy(some.target))


def tensors(part: Part) -> dict[str, Tensor]:
    """The columns by name."""
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in part.inputs.items()}


def teach(teacher: Tabular, part: Part) -> Tensor:
    """(rows,) the teacher's probability, or its amount."""
    given = tensors(part)
    with torch.no_grad():
        scores = [
            teacher.score({name: tensor[begin : begin + ROWS_AT_ONCE] for name, tensor in given.items()})
            for begin in range(0, len(part), ROWS_AT_ONCE)
        ]
    whole = torch.cat(scores)
    return torch.sigmoid(whole) if teacher.binary else whole


def tune(
    model: Tabular, part: Part, epochs: int, seed: int, progress: Progress, teacher: Tabular | None = None
) -> None:
    """Train the model in place on `part`; towards the teacher's answers too where there is one."""
    with repeatable(seed):
        wanted = None if teacher is None else teach(teacher.eval(), part)
        batch = min(max(len(part) // FEWEST_STEPS, BATCHES[0]), BATCHES[1])
        rates = replace(TUNING if teacher is None else LEARNING, batch=batch)
        fit(model, part, rates, epochs, np.random.default_rng(seed), progress, wanted)
        model.eval()
