"""A shop's own tables where they lie: what training gets of them is what it gets of the same files read into memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from own_tables import MADE, Tables, written
from prepared_tables import JUDGES, STIRRED, assert_same_rows, mixed, purchases, read_here, sales

from modelpack.errors import BadInput
from modelpack.home import Home
from modelpack.inputs.data.duckdb_files import open_engine
from modelpack.inputs.data.engine import DataEngine
from modelpack.inputs.data.files import TableFiles, find_files
from modelpack.inputs.data.reading import prepare_source
from modelpack.inputs.data_places import source_of
from modelpack.inputs.spec import DataSpec
from modelpack.progress import Silent
from modelpack.usecases.base import UseCase, usecases
from modelpack.usecases.optional.own_tables import own_data_of, prepare_tables
from modelpack.usecases.own_data.schema import OwnData
from modelpack.usecases.pricing.own import condense
from modelpack.usecases.recommendation.data import Purchases


def in_parts(tables: Tables, folder: Path) -> Path:
    """Each table as a folder of three Parquet files, the last in a folder of its own."""
    for name, table in tables.items():
        (folder / name / "later").mkdir(parents=True)
        third = -(-len(table) // 3)
        for at, place in enumerate(("a.parquet", "b.parquet", "later/c.parquet")):
            table.iloc[at * third : (at + 1) * third].to_parquet(folder / name / place)
    return folder


def wanted(name: str) -> OwnData:
    found = own_data_of(usecases().get(name))
    assert found is not None
    return found


def in_order(name: str, tables: Tables) -> Tables:
    """The rows of each table by their columns, in the use case's order of them."""
    columns = {table.name: [one.name for one in table.fields] for table in wanted(name).tables}
    return {
        table: rows.sort_values([one for one in columns[table] if one in rows], kind="stable")
        for table, rows in tables.items()
    }


def both(name: str, tables: Tables, folder: Path, suffix: str = "parquet") -> tuple[Any, Any]:
    """The use case's data of files in order read into memory, and of files in any order by the engine."""
    usecase: UseCase[Any] = usecases().get(name)
    home = Home(folder / "home", folder / "cache")
    first, rows = prepare_tables(
        usecase, written(in_order(name, tables), folder / "sorted", suffix), home, Silent()
    )
    written(tables, folder / "mine", suffix)
    data = DataSpec(source="mine")
    second, again = prepare_source(usecase, source_of(folder, data, wanted(name)), data, home, Silent())
    assert rows.rows == again.rows
    return first, second


def assert_same_split(first: Any, second: Any, rtol: float) -> None:
    if isinstance(first, Purchases):
        for name, array in vars(first).items():
            assert np.array_equal(array, getattr(second, name)), name
        return
    assert list(first.parts) == list(second.parts) != []
    for mine, theirs in zip(first.parts.values(), second.parts.values(), strict=True):
        np.testing.assert_allclose(mine.target, theirs.target, rtol=rtol)
        assert mine.inputs.keys() == theirs.inputs.keys()
        for name, array in mine.inputs.items():
            np.testing.assert_allclose(array, theirs.inputs[name], rtol=rtol, err_msg=name)


SUMMED = {"inventory": 1e-6, "pricing": 1e-6}
"""Sums of floats, in memory, are not those of exact decimals."""


@pytest.mark.parametrize("name", [*STIRRED, "marketing-uplift"])
def test_an_engine_gives_the_split_that_memory_gives(name: str, tmp_path: Path) -> None:
    tables = STIRRED.get(name, MADE[name])()
    assert_same_split(*both(name, tables, tmp_path), rtol=SUMMED.get(name, 0))


@pytest.mark.parametrize("name", STIRRED)
def test_a_preparation_gives_the_rows_that_pandas_gives(name: str, tmp_path: Path) -> None:
    tables = STIRRED[name]()
    written(tables, tmp_path / "mine")
    source = read_here(usecases().get(name), wanted(name), tmp_path, DataSpec(source="mine"), Silent())
    expected = JUDGES[name](tables)
    assert source.tables.keys() == expected.keys()
    for part, table in source.tables.items():
        assert len(expected[part]) > 0
        assert_same_rows(table.to_pandas(), expected[part])
    assert sum(map(len, source.tables.values())) < sum(map(len, tables.values())) or name == "recommendation"


