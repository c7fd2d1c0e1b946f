"""A user's own data: what it must hold, every problem at once, the same splits, and that no row of it is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from modelpack.errors import BadInput
from modelpack.home import Home
from modelpack.inputs import PackRequest, resolve
from modelpack.owndata.reading import read
from modelpack.owndata.schema import OwnData
from modelpack.progress import Silent
from modelpack.spec import DataSpec, ModelSpec, PackSpec
from modelpack.tabular.frame import Split
from modelpack.usecases.base import UseCase, usecases

DAY = pd.Timedelta(days=1)


def payments(rows: int = 4000) -> pd.DataFrame:
    """Payments of which the large ones with a high v1 are mostly frauds."""
    generator = np.random.default_rng(1)
    amount, tell = generator.exponential(50, rows).round(2), generator.normal(size=rows)
    fraud = ((amount > 60) & (tell > 1)).astype(int)
    time = pd.Timestamp("2026-03-01") + pd.to_timedelta(np.arange(rows) * 97, unit="s")
    return pd.DataFrame({"time": time, "amount": amount, "fraud": fraud, "v1": tell})


def purchases(customers: int = 60, weeks: int = 20) -> pd.DataFrame:
    generator = np.random.default_rng(2)
    rows = customers * weeks * 12
    day = generator.integers(0, weeks * 7, rows)
    return pd.DataFrame(
        {
            "customer": generator.integers(1, customers + 1, rows),
            "product": generator.integers(1000, 1120, rows),
            "time": pd.Timestamp("2026-01-05") + pd.to_timedelta(day, unit="D"),
        }
    )


def sales(weeks: int = 60, products: int = 30) -> pd.DataFrame:
    generator = np.random.default_rng(3)
    product, week = np.meshgrid(np.arange(1, products + 1), np.arange(weeks))
    units = generator.poisson(8, product.size)
    return pd.DataFrame(
        {
            "time": pd.Timestamp("2025-01-06") + pd.to_timedelta(week.ravel() * 7 + 6, unit="D"),
            "product": product.ravel(),
            "units": units,
            "revenue": units * 2.5,
        }
    )


def orders(weeks: int = 110, products: int = 25) -> pd.DataFrame:
    table = sales(weeks, products)
    return pd.DataFrame(
        {
            "order": [f"A{number}" for number in range(len(table))],
            "product": "P-" + table["product"].astype(str),
            "time": table.time,
            "units": table.units + 1,
            "price": 2.5,
        }
    )


def shipments(days: int = 380, each: int = 30) -> pd.DataFrame:
    generator = np.random.default_rng(4)
    rows = days * each
    minute = np.repeat(np.arange(days), each) * 1440 + generator.integers(360, 1320, rows)
    return pd.DataFrame(
        {
            "planned": pd.Timestamp("2025-02-03") + pd.to_timedelta(minute, unit="min"),
            "depot": generator.choice(["NYC", "LA1"], rows),
            "carrier": generator.choice(["UPS", "DHL"], rows),
            "destination": generator.choice(["BOS", "SEA", "MIA"], rows),
            "late_minutes": generator.normal(0, 20, rows),
        }
    )


MADE: dict[str, Any] = {
    "fraud": payments,
    "recommendation": purchases,
    "pricing": sales,
    "inventory": orders,
    "logistics": shipments,
}


def prepared(name: str, folder: Path, table: pd.DataFrame, suffix: str = "parquet") -> tuple[Any, Any, Any]:
    """The use case, its data from the user's table, and the row counts."""
    usecase: UseCase[Any] = usecases().get(name)
    file = folder / f"mine.{suffix}"
    table.to_parquet(file) if suffix == "parquet" else table.to_csv(file, index=False)
    return usecase, *usecase.prepare_own(file, Home(folder / "home", folder / "cache"), Silent())


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize("name", MADE)
def test_own_tables_are_split_by_time_and_show_no_row(name: str, suffix: str, tmp_path: Path) -> None:
    table = MADE[name]()
    usecase, data, rows = prepared(name, tmp_path, table, suffix)
    assert list(rows.values()) == [len(table)]
    shown = [one for body in usecase.golden(data) for one in body["instances"]]
    shown += [one for body in usecase.samples(data).requests for one in body["request"]["instances"]]
    assert len(shown) >= 12
    if isinstance(data, Split):
        assert len(data.training) > len(data.test) > 0
        real = {row_text({k: v[i] for k, v in data.test.inputs.items()}) for i in range(len(data.test))}
        assert not real & {row_text(one) for one in shown}
    else:
        assert data.week[data.training].max() < data.week[data.held_out].min()
        assert {one["household"] for one in shown} == {0}


