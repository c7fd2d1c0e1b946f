"""Logistics: answers rest on what is known before, weather from hours earlier, better than the lane's past rate."""

from __future__ import annotations

import os
from pathlib import Path

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
from modelpack.usecases.logistics import Logistics
from modelpack.usecases.logistics import data as shipments
from modelpack.usecases.logistics.data import HOURS_BEFORE, LAST_TOLD, TEST_FROM, VALIDATION_FROM
from modelpack.usecases.logistics.lateness import so_far, yesterday
from modelpack.usecases.packages import fetch
from modelpack.usecases.tabular.frame import Split

NAMES = {
    "UA": "United",
    "B6": "JetBlue",
    "JFK": "Kennedy",
    "EWR": "Newark",
    "LAX": "Los Angeles",
    "BOS": "Logan",
}


def flights(seed: int = 0) -> pd.DataFrame:
    """Made up for the shape of things only: 12 departures a day over 2013."""
    generator = np.random.default_rng(seed)
    count = 12
    hour = np.tile(np.arange(6, 6 + count), 365)
    day = pd.Timestamp("2013-01-01") + pd.to_timedelta(np.repeat(np.arange(365), count), unit="D")
    rows = len(hour)
    delay = generator.normal(0, 20, rows)
    return pd.DataFrame(
        {
            "year": 2013,
            "month": day.month,
            "day": day.day,
            "hour": hour,
            "minute": generator.integers(0, 60, rows),
            "carrier": generator.choice(["UA", "B6"], rows),
            "flight": generator.integers(1, 99, rows),
            "origin": generator.choice(["JFK", "EWR"], rows),
            "dest": generator.choice(["LAX", "BOS"], rows),
            "distance": 500,
            "arr_delay": np.where(generator.random(rows) < 0.03, np.nan, delay),
            "time_hour": (day + pd.to_timedelta(hour + 5, unit="h")).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    )


def weather() -> pd.DataFrame:
    """An hour's temperature is its number, so that a row tells from which hour it is."""
    at = pd.date_range("2013-01-01", periods=366 * 24, freq="h")
    parts = []
    for origin in ("JFK", "EWR"):
        table = pd.DataFrame({"origin": origin, "time_hour": at.strftime("%Y-%m-%dT%H:%M:%SZ")})
        table["temp"] = np.arange(len(at), dtype=float)
        for name in ("dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"):
            table[name] = np.nan if name in ("wind_gust", "pressure") else 5.0
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def made() -> Split:
    return shipments.split(flights(), weather(), NAMES)


def test_weather_is_from_hours_before_the_planned_departure(made: Split) -> None:
    part = made.training
    utc = np.floor(part.inputs["departure"]) + 5 + 24 * (part.groups - 1)
    known = utc >= HOURS_BEFORE
    assert np.array_equal(part.inputs["temp"][known], (utc - HOURS_BEFORE)[known])
    assert np.isfinite(part.inputs["pressure"]).all()
    assert (part.inputs["gust"] == 5).all()


def test_parts_are_apart_in_time_and_shipments_without_arrival_are_left_out(made: Split) -> None:
    assert made.training.groups.max() == VALIDATION_FROM - 1
    assert (made.validation.groups.min(), made.validation.groups.max()) == (VALIDATION_FROM, TEST_FROM - 1)
    assert made.test.groups.min() == TEST_FROM
    assert shipments.date_of(TEST_FROM) == "2013-10-01"
    kept = sum(len(part) for part in (made.training, made.validation, made.test))
    assert kept == int(flights().arr_delay.notna().sum())


def test_nothing_of_the_day_or_later_is_in_an_input() -> None:
    table, cut = flights(), 200
    changed = table.copy()
    day = pd.to_datetime(table[["year", "month", "day"]]).dt.day_of_year
    changed.loc[day >= cut, "arr_delay"] = np.where(table.arr_delay[day >= cut].notna(), 99.0, np.nan)
    one, other = (shipments.split(rows, weather(), NAMES).training for rows in (table, changed))
    same = one.groups <= cut
    assert not np.array_equal(one.target, other.target)
    for name, array in one.inputs.items():
        assert np.array_equal(array[same], other.inputs[name][same]), name
    assert np.array_equal(one.more["so_far"][same], other.more["so_far"][same])
    assert not np.array_equal(one.inputs["late_yesterday"], other.inputs["late_yesterday"])


def test_late_in_the_evening_of_yesterday_is_not_known_yet() -> None:
    day, key = np.array([1, 1, 2]), np.zeros(3, dtype=np.int64)
    late, hour = np.array([0.0, 1.0, 0.0]), np.array([9, LAST_TOLD, 9])
    assert yesterday(key, day, late, hour < LAST_TOLD)[2] == pytest.approx(2.0 / 11)
    assert yesterday(key, day, late, hour < 24)[2] == pytest.approx(3.0 / 12)


def test_a_lane_without_a_past_has_the_share_of_all() -> None:
    day, late = np.array([1, 1, 1, 3]), np.array([1.0, 0.0, 1.0, 0.0])
    assert so_far(np.array([0, 0, 0, 7]), day, late)[3] == pytest.approx(2 / 3)
    assert so_far(np.array([0, 0, 0, 0]), day, late)[3] == pytest.approx(2 / 3)


def test_codes_go_to_numbers_and_back() -> None:
    codes = pd.Series(["UA", "9E", "JFK"])
    assert [shipments.code_of(one) for one in shipments.code_numbers(codes)] == codes.tolist()


def test_training_repeats_and_samples_are_told_in_words(made: Split, tmp_path: Path) -> None:
    usecase, digests = Logistics(), []
    for name in ("one", "two"):
        path = tmp_path / f"{name}.safetensors"
        usecase.save(usecase.train(made, TrainSpec(epochs=1, seed=3), Silent()), path)
        digests.append(sha256_of(path))
    assert digests[0] == digests[1]
    run = Eager().open(Variant(TORCH, path), usecase)
    found = run({**made.test.inputs, "carrier": np.full(len(made.test), 12345)})
    assert ((found["probability"] > 0) & (found["probability"] < 1)).all()
    sample = usecase.samples(made).requests[0]
    assert sample["about"].split(" from ")[0] in ("United", "JetBlue")
    evaluation = usecase.evaluate(run, made)
    assert {"accuracy", "precision", "recall", "f1"} <= set(evaluation.more)


@pytest.fixture(scope="module")
def real() -> Split:
    cache = Path(os.environ.get("ECOMDEPLOY_CACHE") or platformdirs.user_cache_path("ecomdeploy"))
    return shipments.load(fetch(shipments.PACKAGE, Home(cache, cache), Silent()))


@pytest.mark.nightly(
    like="tests/modelpack/usecases/test_fraud.py::test_on_the_real_payments_it_beats_logistic_regression"
)
@pytest.mark.slow
@pytest.mark.network
def test_real_flights_are_as_pinned_and_the_model_beats_the_lanes_past_rate(
    real: Split, tmp_path: Path
) -> None:
    assert [len(part) for part in (real.training, real.validation, real.test)] == [188_971, 55_766, 82_609]
    usecase, path = Logistics(), tmp_path / "model.safetensors"
    usecase.save(usecase.train(real, TrainSpec(seed=7), Silent()), path)
    evaluation = usecase.evaluate(Eager().open(Variant(TORCH, path), usecase), real)
    lane, now, _ = usecase.baselines(real)
    assert beats(evaluation, lane.evaluation).low > 0.04
    assert beats(evaluation, now.evaluation).low > 0.04
