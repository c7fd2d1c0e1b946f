"""A shop's own data where it lies: its tables opened in the engine, held to the contract, prepared, brought back."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from modelpack.errors import BadInput, Problem
from modelpack.home import Home
from modelpack.inputs.data.check import CheckedTable, check_rules
from modelpack.inputs.data.engine import FILE, ROW, DataEngine, DataSource
from modelpack.inputs.data.kinds import TypedColumn, take_kind
from modelpack.inputs.data.rules import DataRule, schema_rules, spec_rules, told_line
from modelpack.inputs.extras import tell_missing
from modelpack.inputs.spec import DataRuleSpec, DataSpec
from modelpack.progress import Progress
from modelpack.usecases.base import UseCase
from modelpack.usecases.optional.own_tables import Condensed, OwnRows, OwnTables
from modelpack.usecases.own_data.reading import too_little
from modelpack.usecases.own_data.schema import OwnData, Table
from modelpack.usecases.own_data.values import report_absent

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class SourceTables:
    """The prepared `tables`, as Arrow, by name; and what was `read` of them."""

    tables: Mapping[str, pa.Table]
    read: OwnRows


def prepare_source(
    usecase: UseCase[Any],
    source: DataSource,
    data: DataSpec | None,
    home: Home,
    progress: Progress,
    digest: str | None = None,
) -> tuple[Any, OwnRows]:
    """`UseCase.prepare` on the tables of `data.from`, and what was read of them. Raises BadInput, also where they are
    not those that `digest` names any more."""
    if data is None or not isinstance(usecase, OwnTables):
        raise BadInput(f"the use case {usecase.name!r} takes no own data yet", hint="leave data: out")
    found = read_source(usecase, usecase.own_data, source, data, progress, digest=digest)
    with too_little(source.place):
        made = usecase.from_tables(
            {name: one.to_pandas() for name, one in found.tables.items()}, home, progress
        )
    return made, found.read


@dataclass(frozen=True)
class OpenTable:
    """A table in the engine: its `rows` under the use case's names, and its fields in their kinds."""

    wanted: Table
    rows: Any
    found: Mapping[str, TypedColumn]
    place: str

    @property
    def values(self) -> Any:
        """The fields alone, in their kinds."""
        return self.rows.select(**{name: column.values for name, column in self.found.items()})


def read_source(
    usecase: object,
    wanted: OwnData,
    source: DataSource,
    data: DataSpec,
    progress: Progress,
    now: datetime | None = None,
    digest: str | None = None,
) -> SourceTables:
    """The tables of `data.from`, held to the use case's schema and to `data.contract` (as of `now`, of the machine's
    clock where it is None), prepared in the engine where the use case says how.

    Raises BadInput: what cannot be read, or every rule that is broken, with five rows each.
    """
    with tell_missing(), source.open(digest) as (engine, there):
        opened = open_tables(engine, wanted, there, data, source.place)
        checked = check_tables(engine, opened, data, now or datetime.now(UTC))
        values = {name: table.values for name, table in opened.items()}
        asked = usecase.condense(values) if isinstance(usecase, Condensed) else values
        tables = {name: in_order(engine.fetch(one, source.place)) for name, one in asked.items()}
    for name, one in checked.items():
        progress.note(f"your own {name}: {one.rows:,} rows; {len(one.kept)} rules hold")
    if isinstance(usecase, Condensed):
        back = ", ".join(f"{len(table):,} {name}" for name, table in tables.items())
        progress.note(f"prepared where they lie; rows that came back: {back}")
    zones = {
        f"{name}.{column}": "UTC"
        for name, table in opened.items()
        for column, one in table.found.items()
        if one.zoned
    }
    for name in zones:
        progress.note(f"{name} has a zone: the hour is UTC's, not the shop's")
    rows = {name: one.rows for name, one in checked.items()}
    kept = {name: one.kept for name, one in checked.items()}
    prepared = {name: {"rows": len(one), "sha256": table_digest(one)} for name, one in tables.items()}
    return SourceTables(tables, OwnRows(rows, zones=zones, prepared=prepared, contract=kept))


def open_tables(
    engine: DataEngine, wanted: OwnData, there: Mapping[str, Any], data: DataSpec, place: str
) -> dict[str, OpenTable]:
    """Each table that is there, by name. Raises BadInput: columns that are missing or can be of no such kind."""
    opened: dict[str, OpenTable] = {}
    problems: list[Problem] = list(report_unknown(wanted, data))
    for table in wanted.tables:
        if table.name not in there:
            continue
        rows = engine.add_view(table.name, there[table.name])
        have = [name for name in rows.columns if name not in (FILE, ROW)]
        renamed = own_names(table, data.columns)
        lacking = {name: own for name, own in renamed.items() if own not in rows.columns}
        problems += [told_renamed(name, own, have, place) for name, own in lacking.items()]
        given = {name: own for name, own in renamed.items() if name not in lacking}
        rows = rows.drop(*(name for name in given if name in rows.columns and name not in given.values()))
        rows = rows.rename(given)
        for one in table.fields:
            if one.required and one.name not in (*rows.columns, *lacking):
                problems.append(report_absent(one, have, place))
        found = {one.name: take_kind(rows[one.name], one) for one in table.fields if one.name in rows.columns}
        problems += [
            Problem(f"{name}: {column.refused}", place) for name, column in found.items() if column.refused
        ]
        opened[table.name] = OpenTable(table, rows, found, place)
    if problems:
        raise BadInput(problems, hint="data: {columns: {time: ordered_at}} says which column is which")
    return opened


