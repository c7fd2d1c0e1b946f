"""Spark, in this machine's Java, as an engine of a use case's tables: a judge of our SQL, not a product's."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
from ibis.backends.sql.compilers import PySparkCompiler
from ibis.config import Config

from modelpack.inputs.data.engine import DataEngine

SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.log.level": "ERROR",
}

KINDS = {
    "bigint": "int64",
    "int": "int32",
    "double": "float64",
    "boolean": "boolean",
    "string": "string",
    "date": "date",
    "timestamp_ntz": "timestamp",
    "timestamp": "timestamp('UTC')",
}
"""Spark's types in Ibis's words."""


def lacks() -> str:
    """Why there is no Spark here; "" where there is one."""
    try:
        import pyspark  # noqa: F401
    except ModuleNotFoundError:
        return "pyspark is not installed: make test-spark"
    return "" if shutil.which("java") else "there is no Java"


class PySparkOptions(Config):  # type: ignore[misc]  # Ibis has no types
    """As Ibis's compiler reads them."""

    treat_nan_as_null: bool = False


class SparkEngine(DataEngine):
    """Views over Parquet files in a session."""

    def __init__(self, session: Any) -> None:
        self.session = session

    def add_view(self, name: str, table: Path) -> ibis.Table:
        self.session.read.parquet(str(table)).createOrReplaceTempView(name)
        fields = self.session.table(name).schema.fields
        return ibis.table({one.name: KINDS[one.dataType.simpleString()] for one in fields}, name=name)

    def ask(self, asked: ibis.Table, place: str) -> pa.Table:
        # what Ibis's own backend for Spark would set when it connects
        ibis.options.pyspark = PySparkOptions()
        text = PySparkCompiler().to_sqlglot(asked).sql(dialect="spark")
        found: pa.Table = self.session.sql(text).toArrow()
        return found


@dataclass(frozen=True)
class SparkSource:
    """Parquet files, one a table, by the tables' names."""

    session: Any
    folder: Path
    place: str = "spark"

    def digest(self) -> str:
        return ""

    @contextmanager
    def open(self, digest: str | None = None) -> Iterator[tuple[DataEngine, Mapping[str, Path]]]:
        yield SparkEngine(self.session), {one.stem: one for one in self.folder.glob("*.parquet")}


@contextmanager
def begin_session(folder: Path) -> Iterator[Any]:
    """A session in one process of Java, its files in `folder`."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").config("spark.local.dir", str(folder))
    for name, value in {**SETTINGS, "spark.sql.warehouse.dir": str(folder / "warehouse")}.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    try:
        yield session
    finally:
        session.stop()