def row_text(row: Any) -> str:
    return json.dumps({key: np.asarray(row[key], np.float64).round(4).tolist() for key in sorted(row)})


def test_shipments_keep_their_weekday_and_take_weather(tmp_path: Path) -> None:
    rows = shipments()
    rows.to_parquet(tmp_path / "shipments.parquet")
    hours = pd.date_range("2025-02-03", periods=381 * 24, freq="h")
    weather = pd.DataFrame({"depot": "NYC", "time": hours, "wind_speed": np.arange(len(hours)) % 30})
    weather.to_csv(tmp_path / "weather.csv", index=False)
    usecase = usecases().get("logistics")
    data, count = usecase.prepare_own(tmp_path, Home(tmp_path, tmp_path), Silent())
    assert count == {"shipments": len(rows), "weather": len(weather)}
    last = rows.planned.max()
    assert data.test.inputs["weekday"][-1] == last.weekday()
    assert len(np.unique(data.test.inputs["wind_speed"])) > 20


def test_a_strange_order_of_the_file_changes_nothing(tmp_path: Path) -> None:
    _, data, _ = prepared("fraud", tmp_path, payments())
    _, again, _ = prepared("fraud", tmp_path, payments().sample(frac=1, random_state=0))
    assert np.array_equal(data.test.inputs["amount"], again.test.inputs["amount"])


def test_search_takes_a_catalogue_and_queries(tmp_path: Path) -> None:
    from modelpack.usecases.search import own

    items = pd.DataFrame({"code": [f"C{n}" for n in range(60)], "name": [f"red lamp {n}" for n in range(60)]})
    asked = pd.DataFrame(
        {"query": [f"lamp no {n}" for n in range(150)], "code": [f"C{n % 60}" for n in range(150)]}
    )
    items.to_csv(tmp_path / "catalogue.csv", index=False)
    asked.to_parquet(tmp_path / "queries.parquet")
    usecase = usecases().get("search")
    shop = own.load(read(tmp_path, wanted("search")), b"", tmp_path)
    assert shop.codes[int(shop.wanted[61])] == asked.code[61]
    typed = {one["query"] for body in usecase.golden(shop) for one in body["instances"]}
    assert not typed & set(shop.queries)


def wanted(name: str) -> OwnData:
    found = usecases().get(name).own_data
    assert found is not None
    return found


def complaints(name: str, path: Path) -> list[str]:
    with pytest.raises(BadInput) as caught:
        read(path, wanted(name))
    return [str(one) for one in caught.value.problems]


def test_every_problem_of_a_table_is_told_at_once(tmp_path: Path) -> None:
    table = payments(2500).astype({"amount": str, "fraud": int})
    table.loc[7, "amount"] = "12,50"
    table.loc[8, "amount"] = "-3"
    table.loc[11, "fraud"] = 2
    table = table.rename(columns={"time": "timestamp"})
    table["v1"] = table.v1.astype(str).mask(table.index == 20, "")
    table.to_csv(tmp_path / "mine.csv", index=False)
    told = complaints("fraud", tmp_path / "mine.csv")
    assert len(told) == 4
    assert "the column 'time' is missing" in told[0]
    assert "is it 'timestamp'? rename it" in told[0]
    assert "mine.csv:9: amount is '12,50' (2 rows are wrong); expected a number, 0 or more" in told[1]
    assert "mine.csv:13: fraud is '2'; expected 0 or 1" in told[2]
    assert "mine.csv:22: v1 is nothing" in told[3]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "cannot be read as csv"),
        ("time,amount,fraud\n", "it has no rows"),
        ("time;amount;fraud\n2026-01-01;3;0\n", "its columns are parted by ';'; commas are wanted"),
        ("time,amount,fraud\n2026-01-01,3,0\n", "1 rows; at least 2,000 are needed"),
        ("time,amount,fraud\nyesterday,3,0\n", "time is 'yesterday'; expected a date or a moment"),
        ("time,amount,fraud\n20260101,nan,0\n", "amount is 'nan'"),
        ("time,amount,fraud\n2026-01-01,3,0.5\n", "fraud is '0.5'; expected 0 or 1"),
    ],
)
def test_a_table_that_is_not_one(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "mine.csv").write_text(content)
    assert any(words in one for one in complaints("fraud", tmp_path / "mine.csv"))


