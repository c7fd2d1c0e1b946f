"""Files, by DuckDB in this process: views over them, questions in SQL. What does not fit in memory goes to disk."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from modelpack.errors import BadInput
from modelpack.inputs.data.engine import FILE, LONGEST, ROW, DataEngine
from modelpack.inputs.data.files import TableFiles, files_digest
from modelpack.usecases.own_data.csv_lines import NotCsv, read_heading

if TYPE_CHECKING:
    import duckdb
    import ibis
    import pyarrow as pa

MEMORY = "2GB"
"""What the engine may hold; the rest lies in files while it works."""
CSV_LINE = re.compile(r"CSV Error on Line: (\d+)")
CSV_FILE = re.compile(r"^[ \t]*file ?= ?(.+)$", re.MULTILINE)
CSV_REASON = re.compile(r"^(.+)\nPossible (?:fixes|solution)", re.MULTILINE | re.IGNORECASE)


class DuckEngine(DataEngine):
    """Views over a shop's files. Made by `open_engine`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection

    def add_view(self, name: str, table: TableFiles) -> ibis.Table:
        """A table's files as one view, with FILE (and ROW). Raises BadInput when they cannot be read, with the engine's
        own words."""
        with tell_refused(table.place):
            listed = f"[{', '.join(quote(str(path)) for path in table.paths)}]"
            if table.kind == "parquet":
                reader, place = (
                    f"read_parquet({listed})",
                    f'filename AS "{FILE}", file_row_number AS "{ROW}", ',
                )
            else:
                columns = ", ".join(f"{quote(one)}: 'VARCHAR'" for one in csv_heading(table))
                how = "auto_detect = false, header = true, delim = ',', quote = '\"', escape = '\"', strict_mode = true"
                reader = f"read_csv({listed}, columns = {{{columns}}}, {how}, filename = {quote(FILE)})"
                place = ""
            rows = f"SELECT {place}* FROM {reader}"  # noqa: S608 - names and texts are quoted
            self.connection.execute(f"CREATE VIEW {name_quoted(name)} AS {rows}")
            return self.describe(name)

    def describe(self, name: str) -> ibis.Table:
        """A table or view of the engine, for expressions."""
        import ibis
        from ibis.backends.sql.datatypes import DuckDBType

        found = self.connection.execute(f"DESCRIBE {name_quoted(name)}").fetchall()
        return ibis.table({column: DuckDBType.from_string(kind) for column, kind, *_ in found}, name=name)

    def ask(self, asked: ibis.Table, place: str) -> pa.Table:
        from ibis.backends.sql.compilers import DuckDBCompiler

        text: str = DuckDBCompiler().to_sqlglot(asked).sql(dialect="duckdb")
        with tell_refused(place):
            return self.connection.sql(text).to_arrow_table()


@dataclass(frozen=True)
class FileSource:
    """The files of a use case's tables, by the tables' names."""

    place: str
    tables: Mapping[str, TableFiles]

    def digest(self) -> str:
        """By the files' content."""
        return files_digest(self.tables)

    @contextmanager
    def open(self, digest: str | None = None) -> Iterator[tuple[DataEngine, Mapping[str, TableFiles]]]:
        """DuckDB in this process; files are taken as they are."""
        with open_engine() as engine:
            yield engine, self.tables


@contextmanager
def open_engine(memory: str = MEMORY) -> Iterator[DuckEngine]:
    """An engine with `memory` (as DuckDB writes it) for its own; its files for what is more go when it is closed.

    It fetches nothing: no extension is installed or loaded that did not come with it. Times without a zone are kept,
    those with one are read in UTC.
    """
    import duckdb

    with TemporaryDirectory(prefix="ecomdeploy-data-") as spill:
        settings = {
            "memory_limit": memory,
            "temp_directory": str(Path(spill)),
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
        connection = duckdb.connect(":memory:", config=settings)
        try:
            connection.execute("SET TimeZone = 'UTC'")
            yield DuckEngine(connection)
        finally:
            connection.close()


@contextmanager
def tell_refused(place: str) -> Iterator[None]:
    """What the engine refuses as BadInput, in its own words without rows of the data, where `place` is the user's word
    for the data; of a row that is no CSV with file and line."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        text = str(error).strip() or type(error).__name__
        if at := CSV_LINE.search(text):
            file = CSV_FILE.search(text)
            reason = CSV_REASON.search(text)
            what = f"the row is no CSV{f': {reason[1]}' if reason else ''}"
            raise BadInput(what, where=f"{file[1] if file else place}:{at[1]}") from error
        raise BadInput(f"it cannot be read: {text.splitlines()[0][:LONGEST]}", where=place) from error


def quote(text: str) -> str:
    """A string of SQL."""
    return "'" + text.replace("'", "''") + "'"


def name_quoted(name: str) -> str:
    """A name of SQL."""
    return '"' + name.replace('"', '""') + '"'


def csv_heading(files: TableFiles) -> list[str]:
    """The names over the columns, alike in all the files. Raises BadInput where they are not, or are no heading."""
    first: list[str] = []
    for path in files.paths:
        try:
            found = [one.strip() for one in read_heading(path)]
        except UnicodeDecodeError:
            raise BadInput(
                "it is not in UTF-8", where=str(path), hint="save it as CSV in UTF-8, or as Parquet"
            ) from None
        except NotCsv as error:
            raise BadInput(f"it cannot be read as csv: {error}", where=str(path)) from None
        if len(set(found)) < len(found) or "" in found:
            raise BadInput("its first line must name each column, each once", where=f"{path}:1")
        if first and found != first:
            raise BadInput(f"its columns are not those of {files.paths[0].name}", where=f"{path}:1")
        first = found
    return first
