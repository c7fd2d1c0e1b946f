"""The Qini coefficient: what mailing the customers a model ranks first gains over mailing as many at random.

Radcliffe, *Using control groups to target on predicted lift* (2007). At each depth, the mailed customers' visits less
those of as many customers left alone (their visits, scaled by the sizes of both groups so far), per mailed customer of
all; the coefficient is the area between that curve and the straight line to its end, the depth running from 0 to 1.
Customers of equal score come in random order, which makes the curve straight between them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from modelpack.usecases.tabular.frame import Floats

if TYPE_CHECKING:
    from torch import Tensor


def qini(visited: NDArray[Any], mailed: NDArray[Any], score: NDArray[Any]) -> Floats:
    """One value per customer, whose mean is the coefficient: the coefficient plus the customer's influence on it.

    The influence is the derivative by the customer's weight (the infinitesimal jackknife: Efron, *The Jackknife, the
    Bootstrap and Other Resampling Plans*, 1982, ch. 6), so resampling the values gives the first-order bootstrap
    interval; a test holds it against resampling customers. Raises ValueError when nobody was mailed, or everybody.
    """
    import torch

    if mailed.all() or not mailed.any():
        raise ValueError("Qini needs customers who were mailed and customers who were not")
    _, level = np.unique(-score, return_inverse=True)
    given = [torch.from_numpy(np.asarray(array, dtype=np.float64)) for array in (visited, mailed)]
    weight = torch.ones(len(score), dtype=torch.float64, requires_grad=True)
    area = coefficient(weight, torch.from_numpy(level), *given)
    (slope,) = torch.autograd.grad(area, weight)
    return np.asarray(area.item() + len(score) * slope.numpy(), dtype=np.float64)


def coefficient(weight: Tensor, level: Tensor, visited: Tensor, mailed: Tensor) -> Tensor:
    """The coefficient of weighted customers; `level` 0 is the highest score."""
    import torch

    def so_far(amount: Tensor) -> Tensor:
        added = torch.zeros(int(level.max()) + 1, dtype=weight.dtype).index_add(0, level, weight * amount)
        return torch.cumsum(added, 0)

    left = 1 - mailed
    all_mailed, all_left = so_far(mailed), so_far(left)
    none_left = all_left == 0
    scaled = so_far(left * visited) * all_mailed / torch.where(none_left, 1, all_left)
    gain = (so_far(mailed * visited) - torch.where(none_left, 0, scaled)) / all_mailed[-1]
    depth = so_far(torch.ones_like(mailed))
    depth = depth / depth[-1]
    zero = torch.zeros(1, dtype=weight.dtype)
    return torch.trapezoid(torch.cat([zero, gain]), torch.cat([zero, depth])) - gain[-1] / 2


def effect(visited: NDArray[Any], mailed: NDArray[Any]) -> float:
    """How much more often those who were mailed visited; 0 where there is nobody to compare."""
    if not len(mailed) or mailed.all() or not mailed.any():
        return 0.0
    return float(visited[mailed].mean() - visited[~mailed].mean())
