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
from modelpack.usecases.own_data.kinds import of_many
from modelpack.usecases.own_data.schema import Field, OwnData, Table
from modelpack.usecases.own_data.values import SHOWN, FilePart, one_file
from modelpack.usecases.own_data.zones import Zone, join_zones

if TYPE_CHECKING:
    import pandas as pd


class TooLittle(Exception):
    """Too little is left of the data to train and measure honestly; the text says of what, `hint` what to do."""

    def __init__(self, what: str, hint: str = "give more of your data") -> None:
        super().__init__(what)
        self.hint = hint


@contextmanager
def too_little(path: Path | str) -> Iterator[None]:
    """TooLittle as BadInput, with the data's place."""
    try:
        yield
    except TooLittle as error:
        raise BadInput(str(error), where=str(path), hint=error.hint) from error


@dataclass(frozen=True)
class Whole:
    """A table's rows from all its files, and the files' parts of it."""

    rows: pd.DataFrame
    parts: tuple[FilePart, ...]

    def place(self, row: int) -> str:
        """The file of a row and its line in it."""
        for part in self.parts:
            if row < len(part.numbers):
                return part.place(row)
            row -= len(part.numbers)
        raise IndexError(row)


@dataclass(frozen=True)
class Read(Mapping[str, "pd.DataFrame"]):
    """The `tables` by name, each with exactly the declared columns that are there, in their kinds.

    `unreadable`: of each how many rows were left out, for they cannot be read; `slips`: the first of them, in words;
    `zones`: whose clock times are by, by `table.column`.
    """

    tables: Mapping[str, pd.DataFrame]
    unreadable: Mapping[str, int]
    slips: tuple[str, ...]
    zones: Mapping[str, str]

    def __getitem__(self, name: str) -> pd.DataFrame:
        return self.tables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tables)

    def __len__(self) -> int:
        return len(self.tables)


def read(path: Path, wanted: OwnData, usecase: str = "USECASE", limit: float = 0.0) -> Read:
    """The tables of a use case, without rows that cannot be read, where those are at most the share `limit` of a table.

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
        whole, wrong = whole_table(files, table, limit)
        problems += wrong
        if whole is not None:
            found[table.name] = whole
    problems += strangers(found, wanted)
    problems += clocks(found)
    if problems:
        raise BadInput(problems, hint=f"ecomdeploy schema {usecase} tells what the data must hold")
    return Read(
        {name: whole.rows for name, whole in found.items()},
        {name: lost for name, whole in found.items() if (lost := sum(part.lost for part in whole.parts))},
        tuple(str(slip) for whole in found.values() for part in whole.parts for slip in part.unreadable),
        {key: zone.words for key, _, zone in zones_of(found) if zone.runs},
    )


def zones_of(found: Mapping[str, Whole]) -> list[tuple[str, Path, Zone]]:
    """Of each column of times in each file `table.column`, the file, and its zone."""
    return [
        (f"{name}.{column}", part.file, zone)
        for name, whole in found.items()
        for part in whole.parts
        for column, zone in part.zones.items()
    ]


def clocks(found: Mapping[str, Whole]) -> list[Problem]:
    """Times of one shop that are by different clocks: the first column that does not go with those before it."""
    known: list[tuple[str, Path, Zone]] = []
    for key, file, zone in zones_of(found):
        if known and join_zones([*(one for _, _, one in known), zone]) is None:
            first, elsewhere, other = known[0]
            what = f"{key} has {zone.words}, where {first} in {elsewhere.name} has {other.words}: whose clock is it?"
            hint = "write all times by the shop's own clock, all with its zone or all without"
            return [Problem(what, str(file), hint=hint)]
        known.append((key, file, zone))
    return []


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


def whole_table(files: tuple[Path, ...], table: Table, limit: float) -> tuple[Whole | None, list[Problem]]:
    """All files of a table under each other, in their kinds, or what is wrong."""
    import pandas as pd

    parts = [one_file(file, table) for file in files]
    problems = [problem for part in parts for problem in part.problems]
    lost, count = sum(part.lost for part in parts), sum(part.count for part in parts)
    if problems or lost > limit * count:
        problems += [problem for part in parts if not part.problems for problem in part.unreadable]
        return None, [*problems, *too_many(table, lost, count, limit, str(files[0]))]
    frames = [part.rows for part in parts if part.rows is not None]
    whole = Whole(pd.concat(frames, ignore_index=True), tuple(parts))
    problems = [problem for one in table.fields if one.once for problem in find_repeated(whole, one)]
    problems += [uneven(one, files, frames) for one in table.fields if is_uneven(one, frames)]
    if len(whole.rows) < table.fewest:
        where = str(files[0] if len(files) == 1 else files[0].parent)
        few = f"{table.name}: {len(whole.rows):,} rows; at least {table.fewest:,} are needed"
        problems.append(Problem(few, where))
    return (None if problems else whole), problems


def too_many(table: Table, lost: int, count: int, limit: float, where: str) -> list[Problem]:
    """That more rows cannot be read than the spec allows, where it allows some."""
    if not limit or lost <= limit * count:
        return []
    what = f"{table.name}: {lost:,} of {count:,} rows cannot be read; data.unreadable allows {limit:.3%}"
    return [Problem(what, where)]


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
    bad = whole.rows[one.name].duplicated().to_numpy(np.bool_)
    if not bad.any():
        return []
    row = int(bad.argmax())
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
            bad = ~whole.rows[one.name].isin(found[other].rows[column]).to_numpy(np.bool_)
            if bad.any():
                row = int(bad.argmax())
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
