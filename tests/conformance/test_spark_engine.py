"""The preparation of each use case on a real Spark: the same rows as by DuckDB, which pandas judges."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import spark_engine
from own_tables import MADE
from prepared_tables import STIRRED, read_here
from spark_engine import SparkSource, begin_session

from modelpack.inputs.data.reading import read_source
from modelpack.inputs.spec import DataSpec
from modelpack.progress import Silent
from modelpack.usecases.base import usecases
from modelpack.usecases.optional.own_tables import own_data_of

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(spark_engine.lacks()), reason=spark_engine.lacks())]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with begin_session(tmp_path_factory.mktemp("spark")) as found:
        yield found


@pytest.mark.parametrize("name", [*STIRRED, "marketing-uplift", "search"])
def test_the_prepared_tables_are_the_same_on_a_real_spark(name: str, session: Any, tmp_path: Path) -> None:
    wanted = own_data_of(usecases().get(name))
    assert wanted is not None
    folder = tmp_path / "mine"
    folder.mkdir()
    for table, rows in STIRRED.get(name, MADE[name])().items():
        rows.to_parquet(folder / f"{table}.parquet", coerce_timestamps="us")
    here = read_here(usecases().get(name), wanted, tmp_path, DataSpec(source="mine"), Silent())
    there = read_source(
        usecases().get(name), wanted, SparkSource(session, folder), DataSpec(source="mine"), Silent()
    )
    assert here.read.rows == there.read.rows
    assert here.read.prepared == there.read.prepared
    assert here.tables == there.tables