def test_purchases_without_baskets_are_by_day(tmp_path: Path) -> None:
    assert_same_split(*both("recommendation", purchases(baskets=False), tmp_path), rtol=0)


def test_a_csv_is_the_same_data(tmp_path: Path) -> None:
    assert_same_split(*both("fraud", MADE["fraud"](), tmp_path, "csv"), rtol=0)


def test_purchases_in_parts_are_the_same_purchases(tmp_path: Path) -> None:
    tables = MADE["recommendation"]()
    parts = in_parts(tables, tmp_path / "parts")
    source = read_here(object(), wanted("recommendation"), tmp_path, DataSpec(source=parts.name), Silent())
    assert_same_rows(source.tables["purchases"].to_pandas(), tables["purchases"])


def test_sales_come_back_by_week(tmp_path: Path) -> None:
    lines = sales()
    written(lines, tmp_path / "mine", "parquet")
    source = read_here(
        usecases().get("pricing"), wanted("pricing"), tmp_path, DataSpec(source="mine"), Silent()
    )
    weeks = len(JUDGES["pricing"](lines)["sales"])
    assert len(source.tables["sales"]) == weeks < len(lines["sales"]) / 2
    assert source.read.as_data()["prepared"]["sales"]["rows"] == weeks


def test_the_prepared_table_is_named_the_same_however_its_rows_lie(tmp_path: Path) -> None:
    [lines] = sales().values()
    orders = {"whole": lines, "mixed": mixed(lines, 3)}
    names = set()
    for name, table in orders.items():
        folder = in_parts({"sales": table}, tmp_path / name)
        source = read_here(
            usecases().get("pricing"), wanted("pricing"), tmp_path, DataSpec(source=folder.name), Silent()
        )
        names.add(source.read.prepared["sales"]["sha256"])
    assert len(names) == 1
    changed = lines.assign(revenue=lines.revenue.where(lines.index != 5, lines.revenue + 0.01))
    written({"sales": changed}, tmp_path / "changed", "parquet")
    source = read_here(
        usecases().get("pricing"), wanted("pricing"), tmp_path, DataSpec(source="changed"), Silent()
    )
    assert source.read.prepared["sales"]["sha256"] not in names


def weekly_rows(engine: DataEngine, sales: Any, prepare: Callable[[Any], Any]) -> pd.DataFrame:
    return engine.fetch(prepare(sales)).to_pandas().set_index(["product", "time"]).sort_index()


def knows_the_future(engine: DataEngine, sales: Any, prepare: Callable[[Any], Any]) -> bool:
    """Whether what is prepared of a time is otherwise where nothing later is known yet, at three whole weeks."""
    whole = weekly_rows(engine, sales, prepare)
    last = whole.index.get_level_values("time").max()
    for weeks in (1, 10, 30):
        cut = last - pd.Timedelta(7 * weeks, unit="D")
        known = weekly_rows(engine, sales.filter(sales.time <= cut), prepare)
        past = whole[whole.index.get_level_values("time") <= cut]
        if not past.equals(known):
            return True
    return False


def with_a_leak(sales: Any) -> Any:
    """The weeks, with a product's usual price of all weeks, those to come among them."""
    weekly = condense(sales)
    return weekly.mutate(display=(weekly.revenue.sum() / weekly.units.sum()).over(group_by="product"))


def test_no_week_knows_what_comes_after_it_and_a_planted_leak_is_found(tmp_path: Path) -> None:
    file = tmp_path / "sales.parquet"
    sales()["sales"].to_parquet(file)
    with open_engine() as engine:
        lines = engine.add_view("sales", TableFiles("sales", (file,)))
        assert not knows_the_future(engine, lines, condense)
        assert knows_the_future(engine, lines, with_a_leak)


