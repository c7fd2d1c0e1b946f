"""Own data as Parquet in a bucket, read by modelpack through the local cloud's S3: the same data as in files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from own_tables import MADE, written
from prepared_tables import read_here

from modelpack.errors import BadInput
from modelpack.inputs.data_places import source_of
from modelpack.inputs.spec import DataSpec
from modelpack.progress import Silent
from modelpack.usecases.base import usecases
from modelpack.usecases.optional.own_tables import own_data_of
from modelpack.usecases.own_data.schema import OwnData


@pytest.fixture
def s3(aws: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in aws.variables.items():
        monkeypatch.setenv(name, value)
    return aws("s3")


def wanted(name: str) -> OwnData:
    found = own_data_of(usecases().get(name))
    assert found is not None
    return found


def put(s3: Any, bucket: str, key: str, table: pd.DataFrame) -> None:
    held = io.BytesIO()
    table.to_parquet(held)
    s3.put_object(Bucket=bucket, Key=key, Body=held.getvalue())


def test_tables_in_a_bucket_are_those_in_files(s3: Any, tmp_path: Path) -> None:
    tables = MADE["logistics"]()
    written(tables, tmp_path / "mine")
    s3.create_bucket(Bucket="shop")
    put(s3, "shop", "own/weather.parquet", tables["weather"])
    half = len(tables["shipments"]) // 2
    put(s3, "shop", "own/shipments/2025/a.parquet", tables["shipments"][:half])
    put(s3, "shop", "own/shipments/2026/a.parquet", tables["shipments"][half:])
    s3.put_object(Bucket="shop", Key="own/shipments/_SUCCESS", Body=b"done")
    usecase = usecases().get("logistics")
    here, there = (
        read_here(usecase, wanted("logistics"), tmp_path, DataSpec(source=one), Silent())
        for one in ("mine", "s3://shop/own/")
    )
    assert here.tables == there.tables
    assert here.read.as_data() == there.read.as_data()
    assert here.read.rows == {name: len(table) for name, table in tables.items()}


def test_objects_name_the_data_and_a_change_is_told(s3: Any, tmp_path: Path) -> None:
    [sales] = MADE["pricing"]().values()
    s3.create_bucket(Bucket="named")
    put(s3, "named", "orders/a.parquet", sales)
    source = source_of(tmp_path, DataSpec(source="s3://named/orders"), wanted("pricing"))
    first = source.digest()
    assert source.digest() == first
    with source.open(first) as (engine, there):
        assert engine.add_view("sales", there["sales"]).columns == (*sales.columns,)
    put(s3, "named", "orders/a.parquet", sales.assign(units=sales.units[::-1].to_numpy()))
    assert source.digest() != first
    with pytest.raises(BadInput, match="changed while they were worked with"), source.open(first):
        pass


WRONG = {
    "s3://nobody/orders": "the table 'sales' is missing",
    "s3://wrong/empty": "the table 'sales' is missing",
    "s3://wrong/broken.parquet": "it cannot be read: .*arquet",
}


@pytest.mark.parametrize("place", WRONG)
def test_what_cannot_be_read_is_told_in_words(place: str, s3: Any, tmp_path: Path) -> None:
    s3.create_bucket(Bucket="wrong")
    s3.put_object(Bucket="wrong", Key="broken.parquet", Body=b"PAR1 no Parquet PAR1")
    with pytest.raises(BadInput, match=WRONG[place]):
        read_here(object(), wanted("pricing"), tmp_path, DataSpec(source=place), Silent())


def test_a_bucket_that_is_not_the_askers_is_told(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    with pytest.raises(BadInput, match="it cannot be read: ") as caught:
        source_of(tmp_path, DataSpec(source="s3://nobodys/orders"), wanted("pricing")).digest()
    assert "aws s3 ls s3://nobodys/orders must answer" in caught.value.hint
