"""Logistic regression by Newton's method: the baseline that a classifier has to beat, and a candidate to ship.

Hastie, Tibshirani, Friedman, *The Elements of Statistical Learning*, 4.4.1 (iteratively reweighted least squares),
with a little ridge so that separable data has an answer, and steps halved until they help.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from modelpack.usecases.repeatable import repeatable
from modelpack.usecases.tabular.frame import BINARY, Column, Part
from modelpack.usecases.tabular.model import Tabular
from modelpack.usecases.tabular.training import final, shape_for

STEPS = 30
HALVINGS = 12
CLOSE = 1e-9


def train(columns: tuple[Column, ...], part: Part, ridge: float = 1.0) -> Tabular:
    """A logistic regression on the standardised numbers (categories are left out), in evaluation mode."""
    with repeatable(0), torch.no_grad():
        model = Tabular(shape_for(columns, BINARY, part, "linear", None))
        model.know(part)
        tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in part.inputs.items()}
        rows = model.features(tensors).double()
        weights = newton(rows, torch.from_numpy(part.target).double(), ridge)
        last = final(model)
        last.weight.copy_(weights[None, :-1])
        last.bias.copy_(weights[-1:])
        return model.eval()


def newton(rows: Tensor, target: Tensor, ridge: float) -> Tensor:
    """Weights and, last, the intercept (hardly shrunk), float64."""
    wide = torch.cat([rows, torch.ones(len(rows), 1, dtype=rows.dtype)], dim=1)
    shrink = torch.full((wide.shape[1],), ridge, dtype=rows.dtype)
    shrink[-1] = 1e-6
    weights = torch.zeros_like(shrink)
    weights[-1] = torch.logit(target.mean())
    lowest = penalized_loss(wide, target, weights, shrink)
    for _ in range(STEPS):
        chance = torch.sigmoid(wide @ weights)
        slope = wide.T @ (chance - target) + shrink * weights
        curve = (wide * (chance * (1 - chance)).unsqueeze(1)).T @ wide + torch.diag(shrink)
        step = torch.linalg.solve(curve, slope)
        for halving in range(HALVINGS):
            tried = weights - step / 2**halving
            loss = penalized_loss(wide, target, tried, shrink)
            if loss < lowest:
                break
        else:
            return weights
        gain, weights, lowest = lowest - loss, tried, loss
        if gain < CLOSE * lowest:
            break
    return weights


def penalized_loss(wide: Tensor, target: Tensor, weights: Tensor, shrink: Tensor) -> float:
    """Negative log-likelihood with the ridge."""
    fit = torch.nn.functional.binary_cross_entropy_with_logits(wide @ weights, target, reduction="sum")
    return float(fit + (shrink * weights**2).sum() / 2)
