"""Demand at a price, and the price that pays best within the guard's bounds, in one module."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from modelpack.usecases.pricing.elasticity import FURTHEST, Elasticities
from modelpack.usecases.tabular.model import Tabular, TabularShape, name_arguments

PRODUCT = "product"


class PriceModel(Tabular):
    """The columns, `price` (asked for) and `cost` (0: unknown) -> units at that price, best price, units there.

    Demand is the tabular model's forecast at the usual price, times (price / usual price) ** elasticity. With a known
    cost the best price is the one of most profit, cost * e / (1 + e) for e < -1 (the Lerner condition), held within
    `FURTHEST` of the usual price; it is never below cost, also where cost lies above those bounds. Without a cost
    there is no profit to raise: the usual price stays. An inelastic product (e > -1) goes to the upper bound: on the
    Complete Journey weeks that is most of them, and the record says how little the price paid explains on held-out
    weeks, so take a recommendation as a trial to run, not as a promise.
    """

    elasticity: Tensor

    def __init__(self, shape: TabularShape) -> None:
        super().__init__(shape)
        place = [category.name for category in shape.categories].index(PRODUCT)
        self.register_buffer("elasticity", torch.full((shape.vocabularies[place] + 1,), -1.0))
        self.place = place
        self.forward = name_arguments(
            self.answer, [*(column.name for column in shape.columns), "price", "cost"]
        )

    def answer(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        *columns, price, cost = inputs
        given = dict(zip([column.name for column in self.shape.columns], columns, strict=True))
        usual = given["usual_price"].clamp(min=0.01)
        slope = self.elasticity[self.category_vocabularies()[self.place](given[PRODUCT])]
        forecast = self.score(given)
        best = best_price(usual, cost, slope)
        asked = torch.where(price > 0, price, usual)
        return forecast * (asked / usual) ** slope, best, forecast * (best / usual) ** slope


def best_price(usual: Tensor, cost: Tensor, slope: Tensor) -> Tensor:
    """(rows,) the recommended price; the bounds are part of it."""
    lowest, highest = usual * (1 - FURTHEST), usual * (1 + FURTHEST)
    elastic = slope < -1.001
    wanted = torch.where(elastic, cost * slope / torch.where(elastic, 1 + slope, -1.0), highest)
    within = torch.minimum(torch.maximum(wanted, lowest), highest)
    return torch.where(cost > 0, torch.maximum(within, cost), usual)


def with_prices(model: Tabular, elasticities: Elasticities) -> PriceModel:
    """The forecast and what is known of prices, together. In evaluation mode."""
    priced = PriceModel(model.shape)
    slopes = priced.elasticity.numpy().copy()
    slopes[:] = elasticities.common
    ids = model.category_vocabularies()[priced.place].ids.numpy()
    at = np.searchsorted(elasticities.product, ids).clip(max=len(elasticities.product) - 1)
    same = elasticities.product[at] == ids
    slopes[1:][same] = elasticities.slope[at][same]
    return priced.take_over(model, {**model.state_dict(), "elasticity": torch.from_numpy(slopes)})
