"""Read a user's own tables, and tell everything that is wrong with them at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelpack.errors import BadInput, Problem
from modelpack.usecases.own_data.files import table_files
from modelpack.usecases.own_data.schema import Field, OwnData, Table
from modelpack.usecases.own_data.values import SHOWN, of_many, one_file, place

if TYPE_CHECKING:
    import pandas as pd


class TooLittle(Exception):
    """Too little is left of the data to train and measure honestly; the text says of what, `hint` what to do."""

    def __init__(self, what: str, hint: str = "give more of your data") -> None:
        super().__init__(what)
        self.hint = hint


@contextmanager
def too_little(path: Path) -> Iterator[None]:
    """TooLittle as BadInput, with the data's place."""
    try:
        yield
    except TooLittle as error:
        raise BadInput(str(error), where=str(path), hint=error.hint) from error


@dataclass(frozen=True)
class Whole:
    """A table's rows from all its files, and how many are from each."""

    rows: pd.DataFrame
    files: tuple[tuple[Path, int], ...]

    def place(self, row: int) -> str:
        """The file of a row and the row in it."""
        for file, count in self.files:
            if row < count:
                return place(file, row)
            row -= count
        raise IndexError(row)


def read(path: Path, wanted: OwnData, usecase: str = "USECASE") -> dict[str, pd.DataFrame]:
    """The tables of a use case by name, each with exactly the declared columns that are there, in their kinds.

    Raises BadInput: every problem of every table.
    """
    found: dict[str, Whole] = {}
    problems = []
    for table, files in assign_files(path, wanted):
        if not files:
            if table.required:
                names = f"{table.name}.parquet or {table.name}.csv"
                problems.append(Problem(f"the table {table.name!r} is missing", str(path), hint=names))
            continue
        whole, wrong = whole_table(files, table)
        problems += wrong
        if whole is not None:
            found[table.name] = whole
    problems += strangers(found, wanted)
    if problems:
        raise BadInput(problems, hint=f"ecomdeploy schema {usecase} tells what the data must hold")
    return {name: whole.rows for name, whole in found.items()}


def assign_files(path: Path, wanted: OwnData) -> list[tuple[Table, tuple[Path, ...]]]:
    """Each table with its files: by name in a folder; a single table may be one file, or all files of a folder."""
    files = table_files(path)
    named = {table.name: tuple(one for one in files if one.stem == table.name) for table in wanted.tables}
    if len(wanted.tables) == 1 and not any(named.values()):
        return [(wanted.tables[0], files)]
    if path.is_file():
        first = next((table for table in wanted.tables if table.required), wanted.tables[0])
        others = [table for table in wanted.tables if table is not first]
        return [(first, files), *((table, ()) for table in others)]
    return [(table, named[table.name]) for table in wanted.tables]


def whole_table(files: tuple[Path, ...], table: Table) -> tuple[Whole | None, list[Problem]]:
    """All files of a table under each other, in their kinds, or what is wrong."""
    import pandas as pd

    parts, problems = [], []
    for file in files:
        rows, wrong = one_file(file, table)
        problems += wrong
        if rows is not None:
            parts.append(rows)
    if problems or not parts:
        return None, problems
    counted = tuple((file, len(part)) for file, part in zip(files, parts, strict=True))
    whole = Whole(pd.concat(parts, ignore_index=True), counted)
    problems = [problem for one in table.fields if one.once for problem in find_repeated(whole, one)]
    problems += [uneven(one, files, parts) for one in table.fields if is_uneven(one, parts)]
    if len(whole.rows) < table.fewest:
        where = str(files[0] if len(files) == 1 else files[0].parent)
        few = f"{table.name}: {len(whole.rows):,} rows; at least {table.fewest:,} are needed"
        problems.append(Problem(few, where))
    return (None if problems else whole), problems


def is_uneven(one: Field, parts: list[pd.DataFrame]) -> bool:
    """Whether some files have the column and others have not."""
    return len({one.name in part.columns for part in parts}) > 1


def uneven(one: Field, files: tuple[Path, ...], parts: list[pd.DataFrame]) -> Problem:
    """A column that one file has and another has not."""
    here = {one.name in part.columns: file for file, part in zip(files, parts, strict=True)}
    what = f"the column {one.name!r} is missing here and there in {here[True].name}"
    return Problem(what, str(here[False]), hint="all files of a table have the same columns")


def find_repeated(whole: Whole, one: Field) -> list[Problem]:
    """The first value of the column that was there before."""
    bad = whole.rows[one.name].duplicated()
    if not bad.any():
        return []
    row = int(np.flatnonzero(bad.to_numpy())[0])
    value = str(whole.rows[one.name].iloc[row])[:SHOWN]
    what = f"{one.name} is {value!r} a second time{of_many(bad)}; each is wanted once"
    return [Problem(what, whole.place(row))]


def strangers(found: Mapping[str, Whole], wanted: OwnData) -> list[Problem]:
    """Values that must stand in another table and do not, the first of each column."""
    problems = []
    for table in wanted.tables:
        for one in table.fields:
            other, _, column = one.among.partition(".")
            if not one.among or table.name not in found or other not in found:
                continue
            whole = found[table.name]
            bad = ~whole.rows[one.name].isin(found[other].rows[column])
            if bad.any():
                row = int(np.flatnonzero(bad.to_numpy())[0])
                value = str(whole.rows[one.name].iloc[row])[:SHOWN]
                what = f"{one.name} is {value!r}{of_many(bad)}; {other} has no such {column}"
                problems.append(Problem(what, whole.place(row)))
    return problems


def enough(count: int, least: int, what: str) -> None:
    """Raises TooLittle when there are fewer than `least`."""
    if count < least:
        raise TooLittle(f"{count:,} {what}; at least {least:,} are needed to train and measure honestly")


def optional(table: pd.DataFrame, name: str, otherwise: Any) -> Any:
    """A column, or `otherwise` where it was left out."""
    return table[name] if name in table.columns else otherwise