def test_a_shops_own_names_are_told_once(tmp_path: Path) -> None:
    [lines] = MADE["pricing"]().values()
    theirs = lines.rename(columns={"time": "ordered_at", "units": "quantity"}).assign(units="pieces")
    written({"sales": theirs}, tmp_path / "orders", "parquet")
    data = DataSpec(source="orders", columns={"time": "ordered_at", "sales.units": "quantity"})
    source = read_here(object(), wanted("pricing"), tmp_path, data, Silent())
    assert_same_rows(source.tables["sales"].to_pandas(), lines)
    assert source.read.rows == {"sales": len(lines)}
    data = DataSpec(source="orders", columns={"time": "orderd_at", "units": "quantity"})
    with pytest.raises(BadInput, match=r"data.columns says that time is 'orderd_at'.*is it 'ordered_at'"):
        read_here(object(), wanted("pricing"), tmp_path, data, Silent())


def lie(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


HEAD = "time,product,units,revenue\n"
LINE = "2025-01-01,1,2,3\n"
WRONG: dict[str, tuple[dict[str, str | bytes], str, str]] = {
    "nothing": ({}, "gone", "there is no such data"),
    "an empty folder": ({"orders/readme.txt": "x"}, "orders", "the table 'sales' is missing"),
    "a glob of nothing": ({}, "orders/*.parquet", "the table 'sales' is missing"),
    "both kinds": ({"o/a.csv": HEAD + LINE, "o/b.parquet": b"x"}, "o", "files of both kinds"),
    "no Parquet": ({"o.parquet": b"PAR1 no PAR1"}, "o.parquet", "o.parquet: it cannot be read: "),
    "half a Parquet": ({"o.parquet": b"PAR1" + b"\0" * 400}, "o.parquet", "cannot be read"),
    "an empty CSV": ({"o.csv": ""}, "o.csv", "o.csv: it cannot be read as csv: it is empty"),
    "a longer row": (
        {"o.csv": HEAD + LINE + "2025-01-01,1,2,3,4\n"},
        "o.csv",
        r"o.csv:3: the row is no CSV: .*5",
    ),
    "a shorter row": ({"o.csv": HEAD + LINE + "2025-01-01,1\n"}, "o.csv", r"o.csv:3: the row is no CSV"),
    "an open quote": ({"o.csv": HEAD + '2025-01-01,1,2,"3\n'}, "o.csv", r"o.csv:2: the row is no CSV"),
    "no UTF-8": ({"o.csv": HEAD.encode() + b"\xff\xfe,1,2,3\n"}, "o.csv", "o.csv: it is not in UTF-8"),
    "no UTF-8 far below": (
        {"o.csv": HEAD.encode() + LINE.encode() * 5000 + b"\xff\xfe,1,2,3\n"},
        "o.csv",
        r"o.csv:5002: the row is no CSV",
    ),
    "a column twice": ({"o.csv": "time,time,product\n1,2,3\n"}, "o.csv", "o.csv:1: .* each once"),
    "other columns": (
        {"o/a.csv": HEAD + LINE, "o/b.csv": "time,units,product,revenue\n"},
        "o",
        "b.csv:1: its columns are not those of a.csv",
    ),
    "a missing column": (
        {"o.csv": "time,product,unit,revenue\n" + LINE},
        "o.csv",
        "the column 'units' is missing .*is it 'unit'",
    ),
    "a name of SQL": ({"o'; DROP.csv": HEAD + "x" + LINE}, "o'; DROP.csv", "broken in 1 of 1 rows: time is"),
}


@pytest.mark.parametrize("name", WRONG)
def test_data_that_cannot_be_read_is_told_in_words(name: str, tmp_path: Path) -> None:
    files, source, words = WRONG[name]
    lie(tmp_path, files)
    with pytest.raises(BadInput, match=words) as caught:
        read_here(object(), wanted("pricing"), tmp_path, DataSpec(source=source), Silent())
    assert "Possible fixes" not in str(caught.value)


def test_each_table_of_a_folder_is_a_file_or_a_folder_of_parts(tmp_path: Path) -> None:
    lie(tmp_path / "d", {"purchases/month=1/a.csv": "x", "purchases/b.csv": "x", "campaigns.parquet": "x"})
    lie(tmp_path / "d", {"sent.csv": "", "redeemed.csv": "", "other.csv": ""})
    found = find_files(tmp_path, "d", wanted("marketing"))
    assert {name: [path.name for path in files.paths] for name, files in found.items()} == {
        "purchases": ["b.csv", "a.csv"],
        "campaigns": ["campaigns.parquet"],
        "sent": ["sent.csv"],
        "redeemed": ["redeemed.csv"],
    }
