"""What an e-mail adds to a customer's chance to visit, as one torch module with one of three bodies.

Two models, one of those mailed and one of those left alone, and the difference of their chances (the T-learner:
Künzel et al., PNAS 2019), by logistic regression or dense layers; or one model of the *changed label* "visited if
mailed, stayed away if not", whose chance c gives 2c - 1 where half were mailed (Jaskowski & Jaroszewicz, ICML context
2012), by boosted trees.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from modelpack.usecases.tabular import linear
from modelpack.usecases.tabular.frame import Column, Number, Part
from modelpack.usecases.tabular.model import Tabular, TabularShape
from modelpack.usecases.tabular.training import final

CHANGED_LABEL = "trees"
"""The body that learns the changed label."""


class Uplift(Tabular):
    """Columns in the shape's order -> (uplift, decision), each (rows,); its own body is of those left alone."""

    def __init__(self, shape: TabularShape) -> None:
        super().__init__(shape)
        self.mailed = None if shape.body == CHANGED_LABEL else Tabular(shape)

    def answer(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip([column.name for column in self.shape.columns], inputs, strict=True))
        own = torch.sigmoid(self.score(given))
        uplift = 2 * own - 1 if self.mailed is None else torch.sigmoid(self.mailed.score(given)) - own
        return uplift, (uplift >= self.threshold).to(torch.int64)


def two_models(part: Part, fit: Callable[[Part], Tabular]) -> Uplift:
    """`fit` once on those left alone and once on those mailed."""
    mailed = part.more["mailed"]
    left, other = fit(part.take(~mailed)), fit(part.take(mailed))
    model = Uplift(left.shape)
    model.load_state_dict(
        left.state_dict() | {f"mailed.{name}": one for name, one in other.state_dict().items()}
    )
    return model.eval()


def changed_label(part: Part, fit: Callable[[Part], Tabular]) -> Uplift:
    """`fit` on the label "visited if mailed, stayed away if not"."""
    label = (part.target > 0) == part.more["mailed"]
    own = fit(Part(part.inputs, label.astype(np.float32), part.groups, part.more))
    model = Uplift(own.shape)
    model.load_state_dict(own.state_dict())
    return model.eval()


def rule(columns: tuple[Column, ...], part: Part, name: str) -> Uplift:
    """Both groups' rates of visits by one yes-or-no column, in the form of two logistic regressions on it alone."""

    def fit(rows: Part) -> Tabular:
        alone = linear.train((Number(name),), Part({name: rows.inputs[name]}, rows.target, rows.groups))
        whole = Tabular(TabularShape(columns, alone.shape.task, "linear"))
        whole.know(rows)
        with torch.no_grad():
            weights, own = final(whole), final(alone)
            weights.weight.zero_()
            weights.weight[:, [column.name for column in columns].index(name)] = own.weight[:, 0]
            weights.bias.copy_(own.bias)
        return whole

    return two_models(part, fit)
