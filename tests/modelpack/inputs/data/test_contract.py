"""The data contract: each rule finds the fault planted for it; all are told at once, with line and five rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from own_tables import MADE, written
from prepared_tables import read_here

from cli.catalogs import known_names
from modelpack.errors import BadInput
from modelpack.inputs.data.reading import SourceTables
from modelpack.inputs.resolve import PackRequest, resolve
from modelpack.inputs.spec import DataRuleSpec, DataSpec, ModelSpec, PackSpec
from modelpack.progress import Silent
from modelpack.usecases.base import usecases
from modelpack.usecases.optional.own_tables import own_data_of
from stacks.reading.load import load

NOW = datetime(2026, 3, 2, tzinfo=UTC)
"""A day after the last made sale."""


def orders() -> pd.DataFrame:
    """Made sales with what a shop has beside them."""
    [sales] = MADE["pricing"]().values()
    told = sales.time - pd.Timedelta(3, unit="D")
    email = [f"buyer{number}@example.com" for number in sales.index]
    return sales.assign(display_told=told, email=email, order=sales.index, note="")


def read(folder: Path, table: pd.DataFrame, *rules: DataRuleSpec, **more: Any) -> SourceTables:
    written({"sales": table}, folder / "orders", "parquet")
    usecase = usecases().get("pricing")
    own = own_data_of(usecase)
    assert own is not None
    data = DataSpec(source="orders", contract=rules, **more)
    return read_here(usecase, own, folder, data, Silent(), NOW)


def rule(column: str, **asked: Any) -> DataRuleSpec:
    return DataRuleSpec(column=column, **asked)


Plant = Callable[[pd.DataFrame], pd.DataFrame]


def put(column: str, value: Any, row: int = 17) -> Plant:
    def plant(table: pd.DataFrame) -> pd.DataFrame:
        values = table[column].astype(object) if isinstance(value, str) else table[column].copy()
        values.loc[row] = value
        return table.assign(**{column: values})

    return plant


def late(table: pd.DataFrame) -> pd.DataFrame:
    return put("display_told", table.time[17] + pd.Timedelta(1, unit="h"))(table)


PLANTED: dict[str, tuple[DataRuleSpec, Plant, str]] = {
    "min": (rule("order", min=0), put("order", -5), "order is a number, 0 or more"),
    "max": (rule("units", max=10_000), put("units", 10_001), "units is a number, 10000 or less"),
    "range of a column that nothing needs": (
        rule("order", type="whole", min=0, max=1e6),
        put("order", -5),
        "order is a whole number from 0 to 1e\\+06",
    ),
    "nulls": (rule("email", nulls=0), put("email", None), "email is missing in at most 0 % of the rows"),
    "blanks": (rule("email", nulls=0.0001), put("email", "  "), "at most 0.01 % of the rows"),
    "unique": (rule("order", unique=True), put("order", 3), "order is there once"),
    "a leak": (rule("display_told", not_after="time"), late, "display_told is not after time"),
    "a field of the use case": (
        rule("units", unique=False, nulls=0.5),
        put("units", -1),
        "units is a number",
    ),
    "a product that is none": (rule("order", nulls=0), put("product", 0), "product is a whole number, 1 or"),
    "a date that stands for nothing": (
        rule("order", nulls=0),
        put("time", pd.Timestamp("1970-01-01")),
        "time is a date or a moment",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_rule_finds_its_fault_and_nothing_where_there_is_none(name: str, tmp_path: Path) -> None:
    asked, plant, words = PLANTED[name]
    table = orders()
    kept = read(tmp_path, table, asked).read.contract["sales"]
    assert all(one["rows"] == 0 for one in kept)
    with pytest.raises(BadInput, match=words) as caught:
        read(tmp_path, plant(table), asked)
    (problem,) = caught.value.problems
    assert "sales.parquet row 18: " in problem.what
    assert caught.value.exit_code == 2


def test_what_is_old_is_told_and_what_is_fresh_is_not(tmp_path: Path) -> None:
    read(tmp_path, orders(), rule("time", fresh=48 * 3600))
    with pytest.raises(BadInput, match="broken: the newest time is at most 12 hours old") as caught:
        read(tmp_path, orders(), rule("time", fresh=12 * 3600))
    assert "time=2026-03-01 00:00:00" in str(caught.value)


def test_a_share_that_is_allowed_passes_and_is_in_the_record(tmp_path: Path) -> None:
    table = orders()
    missing = table.assign(email=table.email.where(table.index >= 36))
    source = read(tmp_path, missing, rule("email", nulls=0.01))
    told = source.read.as_data()["contract"]["sales"]
    assert {"rule": "email is missing in at most 1 % of the rows", "rows": 36, "allowed": 0.01} in told
    assert len([one for one in told if one["rule"].startswith("units is")]) == 1
    missing = table.assign(email=table.email.where(table.index >= 37))
    with pytest.raises(BadInput, match="broken in 37 of 3,600 rows: email is missing"):
        read(tmp_path, missing, rule("email", nulls=0.01))


def test_five_rows_are_told_and_no_personal_value_is(tmp_path: Path) -> None:
    table = orders().assign(units=-1, secret="hunter2")
    asked = (rule("email", unique=True), rule("secret", type="whole"), rule("order", max=-1))
    masked = ("email", "secret", "bought")
    with pytest.raises(BadInput) as caught:
        read(
            tmp_path,
            table.rename(columns={"product": "bought"}),
            *asked,
            personal=masked,
            columns={"product": "bought"},
        )
    text = str(caught.value)
    assert text.count("broken in 3,600 of 3,600 rows") == 3
    assert text.count(" row ") == 15
    assert "email=***" in text
    assert "product=***" in text
    assert "example.com" not in text
    assert "hunter2" not in text


SPEC = """version: 1
service: shop
usecase: pricing
data:
  from: orders
  columns: {time: ordered_at}
  contract:
    - {column: order, min: 1}
    - column: email
      unique: true
      nulls: 0
    - {column: ordered_at, fresh: 24h}
    - {column: display_told, not_after: ordered_at}
    - {column: ordre, min: 0}
    - {column: email, fresh: 24h}
    - {column: order, table: sold, min: 0}