def test_a_parquet_file_that_is_none_and_a_missing_table(tmp_path: Path) -> None:
    (tmp_path / "catalogue.parquet").write_bytes(b"PAR1 but not really")
    told = complaints("search", tmp_path)
    assert "catalogue.parquet: it cannot be read as parquet" in told[0]
    assert "the table 'queries' is missing (queries.parquet or queries.csv)" in told[1]


def test_numbers_are_no_dates(tmp_path: Path) -> None:
    payments(2500).assign(time=range(2500)).to_parquet(tmp_path / "mine.parquet")
    assert "mine.parquet row 1: time is '0'" in complaints("fraud", tmp_path / "mine.parquet")[0]


def test_too_little_is_refused_with_the_figure(tmp_path: Path) -> None:
    table = payments()
    table.loc[table.index > 2000, "fraud"] = 0
    with pytest.raises(BadInput, match=r"0 frauds to choose by; at least 10"):
        prepared("fraud", tmp_path, table)
    with pytest.raises(BadInput, match="weeks of sales; at least 52"):
        prepared("pricing", tmp_path, sales(weeks=40))
    with pytest.raises(BadInput, match="weeks of purchases; at least 8"):
        prepared("recommendation", tmp_path, purchases(weeks=5, customers=200))


def request(project: Path, usecase: str, path: str) -> PackRequest:
    return PackRequest(usecase, ModelSpec(), PackSpec(), "ml.c7i.xlarge", project, DataSpec(path=path))


def test_the_data_names_the_model_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    payments(2500).to_csv(tmp_path / "a" / "mine.csv", index=False)
    payments(2500).to_csv(tmp_path / "b" / "mine.csv", index=False)
    first = resolve(request(tmp_path / "a", "fraud", "mine.csv"))
    same = resolve(request(tmp_path / "b", "fraud", "mine.csv"))
    assert first.training_digest == same.training_digest
    assert first.verdict_digest == same.verdict_digest
    text = (tmp_path / "b" / "mine.csv").read_text()
    (tmp_path / "b" / "mine.csv").write_text(text.replace(",0,", ",1,", 1))
    changed = resolve(request(tmp_path / "b", "fraud", "mine.csv"))
    assert changed.training_digest != first.training_digest
    assert changed.verdict_digest != first.verdict_digest
    packaged = PackRequest("fraud", ModelSpec(), PackSpec(), "ml.c7i.xlarge", tmp_path)
    assert resolve(packaged).training_digest != first.training_digest
    assert first.packages == ()


@pytest.mark.parametrize(
    ("usecase", "path", "words"),
    [
        ("fraud", "gone.csv", "there is no such data"),
        ("fraud", "mine.xlsx", "data in a .xlsx file is not read"),
        ("fraud", "empty", "the folder holds no .parquet or .csv file"),
        ("chat", "gone.csv", "takes no own data yet"),
    ],
)
def test_data_that_is_not_there_is_refused_before_anything_runs(
    tmp_path: Path, usecase: str, path: str, words: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine.xlsx").write_bytes(b"PK")
    with pytest.raises(BadInput, match=words):
        resolve(request(tmp_path, usecase, path))


def test_a_link_or_a_part_of_a_folder_counts(tmp_path: Path) -> None:
    """A table in several files is the same rows."""
    table = payments(2500)
    (tmp_path / "parts").mkdir()
    table[:1000].to_csv(tmp_path / "parts" / "2026-01.csv", index=False)
    table[1000:].to_parquet(tmp_path / "parts" / "2026-02.parquet")
    whole = read(tmp_path / "parts", wanted("fraud"))["payments"]
    assert len(whole) == len(table)
    assert np.allclose(whole.amount, table.amount)
