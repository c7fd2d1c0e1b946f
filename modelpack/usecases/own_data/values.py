"""One file of a user's own table: its declared columns in their kinds, or every problem with file and line."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from modelpack.errors import Problem
from modelpack.usecases.own_data.csv_lines import NotCsv, read_columns, read_heading
from modelpack.usecases.own_data.kinds import ReadColumn, convert, of_many
from modelpack.usecases.own_data.schema import Field, Table
from modelpack.usecases.own_data.zones import Zone

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 60
OTHER_COMMAS = (";", "\t", "|")


@dataclass(frozen=True)
class FilePart:
    """What was read of one file: `rows` that can be read, `numbers` of their lines in a CSV (rows from 1 in
    Parquet), how many rows there are in all, whose clock its times are by. `problems` end it; `unreadable` are
    those of single rows."""

    file: Path
    rows: pd.DataFrame | None = None
    numbers: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    count: int = 0
    zones: dict[str, Zone] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    unreadable: tuple[Problem, ...] = ()

    @property
    def lost(self) -> int:
        """Rows that cannot be read."""
        return self.count - len(self.numbers)

    def place(self, row: int) -> str:
        """The file and the place of a row that was read."""
        return place(self.file, int(self.numbers[row]))


@dataclass(frozen=True)
class Raw:
    """The wanted columns as they stand in the file; a CSV's as text."""

    columns: dict[str, pd.Series]
    numbers: NDArray[np.int64]


def one_file(file: Path, table: Table) -> FilePart:
    """One file's declared columns in their kinds, and what is wrong with it."""
    where = str(file)
    try:
        have = headings(file)
        wanted = [one.name for one in table.fields if one.name in have]
        if file.suffix == ".csv" and (commas := [mark for mark in OTHER_COMMAS if have and mark in have[0]]):
            what = f"its columns are parted by {commas[0]!r}; commas are wanted"
            return FilePart(file, problems=(Problem(what, f"{where}:1"),))
        raw = columns_of(file, have, wanted)
    except UnicodeDecodeError:
        hint = "save it as CSV in UTF-8, or as Parquet"
        return FilePart(file, problems=(Problem("it is not in UTF-8", where, hint=hint),))
    except NotCsv as error:
        what = f"it cannot be read as csv: {error}"
        return FilePart(file, problems=(Problem(what, place(file, error.line), hint=error.hint),))
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        return FilePart(
            file, problems=(Problem(f"it cannot be read as {file.suffix[1:]}: {first[:200]}", where),)
        )
    problems = missing_or_twice(table, have, wanted, where)
    if problems and not wanted:
        return FilePart(file, problems=tuple(problems))
    if not len(raw.numbers):
        return FilePart(file, problems=(*problems, Problem("it has no rows", where)))
    return in_kinds(file, table, raw, have, problems)


def missing_or_twice(table: Table, have: Sequence[str], wanted: Sequence[str], where: str) -> list[Problem]:
    """Columns that are not there, and those that are there twice."""
    absent = [one for one in table.fields if one.required and one.name not in wanted]
    twice = [name for name in wanted if have.count(name) > 1]
    return [
        *(report_absent(one, have, where) for one in absent),
        *(Problem(f"the column {name!r} is there twice", where, hint="rename one of them") for name in twice),
    ]


def in_kinds(file: Path, table: Table, raw: Raw, have: Sequence[str], problems: list[Problem]) -> FilePart:
    """The columns in their kinds, without the rows of which one cannot be read."""
    import pandas as pd

    found: dict[str, ReadColumn] = {
        one.name: convert(raw.columns[one.name], one) for one in table.fields if have.count(one.name) == 1
    }
    count = len(raw.numbers)
    bad, unreadable = np.zeros(count, np.bool_), []
    for one in table.fields:
        if one.name not in found:
            continue
        told = found[one.name]
        if told.refused:
            problems.append(Problem(told.refused, place(file, int(raw.numbers[told.row])), hint=told.hint))
        elif told.bad.any():
            bad |= told.bad
            unreadable.append(first_bad(told, raw, one, file))
    if problems:
        return FilePart(file, problems=(*problems, *unreadable), count=count)
    rows = pd.DataFrame({name: told.values for name, told in found.items()})
    for one in table.fields:
        if one.from_column and one.name in found and (early := too_early(rows, one, ~bad)).any():
            bad |= early
            unreadable.append(told_early(rows, one, early, file, raw.numbers))
    kept = ~bad
    rows = rows[kept].reset_index(drop=True)
    kinds = {one.name: one.kind for one in table.fields}
    whole = {name: np.int64 for name in rows.columns if kinds[name] in ("whole", "yes")}
    zones = {name: told.zone for name, told in found.items() if told.zone is not None}
    return FilePart(file, rows.astype(whole), raw.numbers[kept], count, zones, (), tuple(unreadable))


