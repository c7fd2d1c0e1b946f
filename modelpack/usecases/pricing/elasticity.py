"""How demand answers to price, per product, from weeks that sold something.

log(units) against log(price paid / usual price) with each product's and each week's own level and the planned
display and mailer taken out (Frisch-Waugh), then a slope per product drawn towards the common one by empirical Bayes
(Efron & Morris, 1975): a product with little price movement gets the common slope.

What this cannot tell: prices were not set at random, and buying several at once lowers the price paid. Take the
slopes as a shop's own past, not as an experiment.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelpack.usecases.tabular.frame import Part

FURTHEST = 0.2
"""The guard: a recommended price is at most this share away from the usual price."""
STEEPEST, FLATTEST = -5.0, -0.1
SWEEPS = 5
FEWEST_ROWS = 6


@dataclass(frozen=True)
class Elasticities:
    """Per product (sorted ids) the slope; `common` for all others."""

    product: NDArray[np.int64]
    slope: NDArray[np.float64]
    common: float


def estimate(part: Part) -> Elasticities:
    """From a part whose `more` holds the price `paid` (NaN where nothing sold)."""
    paid, usual = part.more["paid"], part.inputs["usual_price"].astype(np.float64)
    sold = np.isfinite(paid) & (part.target > 0) & (usual > 0)
    product, place = np.unique(part.inputs["product"][sold], return_inverse=True)
    week = np.unique(part.groups[sold], return_inverse=True)[1]
    columns = np.stack(
        [
            np.log(part.target[sold].astype(np.float64)),
            np.log(paid[sold] / usual[sold]),
            part.inputs["displays"][sold, -1],
            part.inputs["mailers"][sold, -1],
        ],
        axis=1,
    )
    centred = without_levels(columns, place, week)
    promotion = centred[:, 2:]
    units, price = (
        centred[:, column] - promotion @ np.linalg.lstsq(promotion, centred[:, column], rcond=None)[0]
        for column in (0, 1)
    )
    return shrink(units, price, place, product)


def without_levels(
    columns: NDArray[np.float64], product: NDArray[np.int64], week: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Product and week means taken out in turns."""
    left = columns.copy()
    for _ in range(SWEEPS):
        for labels in (product, week):
            counts = np.bincount(labels)
            for column in range(left.shape[1]):
                left[:, column] -= (np.bincount(labels, left[:, column]) / counts)[labels]
    return left


def shrink(
    units: NDArray[np.float64],
    price: NDArray[np.float64],
    place: NDArray[np.int64],
    product: NDArray[np.int64],
) -> Elasticities:
    """Slopes per product, drawn towards the common slope by how uncertain they are."""
    square = np.bincount(place, price**2, len(product))
    cross = np.bincount(place, price * units, len(product))
    common = float(cross.sum() / square.sum())
    noise = float(np.var(units - common * price))
    told = (np.bincount(place, minlength=len(product)) >= FEWEST_ROWS) & (square > 0)
    own = np.divide(cross, square, out=np.full(len(product), common), where=square > 0)
    uncertainty = noise / np.maximum(square, 1e-12)
    weight = 1 / (uncertainty[told] + 1.0)
    excess = (own[told] - common) ** 2 - uncertainty[told]
    between = max(float((weight * excess).sum() / weight.sum()), 1e-3)
    slope = (own / uncertainty + common / between) / (1 / uncertainty + 1 / between)
    clipped = np.clip(np.where(told, slope, common), STEEPEST, FLATTEST)
    return Elasticities(product, clipped, float(np.clip(common, STEEPEST, FLATTEST)))