def own_names(table: Table, columns: Mapping[str, str]) -> dict[str, str]:
    """The use case's names of a table's columns with the user's, where they differ: `time` or `sales.time`."""
    names = {one.name for one in table.fields}
    found = {}
    for key, own in columns.items():
        of_table, _, name = key.rpartition(".")
        if name in names and of_table in ("", table.name) and own != name:
            found[name] = own
    return found


def report_unknown(wanted: OwnData, data: DataSpec) -> Iterator[Problem]:
    """Names of `data.columns` that no table of the use case has: nothing would come of them."""
    known = [
        name
        for table in wanted.tables
        for one in table.fields
        for name in (one.name, f"{table.name}.{one.name}")
    ]
    for key in data.columns:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            what = f"data.columns names {key!r}, which is no column of the use case's"
            yield Problem(what, data.place, hint=f"is it {near[0]!r}?" if near else "")


def told_renamed(name: str, own: str, have: Sequence[str], place: str) -> Problem:
    """That a column which `data.columns` names is not there."""
    near = difflib.get_close_matches(own, have, n=1, cutoff=0.5)
    what = f"data.columns says that {name} is {own!r}, and there is no such column"
    return Problem(what, place, hint=f"is it {near[0]!r}?" if near else "")


def check_tables(
    engine: DataEngine, opened: Mapping[str, OpenTable], data: DataSpec, now: datetime
) -> dict[str, CheckedTable]:
    """What was found of each table. Raises BadInput: all that is broken, in all tables."""
    checked: dict[str, CheckedTable] = {}
    problems: list[Problem] = [
        Problem(f"a rule is for the table {one.table!r}; known: {', '.join(opened)}", told_line(one))
        for one in data.contract
        if one.table is not None and one.table not in opened
    ]
    others = {name: table.values for name, table in opened.items()}
    contract = by_use_cases_names(opened, data)
    personal = {
        *data.personal,
        *(key.rpartition(".")[2] for key, own in data.columns.items() if own in data.personal),
    }
    for name, table in opened.items():
        rules: list[DataRule] = list(schema_rules(table.wanted, table.rows, table.found, others))
        asked = [one for one in contract if name == table_of(one, opened)]
        for rule in (each for one in asked for each in spec_rules(one, table.rows, now)):
            if isinstance(rule, Problem):
                problems.append(rule)
            else:
                rules.append(rule)
        shown = list(dict.fromkeys([*(one.column for one in asked), *table.found]))
        place = table.place
        checked[name] = check_rules(engine, table.rows, rules, shown, personal, place)
        problems += checked[name].problems
        if checked[name].rows < table.wanted.fewest:
            few = f"{name}: {checked[name].rows:,} rows; at least {table.wanted.fewest:,} are needed"
            problems.append(Problem(few, place))
    if problems:
        raise BadInput(problems, hint="mend the data, or the rule; nothing was packed")
    return checked


def by_use_cases_names(opened: Mapping[str, OpenTable], data: DataSpec) -> list[DataRuleSpec]:
    """The contract, in which a column that `data.columns` renames may go by either name."""
    back = {
        own: name for table in opened.values() for name, own in own_names(table.wanted, data.columns).items()
    }
    return [
        replace(
            one,
            column=back.get(one.column, one.column),
            not_after=back.get(one.not_after or "", one.not_after),
        )
        for one in data.contract
    ]


def table_of(one: DataRuleSpec, opened: Mapping[str, OpenTable]) -> str:
    """The table that a rule is for: the one that it names, or the first that has its column."""
    having = (name for name, table in opened.items() if one.column in table.rows.columns)
    return one.table or next(having, next(iter(opened)))


def in_order(table: pa.Table) -> pa.Table:
    """The rows by all columns, texts by their bytes: no engine's order is in them."""
    return table.sort_by([(name, "ascending") for name in table.column_names])


def table_digest(table: pa.Table) -> str:
    """sha256 over the columns' names, kinds and values, in the order of the rows: no library's format is in it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = hashlib.sha256()
    for name in table.column_names:
        column = table[name].combine_chunks()
        found.update(f"{name}\0{column.type}\0{len(column)}\0".encode())
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            found.update(pc.binary_length(column).cast(pa.int64()).to_numpy(zero_copy_only=False).tobytes())
            found.update("".join(column.to_pylist()).encode())
        else:
            found.update(column.to_numpy(zero_copy_only=False).tobytes())
    return found.hexdigest()