def first_bad(told: ReadColumn, raw: Raw, one: Field, file: Path) -> Problem:
    """The first row of a column that cannot be read."""
    row = int(told.bad.argmax())
    value = "nothing" if told.gone[row] else repr(str(raw.columns[one.name].iloc[row])[:SHOWN])
    what = f"{one.name} is {value}{of_many(told.bad)}; expected {one.wanted}"
    if told.far is not None and told.far[row]:
        what = f"{one.name} is {value}{of_many(told.far)}, {told.why}"
    return Problem(what, place(file, int(raw.numbers[row])), hint=told.hint)


def headings(file: Path) -> list[str]:
    """The names of the columns, without the spaces around them."""
    if file.suffix == ".parquet":
        import pyarrow.parquet as pq

        return [str(name).strip() for name in pq.ParquetFile(file).schema_arrow.names]
    return [name.strip() for name in read_heading(file)]


def columns_of(file: Path, have: Sequence[str], wanted: Sequence[str]) -> Raw:
    """The wanted columns as they stand in the file; a CSV's as text. Of a column that is there twice the last."""
    import pandas as pd

    places = [place for place, name in enumerate(have) if name in wanted]
    if file.suffix == ".csv":
        lines = read_columns(file, places)
        texts = zip(places, lines.columns, strict=True)
        columns = {have[place]: pd.Series(values, dtype="str") for place, values in texts}
        return Raw(columns, np.asarray(lines.numbers, dtype=np.int64))
    import pyarrow.parquet as pq

    opened = pq.ParquetFile(file)
    names = [opened.schema_arrow.names[place] for place in places]
    # Whole numbers beside missing ones stay whole: as floats, large ids would become their neighbours.
    read = opened.read(columns=names).to_pandas(ignore_metadata=True, integer_object_nulls=True)
    columns = {have[place]: read.iloc[:, at] for at, place in enumerate(places)}
    return Raw(columns, np.arange(1, len(read) + 1, dtype=np.int64))


def report_absent(one: Field, have: Sequence[str], where: str) -> Problem:
    """A missing column, with the nearest that is there."""
    near = difflib.get_close_matches(one.name, have, n=1, cutoff=0.5)
    hint = f"is it {near[0]!r}? rename it" if near else f"it has: {', '.join(have)[: SHOWN * 3]}"
    return Problem(f"the column {one.name!r} is missing ({one.about}; {one.wanted})", where, hint=hint)


def too_early(rows: pd.DataFrame, one: Field, kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The rows whose value lies before that of the column it must not lie before."""
    found: NDArray[np.bool_] = (rows[one.name] < rows[one.from_column]).to_numpy(np.bool_)
    return found & kept


def told_early(
    rows: pd.DataFrame, one: Field, early: NDArray[np.bool_], file: Path, numbers: NDArray[np.int64]
) -> Problem:
    """The first of them."""
    row = int(early.argmax())
    value, other = rows[one.name].iloc[row], rows[one.from_column].iloc[row]
    what = f"{one.name} is {value}, before {one.from_column}, which is {other}{of_many(early)}"
    return Problem(what, place(file, int(numbers[row])))


def place(file: Path, number: int) -> str:
    """The file and a line of it, as an editor numbers them; of a Parquet file the row, from 1."""
    return f"{file}:{number}" if file.suffix == ".csv" else f"{file} row {number}"
