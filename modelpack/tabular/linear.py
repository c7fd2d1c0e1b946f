"""Logistic regression by Newton's method: the baseline that a classifier has to beat, and a candidate to ship.

Hastie, Tibshirani, Friedman, *The Elements of Statistical Learning*, 4.4.1 (iteratively reweighted least squares),
with a little ridge so that separable data has an answer.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from modelpack.tabular.frame import BINARY, Column, Part
from modelpack.tabular.model import Tabular
from modelpack.tabular.training import final, repeatable, shape_for

STEPS = 30
CLOSE = 1e-8


def train(columns: tuple[Column, ...], part: Part, ridge: float = 1.0) -> Tabular:
    """A logistic regression on the standardised numbers (categories are left out), in evaluation mode."""
    with repeatable(0):
        model = Tabular(shape_for(columns, BINARY, part, "linear", None))
        model.know(part)
        tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in part.inputs.items()}
        with torch.no_grad():
            rows = model.features(tensors).numpy().astype(np.float64)
            weights = newton(rows, part.target.astype(np.float64), ridge)
            last = final(model)
            last.weight.copy_(torch.from_numpy(weights[None, :-1]))
            last.bias.fill_(float(weights[-1]))
        return model.eval()


def newton(rows: NDArray[np.float64], target: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    """Weights and, last, the intercept (not shrunk)."""
    wide = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
    shrink = np.full(wide.shape[1], ridge)
    shrink[-1] = 1e-6
    weights = np.zeros(wide.shape[1])
    mean = target.mean()
    weights[-1] = np.log(mean / (1 - mean))
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-np.clip(wide @ weights, -30, 30)))
        slope = wide.T @ (chance - target) + shrink * weights
        curve = (wide * (chance * (1 - chance))[:, None]).T @ wide + np.diag(shrink)
        step = np.linalg.solve(curve, slope)
        weights = weights - step
        if np.abs(step).max() < CLOSE:
            break
    return weights