"""


def test_all_that_is_broken_is_told_at_once_with_the_line_of_its_rule(tmp_path: Path) -> None:
    table = put("email", None, 5)(late(orders()))
    table = put("units", -3)(put("email", "buyer1@example.com", 9)(table)).rename(
        columns={"time": "ordered_at"}
    )
    written({"sales": table}, tmp_path / "orders", "parquet")
    (tmp_path / "ecomdeploy.yaml").write_text(SPEC)
    data = load(tmp_path / "ecomdeploy.yaml", "local", known_names()).data
    assert data is not None
    usecase = usecases().get("pricing")
    own = own_data_of(usecase)
    assert own is not None
    with pytest.raises(BadInput) as caught:
        read_here(usecase, own, tmp_path, data, Silent(), datetime(2026, 4, 1, tzinfo=UTC))
    told = {(problem.where, problem.what.splitlines()[0]) for problem in caught.value.problems}
    assert told == {
        ("ecomdeploy.yaml:16", "a rule is for the table 'sold'; known: sales"),
        ("ecomdeploy.yaml:14", "a rule is for the column 'ordre', which is not there"),
        ("ecomdeploy.yaml:15", "broken: the newest email is at most 24 hours old"),
        ("ecomdeploy.yaml:8", "broken in 1 of 3,600 rows: order is a number, 1 or more"),
        ("ecomdeploy.yaml:9", "broken in 1 of 3,600 rows: email is missing in at most 0 % of the rows"),
        ("ecomdeploy.yaml:9", "broken in 1 of 3,600 rows: email is there once"),
        ("ecomdeploy.yaml:12", "broken: the newest time is at most 24 hours old"),
        (
            "ecomdeploy.yaml:13",
            "broken in 1 of 3,600 rows: display_told is not after time: nothing of a row was known later than it "
            "happened",
        ),
        ("orders", "broken in 1 of 3,600 rows: units is a number, 0 or more"),
    }


def test_the_rules_between_tables_are_asked(tmp_path: Path) -> None:
    tables = MADE["marketing"]()
    own = own_data_of(usecases().get("marketing"))
    assert own is not None
    sent, campaigns = tables["sent"], tables["campaigns"]
    broken = {
        **tables,
        "sent": sent.assign(campaign=sent.campaign.where(sent.index != 3, "none")),
        "campaigns": campaigns.assign(
            end=campaigns.end.where(campaigns.index != 1, campaigns.start - pd.Timedelta(1, unit="D"))
        ),
    }
    written(broken, tmp_path / "shop", "parquet")
    with pytest.raises(BadInput) as caught:
        read_here(object(), own, tmp_path, DataSpec(source="shop"), Silent())
    told = "\n".join(problem.what for problem in caught.value.problems)
    assert "broken in 1 of 5,750 rows: campaign is a campaign of campaigns\n    sent.parquet row 4: " in told
    assert "end is not before start\n    campaigns.parquet row 2: " in told


def test_a_pack_is_named_by_the_data_and_the_rules_that_held_not_by_where_they_stand(tmp_path: Path) -> None:
    written({"sales": orders()}, tmp_path / "orders", "parquet")
    asked = rule("revenue", min=0, line=12)

    def named(data: DataSpec) -> tuple[str, str]:
        request = PackRequest("pricing", ModelSpec(), PackSpec(), "ml.c7i.xlarge", tmp_path, data)
        inputs = resolve(request)
        return inputs.training_digest, inputs.verdict_digest

    data = DataSpec(source="orders", contract=(asked,))
    first = named(data)
    assert named(replace(data, contract=(replace(asked, line=40),))) == first
    other = named(replace(data, contract=(replace(asked, min=1),)))
    assert (other[0], other[1] != first[1]) == (first[0], True), (
        "other rules are another verdict on the same model"
    )
    assert named(replace(data, columns={"units": "order"}))[0] != first[0]
    written({"sales": orders().iloc[:-1]}, tmp_path / "orders", "parquet")
    assert named(data)[0] != first[0]


def test_what_needs_no_engine_does_not_rest_on_it(tmp_path: Path) -> None:
    written({"sales": orders()}, tmp_path / "orders", "parquet")
    request = PackRequest(
        "pricing", ModelSpec(), PackSpec(), "ml.c7i.xlarge", tmp_path, DataSpec(path="orders")
    )
    inputs = resolve(request)
    assert not {"duckdb", "ibis"} & inputs.libraries.keys()
    assert inputs.data_read == inputs.data_digest


def test_a_request_for_data_that_is_not_there_is_refused_before_anything(tmp_path: Path) -> None:
    request = PackRequest(
        "pricing", ModelSpec(), PackSpec(), "ml.c7i.xlarge", tmp_path, DataSpec(source="orders/*.parquet")
    )
    with pytest.raises(BadInput, match="the table 'sales' is missing"):
        resolve(request)
