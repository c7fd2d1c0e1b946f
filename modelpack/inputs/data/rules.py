"""The rules of a data contract: those of the use case's schema and those of the spec, as expressions over a table."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from modelpack.errors import Problem
from modelpack.inputs.data.kinds import TypedColumn, take_kind
from modelpack.inputs.spec import DataRuleSpec
from modelpack.usecases.own_data.schema import KINDS, Field, Table

if TYPE_CHECKING:
    import ibis

SPEC = "ecomdeploy.yaml"


@dataclass(frozen=True)
class DataRule:
    """One rule of a table. `count`: how many rows break it, an aggregate; `rows`: those rows, an expression; `allowed`:
    the share of them that the rule takes; `words`: the rule as it is told; `where`: its line, or whose rule it is."""

    words: str
    where: str
    count: Any
    rows: Any
    allowed: float = 0.0
    of_table: bool = False
    """Whether it is kept or broken by the table as a whole."""


def schema_rules(
    table: Table, rows: ibis.Table, found: Mapping[str, TypedColumn], others: Mapping[str, Any]
) -> Iterator[DataRule]:
    """What the use case wants of the columns that are there; `others`: the tables that are there, by name."""
    for one in table.fields:
        if one.name not in found or found[one.name].refused:
            continue
        column = found[one.name]
        yield of_rows(rows, column.bad, f"{one.name} is {one.wanted}")
        if one.once:
            yield each_once(rows, column.values, one.name)
        other, _, name = one.among.partition(".")
        if other in others and name in others[other].columns:
            strange = column.values.notnull() & ~column.values.isin(others[other][name])
            yield of_rows(rows, strange, f"{one.name} is a {name} of {other}")
        if one.from_column in found and not found[one.from_column].refused:
            early = column.values < found[one.from_column].values
            yield of_rows(rows, early, f"{one.name} is not before {one.from_column}")


def spec_rules(one: DataRuleSpec, rows: ibis.Table, now: datetime) -> Iterator[DataRule | Problem]:
    """What one entry of `data.contract` asks, each as a rule of its own; a Problem where it can be none."""
    where = told_line(one)
    named = [name for name in (one.column, one.not_after) if name is not None]
    for name in named:
        if name not in rows.columns:
            near = difflib.get_close_matches(name, rows.columns, n=1, cutoff=0.5)
            hint = f"is it {near[0]!r}?" if near else "columns that data.columns renames go by their new name"
            yield Problem(f"a rule is for the column {name!r}, which is not there", where, hint=hint)
            return
    column = rows[one.column]
    if one.nulls is not None:
        words = f"{one.column} is missing in at most {100 * one.nulls:g} % of the rows"
        yield of_rows(rows, is_missing(column), words, where, one.nulls)
    if one.unique:
        yield each_once(rows, column, one.column, where)
    if one.type is not None or one.min is not None or one.max is not None:
        kind = Field(one.column, one.type or "number", "", low=one.min, high=one.max)
        values = take_kind(column, kind)
        if values.refused:
            yield Problem(f"{one.column}: {values.refused}", where)
        else:
            above = f", {one.max:g} or less" if one.min is None and one.max is not None else ""
            yield of_rows(
                rows, ~is_missing(column) & values.bad, f"{one.column} is {kind.wanted}{above}", where
            )
    for times in (one.fresh is not None, one.not_after is not None):
        if times and (untimed := next((name for name in named if moment(rows[name]).refused), None)):
            yield Problem(f"{untimed}: {moment(rows[untimed]).refused}", where)
            return
    if one.fresh is not None:
        yield is_fresh(rows, moment(column).values, one, now, where)
    if one.not_after is not None:
        later = moment(column).values > moment(rows[one.not_after]).values
        words = (
            f"{one.column} is not after {one.not_after}: nothing of a row was known later than it happened"
        )
        yield of_rows(rows, later, words, where)


def told_line(one: DataRuleSpec) -> str:
    """Where in the spec a rule stands."""
    return f"{SPEC}:{one.line}" if one.line else SPEC


def of_rows(rows: ibis.Table, bad: Any, words: str, where: str = "", allowed: float = 0.0) -> DataRule:
    """A rule that each row keeps or breaks."""
    return DataRule(words, where, bad.ifelse(1, 0).sum().fill_null(0), rows.filter(bad), allowed)


def each_once(rows: ibis.Table, values: Any, name: str, where: str = "") -> DataRule:
    """A rule that no value is there a second time; the rows are those of such values."""
    again = rows.mutate(told_value=values).group_by("told_value").having(lambda one: one.count() > 1).agg()
    repeated = rows.filter(values.isin(again.told_value))
    return DataRule(f"{name} is there once", where, values.count() - values.nunique(), repeated)


def is_fresh(rows: ibis.Table, times: Any, one: DataRuleSpec, now: datetime, where: str) -> DataRule:
    """A rule that the newest row is no older than asked; the rows are the newest."""
    import ibis

    hours = (one.fresh or 0) / 3600
    oldest = now - timedelta(seconds=one.fresh or 0)
    stale = times.max().fill_null(ibis.timestamp("1970-01-01")) < ibis.literal(oldest.replace(tzinfo=None))
    newest = rows.order_by(times.desc())
    words = f"the newest {one.column} is at most {hours:g} hours old"
    return DataRule(words, where, stale.ifelse(1, 0), newest, of_table=True)


def is_missing(column: Any) -> Any:
    """Whether nothing stands there: a text of blanks is nothing."""
    return column.strip().nullif("").isnull() if column.type().is_string() else column.isnull()


def moment(column: Any) -> TypedColumn:
    """A column's times."""
    return take_kind(column, Field("", "time", KINDS["time"]))
