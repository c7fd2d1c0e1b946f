"""Ask all rules of a table in one pass, and tell every one that is broken, with five of its rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelpack.errors import Problem
from modelpack.inputs.data.engine import FILE, ROW, DataEngine
from modelpack.inputs.data.rules import DataRule

if TYPE_CHECKING:
    import ibis

SHOWN = 5
"""Rows that are told of a broken rule."""
MOST_COLUMNS, LONGEST = 12, 40
MASKED = "***"


@dataclass(frozen=True)
class CheckedTable:
    """A table after its rules were asked: its rows, `kept` for the record, and what is broken."""

    rows: int
    kept: tuple[Mapping[str, Any], ...]
    problems: tuple[Problem, ...]


def check_rules(
    engine: DataEngine,
    table: ibis.Table,
    rules: Sequence[DataRule],
    shown: Sequence[str],
    personal: Collection[str],
    place: str,
) -> CheckedTable:
    """One pass over the table for all its rules; then of each that is broken five rows, by the columns `shown`, those
    that are `personal` masked. `place` is the user's word for the data. Raises BadInput when it cannot be read."""
    counts = {f"rule {number}": rule.count for number, rule in enumerate(rules)}
    found = engine.ask_row(table.aggregate(rows=table.count(), **counts), place)
    rows = int(found["rows"])
    kept, problems = [], []
    for number, rule in enumerate(rules):
        broken = int(found[f"rule {number}"])
        kept.append({"rule": rule.words, "rows": broken, "allowed": rule.allowed})
        if broken > rule.allowed * rows:
            names = [name for name in (FILE, ROW, *shown) if name in rule.rows.columns][: MOST_COLUMNS + 2]
            # As text by the engine: Python has no word for some of its times.
            texts = {name: as_text(rule.rows[name]) for name in names}
            examples = engine.fetch(rule.rows.select(**texts).limit(SHOWN), place).to_pylist()
            problems.append(tell_broken(rule, broken, rows, examples, personal, place))
    return CheckedTable(rows, tuple(kept), tuple(problems))


def tell_broken(
    rule: DataRule,
    broken: int,
    rows: int,
    examples: Sequence[Mapping[str, Any]],
    personal: Collection[str],
    place: str,
) -> Problem:
    """A broken rule with its rows, each in a line of its own."""
    lines = "".join(f"\n    {tell_row(row, personal)}" for row in examples)
    among = "" if rule.of_table else f" in {broken:,} of {rows:,} rows"
    return Problem(f"broken{among}: {rule.words}{lines}", rule.where or place)


def tell_row(row: Mapping[str, Any], personal: Collection[str]) -> str:
    """A row by its place and its values, the personal ones masked."""
    number = row.get(ROW)
    at = [Path(row[FILE]).name] if FILE in row else []
    at += [] if number is None else [f"row {int(number) + 1}"]
    values = (
        f"{name}={'(missing)' if value is None else MASKED if name in personal else value[:LONGEST]}"
        for name, value in row.items()
        if name not in (FILE, ROW)
    )
    return f"{' '.join(at)}: {', '.join(values)}".removeprefix(": ")


def as_text(column: ibis.Column) -> Any:
    """A value as a text in one line; null where it is missing."""
    if not column.type().is_string():
        return column.cast("string")
    return column.replace("\n", " ").replace("\r", " ")
