"""Inventory: what counts as ordered, no look at the week itself, better than the mean and the median of past weeks."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import platformdirs
import pytest

from modelpack.digests import sha256_of
from modelpack.formats.variant import TORCH, Variant
from modelpack.home import Home
from modelpack.inputs.spec import TrainSpec
from modelpack.progress import Silent
from modelpack.runtimes.eager import Eager
from modelpack.usecases.base import beats
from modelpack.usecases.inventory import Inventory
from modelpack.usecases.inventory import data as demand
from modelpack.usecases.inventory.data import TEST_FROM, VALIDATION_FROM, WEEKS, WeeklySales
from modelpack.usecases.online_retail import SHOP
from modelpack.usecases.packages import fetch

START = pd.Timestamp(demand.FIRST_DAY)


def lines(*rows: tuple[str, str, int, int, float]) -> pd.DataFrame:
    """Order lines from (invoice, stock code, pieces, days since the first Monday, customer)."""
    return pd.DataFrame(
        {
            "Invoice": [row[0] for row in rows],
            "StockCode": [row[1] for row in rows],
            "Description": ["RED LAMP"] * len(rows),
            "Quantity": [row[2] for row in rows],
            "InvoiceDate": [(START + pd.Timedelta(days=row[3])).strftime("%m/%d/%Y 10:00") for row in rows],
            "Price": [1.0] * len(rows),
            "Customer ID": [row[4] for row in rows],
            "Country": ["United Kingdom"] * len(rows),
        }
    )


def made(seed: int = 0) -> WeeklySales:
    """Made up for the shape of things only: 16 products over all weeks."""
    generator = np.random.default_rng(seed)
    rate = generator.gamma(2, 10, (16, 1))
    units = generator.poisson(rate, (16, WEEKS)).astype(np.float64)
    units[generator.random(units.shape) < 0.2] = 0
    price = np.where(units > 0, 2.0, np.nan)
    codes = tuple(f"{10_000 + number}" for number in range(16))
    orders = np.minimum(units, 5)
    return WeeklySales(codes, codes, units, price, orders, units.sum(axis=0), np.full(WEEKS, 6.0))


def test_repeated_lines_cancelled_orders_and_postage_do_not_count() -> None:
    kept = demand.clean(
        lines(
            ("1", "85123A", 6, 1, 17.0),
            ("1", "85123A", 6, 1, 17.0),
            ("2", "85123a", 500, 2, 18.0),
            ("C3", "85123A", -500, 4, 18.0),
            ("4", "85123A", 70, 3, 19.0),
            ("C5", "85123A", -70, 9, 19.0),
            ("6", "POST", 1, 3, 19.0),
            ("7", "85123A", -3, 3, float("nan")),
            ("8", "85123A", 2, 7 * WEEKS, 17.0),
        )
    )
    assert kept.Invoice.tolist() == ["1", "4"]
    assert kept.code.tolist() == ["85123A", "85123A"]


def test_one_cancellation_takes_one_order_away() -> None:
    twice = lines(("1", "21000", 5, 1, 1.0), ("2", "21000", 5, 2, 1.0), ("C3", "21000", -5, 3, 1.0))
    assert len(demand.clean(twice)) == 1


def test_units_prices_and_days_are_added_up_per_week() -> None:
    rows = [(f"{week}", "21000", 2 + week % 3, 7 * week + 1, 1.0) for week in range(WEEKS)]
    found = demand.weekly(demand.clean(lines(*rows, ("x", "99999", 3, 1, 2.0))))
    assert found.codes == ("21000",)
    assert found.units[0, :4].tolist() == [2, 3, 4, 2]
    assert found.shop[0] == 5
    assert found.days[5] == 1
    assert found.names == ("Red lamp",)


def test_products_are_chosen_by_weeks_before_validation() -> None:
    late = [(f"{week}", "21000", 2, 7 * week, 1.0) for week in range(VALIDATION_FROM, WEEKS)]
    early = [(f"{week}", "22000", 2, 7 * week, 1.0) for week in range(VALIDATION_FROM)]
    assert demand.weekly(demand.clean(lines(*late, *early))).codes == ("22000",)


@pytest.mark.parametrize("week", [40, VALIDATION_FROM, TEST_FROM, WEEKS - 1])
def test_no_input_and_no_rule_looks_at_the_week_or_what_follows(week: int) -> None:
    data = made()
    later: dict[str, Any] = {
        name: np.concatenate(
            [getattr(data, name)[..., :week], getattr(data, name)[..., week:] * 3 + 7], axis=-1
        )
        for name in ("units", "price", "orders", "shop")
    }
    before, after = demand.rows(data, week), demand.rows(replace(data, **later), week)
    assert not np.array_equal(before.target, after.target)
    for name, array in before.inputs.items():
        assert np.array_equal(array, after.inputs[name]), name
    for name, array in before.more.items():
        assert np.array_equal(array, after.more[name]), name


def test_parts_are_apart_in_time_and_inputs_are_finite() -> None:
    data = demand.split(made())
    assert data.training.groups.max() == VALIDATION_FROM - 1
    assert (data.validation.groups.min(), data.validation.groups.max()) == (VALIDATION_FROM, TEST_FROM - 1)
    assert (data.test.groups.min(), data.test.groups.max()) == (TEST_FROM, WEEKS - 1)
    for part in (data.training, data.validation, data.test):
        assert all(np.isfinite(array).all() for array in part.inputs.values())
    assert set(data.test.inputs) == {column.name for column in Inventory.columns}


def test_training_repeats_and_samples_name_product_and_week(tmp_path: Path) -> None:
    usecase, data = Inventory(), demand.split(made())
    digests = []
    for name in ("one", "two"):
        path = tmp_path / f"{name}.safetensors"
        usecase.save(usecase.train(data, TrainSpec(epochs=1, seed=3), Silent()), path)
        digests.append(sha256_of(path))
    assert digests[0] == digests[1]
    run = Eager().open(Variant(TORCH, path), usecase)
    assert (run(data.test.inputs)["prediction"] >= 0).all()
    sample = usecase.samples(data).requests[0]
    assert "week of 2011-" in sample["about"]
    assert set(sample["request"]["instances"][0]) == {column.name for column in usecase.columns}


@pytest.fixture(scope="module")
def real() -> WeeklySales:
    cache = Path(os.environ.get("ECOMDEPLOY_CACHE") or platformdirs.user_cache_path("ecomdeploy"))
    return demand.load(fetch(SHOP, Home(cache, cache), Silent()))


@pytest.mark.slow
@pytest.mark.network
def test_real_orders_are_as_pinned(real: WeeklySales) -> None:
    assert real.units.shape == (2158, WEEKS)
    assert real.units.max() == 11_414  # an order that was not cancelled; the cancelled one of 74,215 is gone
    assert real.days[4] == 0
    assert real.shop[4] == 0


@pytest.mark.nightly(
    like="tests/modelpack/usecases/test_fraud.py::test_on_the_real_payments_it_beats_logistic_regression"
)
@pytest.mark.slow
@pytest.mark.network
def test_the_forecast_beats_the_mean_and_the_median_of_past_weeks(real: WeeklySales, tmp_path: Path) -> None:
    usecase, data = Inventory(), demand.split(real)
    path = tmp_path / "model.safetensors"
    usecase.save(usecase.train(data, TrainSpec(seed=7), Silent()), path)
    evaluation = usecase.evaluate(Eager().open(Variant(TORCH, path), usecase), data)
    mean, median, year_ago = usecase.baselines(data)
    assert beats(evaluation, mean.evaluation).low > 0.04
    assert beats(evaluation, median.evaluation).low > 0
    assert beats(evaluation, year_ago.evaluation).low > 0
    assert evaluation.more["bias"] < -0.2
