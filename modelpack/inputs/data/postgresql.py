"""PostgreSQL, where it runs: tables and views of a database, asked in SQL, answers as Arrow by ADBC.

Who connects, and by which password, is libpq's business: `PGPASSWORD`, `~/.pgpass`, `PGSERVICE` and certificates count
as for psql. All is read in one transaction that may write nothing and sees one state of the data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from modelpack.errors import BadInput, Problem
from modelpack.inputs.data.engine import LONGEST, DataEngine
from modelpack.inputs.extras import tell_missing
from modelpack.usecases.own_data.schema import OwnData

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

TRANSACTION = (
    # What a row is as text, which names the data, must not depend on the server's or the user's settings.
    "SET TimeZone = 'UTC'",
    "SET DateStyle = 'ISO, YMD'",
    "SET IntervalStyle = 'iso_8601'",
    "SET bytea_output = 'hex'",
    "SET extra_float_digits = 1",
    "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
)
WAIT = "connect_timeout=10"
"""Seconds for a server that does not answer."""
COLUMNS = """
SELECT attname::text AS name, format_type(atttypid, atttypmod) AS kind FROM pg_attribute
WHERE attrelid = to_regclass({table}) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
DIGEST = """
SELECT count(*)::text, sum(('x' || substr(one, 1, 16))::bit(64)::bigint)::text,
       sum(('x' || substr(one, 17, 16))::bit(64)::bigint)::text
FROM (SELECT encode(sha256(convert_to(told::text, 'UTF8')), 'hex') AS one FROM {table} AS told) AS every
"""
"""Rows, and two sums over them of a part of each one's sha256: the order of rows is not in it."""


@dataclass(frozen=True)
class DatabaseSource:
    """The tables of a use case in a database; `names`: the database's own names of them ("shop.orders")."""

    place: str
    wanted: OwnData
    names: Mapping[str, str] = field(default_factory=dict)

    def digest(self) -> str:
        """By the rows of the tables, in whatever order: the server reads each once. Raises BadInput."""
        with self.connect() as engine:
            return engine.digest(self.find(engine))

    @contextmanager
    def open(self, digest: str | None = None) -> Iterator[tuple[DataEngine, Mapping[str, str]]]:
        """The database in one transaction. Raises BadInput when its rows are not those of `digest` any more."""
        with self.connect() as engine:
            there = self.find(engine)
            if digest is not None and engine.digest(there) != digest:
                raise BadInput(
                    "the tables changed while they were worked with",
                    where=self.place,
                    hint="the same command again; a copy of them that stays (a table, a materialized view) holds still",
                )
            yield engine, there

    @contextmanager
    def connect(self) -> Iterator[PostgresEngine]:
        """A connection within its transaction."""
        with tell_missing():
            from adbc_driver_postgresql import dbapi

            url = f"{self.place}{'&' if '?' in self.place else '?'}{WAIT}"
            with tell_refused(self.place), closing(dbapi.connect(url, autocommit=True)) as connection:
                engine = PostgresEngine(connection)
                for text in TRANSACTION:
                    engine.run(text)
                yield engine

    def find(self, engine: PostgresEngine) -> dict[str, str]:
        """The tables that are there, as SQL names them. Raises BadInput for those that are missing."""
        named = {one: quote_table(self.names.get(one.name, one.name)) for one in self.wanted.tables}
        there = {one.name: name for one, name in named.items() if engine.columns_of(name)}
        problems = [
            Problem(f"the table {name} is missing", self.place)
            for one, name in named.items()
            if one.name not in there and (one.required or one.name in self.names)
        ]
        if problems:
            hint = "data: {tables: {sales: shop.orders}} says which table is which; it must be there, and readable"
            raise BadInput(problems, hint=hint)
        return there


class PostgresEngine(DataEngine):
    """Tables of a database, within one transaction. Made by `DatabaseSource`."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.opened: dict[str, str] = {}

    def run(self, text: str) -> pa.Table:
        """A statement's rows."""
        with closing(self.connection.cursor()) as cursor:
            cursor.execute(text)
            return cursor.fetch_arrow_table()

    def columns_of(self, table: str) -> dict[str, str]:
        """The columns of a table by their types; none where there is no such table."""
        found = self.run(COLUMNS.format(table="'" + table.replace("'", "''") + "'"))
        return dict(zip(*(one.to_pylist() for one in found.columns), strict=True))

    def digest(self, tables: Mapping[str, str]) -> str:
        """Names the rows of the tables."""
        lines = []
        for name, table in sorted(tables.items()):
            (row,) = self.run(DIGEST.format(table=table)).to_pylist()
            lines.append("\0".join([name, *self.columns_of(table), *map(str, row.values())]))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def add_view(self, name: str, table: str) -> ibis.Table:
        """A table under a name. Texts go by their bytes, whatever the collation of the database; ids (uuid) and
        enumerations are texts."""
        import ibis
        from ibis.backends.sql.datatypes import PostgresType

        kinds, columns = {}, []
        for column, told in self.columns_of(table).items():
            kind = PostgresType.from_string(told)
            text = kind.is_string() or kind.is_uuid() or kind.is_unknown()
            kinds[column] = "string" if text else kind
            one = quote_name(column)
            columns.append(f'{one}::text COLLATE "C" AS {one}' if text else one)
        self.opened[name] = f"SELECT {', '.join(columns)} FROM {table}"  # noqa: S608 - names are quoted
        return ibis.table(kinds, name=name)

    def ask(self, asked: ibis.Table, place: str) -> pa.Table:
        import sqlglot
        from ibis.backends.sql.compilers import PostgresCompiler

        found = PostgresCompiler().to_sqlglot(asked)
        for table in list(found.find_all(sqlglot.exp.Table)):
            if table.name in self.opened and not table.db:
                rows = sqlglot.parse_one(self.opened[table.name], dialect="postgres")
                table.replace(rows.subquery(table.alias_or_name))
        with tell_refused(place):
            return self.run(found.sql(dialect="postgres"))


@contextmanager
def tell_refused(place: str) -> Iterator[None]:
    """What the server or its driver refuses as BadInput, by the first line of its words."""
    from adbc_driver_manager import Error

    try:
        yield
    except Error as error:
        words = str(error).strip().splitlines()[0][:LONGEST]
        hint = "psql with the same address must answer; the password comes from PGPASSWORD or ~/.pgpass"
        raise BadInput(f"it cannot be read: {words}", where=place, hint=hint) from error


def quote_table(name: str) -> str:
    """A table's name for SQL, with its schema before a dot."""
    return ".".join(map(quote_name, name.split(".")))


def quote_name(name: str) -> str:
    """A name for SQL."""
    return '"' + name.replace('"', '""') + '"'
