"""Read a user's own tables, and tell everything that is wrong with them at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelpack.errors import BadInput, Problem
from modelpack.owndata.files import table_files
from modelpack.owndata.schema import Field, OwnData, Table

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 60
OTHER_COMMAS = (";", "\t", "|")


class TooLittle(Exception):
    """What is left of the data is too little to train and measure honestly; the text says of what."""


@contextmanager
def too_little(path: Path) -> Iterator[None]:
    """TooLittle as BadInput, with the data's place."""
    try:
        yield
    except TooLittle as error:
        raise BadInput(str(error), where=str(path), hint="give more of your data") from error


def read(path: Path, wanted: OwnData, usecase: str = "USECASE") -> dict[str, pd.DataFrame]:
    """The tables of a use case by name, each with exactly the declared columns that are there, in their kinds.

    Raises BadInput: every problem of every table.
    """
    found, problems = {}, []
    for table, files in placed(path, wanted):
        if not files:
            if table.required:
                names = f"{table.name}.parquet or {table.name}.csv"
                problems.append(Problem(f"the table {table.name!r} is missing", str(path), hint=names))
            continue
        rows, wrong = one_table(files, table)
        problems += wrong
        if rows is not None:
            found[table.name] = rows
    if problems:
        raise BadInput(problems, hint=f"ecomdeploy schema {usecase} tells what the data must hold")
    return found


def placed(path: Path, wanted: OwnData) -> list[tuple[Table, tuple[Path, ...]]]:
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


def one_table(files: tuple[Path, ...], table: Table) -> tuple[pd.DataFrame | None, list[Problem]]:
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
    whole = pd.concat(parts, ignore_index=True)
    if len(whole) < table.fewest:
        where = str(files[0] if len(files) == 1 else files[0].parent)
        return None, [
            Problem(f"{table.name}: {len(whole):,} rows; at least {table.fewest:,} are needed", where)
        ]
    return whole, []


def one_file(file: Path, table: Table) -> tuple[pd.DataFrame | None, list[Problem]]:
    """One file's declared columns in their kinds, or what is wrong with it."""
    import pandas as pd

    where = str(file)
    try:
        raw = (
            parquet(file)
            if file.suffix == ".parquet"
            else pd.read_csv(file, dtype=str, keep_default_na=False)
        )
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        return None, [Problem(f"it cannot be read as {file.suffix[1:]}: {first[:200]}", where)]
    raw.columns = [str(name).strip() for name in raw.columns]
    if file.suffix == ".csv" and (parted := [mark for mark in OTHER_COMMAS if mark in raw.columns[0]]):
        return None, [Problem(f"its columns are parted by {parted[0]!r}; commas are wanted", f"{where}:1")]
    missing = [
        absent(one, raw.columns, where)
        for one in table.fields
        if one.required and one.name not in raw.columns
    ]
    if not len(raw):
        return None, [*missing, Problem("it has no rows", where)]
    columns: dict[str, Any] = {}
    for one in table.fields:
        if one.name in raw.columns:
            columns[one.name], wrong = converted(raw[one.name], one, file)
            missing += wrong
    return (None if missing else pd.DataFrame(columns)), missing


def parquet(file: Path) -> pd.DataFrame:
    """A Parquet file as plain columns."""
    import pyarrow.parquet as pq

    return pq.ParquetFile(file).read().to_pandas()


def absent(one: Field, have: Any, where: str) -> Problem:
    """A missing column, with the nearest that is there."""
    near = difflib.get_close_matches(one.name, list(have), n=1, cutoff=0.5)
    hint = f"is it {near[0]!r}? rename it" if near else f"it has: {', '.join(map(str, have))[: SHOWN * 3]}"
    return Problem(f"the column {one.name!r} is missing ({one.about}; {one.wanted})", where, hint=hint)


def converted(column: pd.Series, one: Field, file: Path) -> tuple[Any, list[Problem]]:
    """The column in its kind, or its first bad row. Row numbers are the file's: a CSV's heading is line 1."""
    import pandas as pd

    texts = column.map(lambda value: value.strip() if isinstance(value, str) else value)
    gone = texts.isna() | (texts == "")
    if one.kind == "text":
        found: Any = texts.astype(str)
        bad = gone
    elif one.kind == "time":
        found = moments(texts)
        bad = found.isna()
    else:
        found = pd.to_numeric(texts, errors="coerce").astype(np.float64)
        bad = ~np.isfinite(found)
        if one.kind in ("whole", "yes"):
            bad |= found != np.floor(found)
        if one.kind == "yes":
            bad |= ~found.isin((0, 1))
        if one.low is not None:
            bad |= found < one.low
        if one.high is not None:
            bad |= found > one.high
    if bad.any():
        row = int(np.flatnonzero(bad.to_numpy())[0])
        value = "nothing" if gone.iloc[row] else repr(str(column.iloc[row])[:SHOWN])
        line = f"{file}:{row + 2}" if file.suffix == ".csv" else f"{file} row {row + 1}"
        rows = int(bad.sum())
        more = f" ({rows:,} rows are wrong)" if rows > 1 else ""
        return None, [Problem(f"{one.name} is {value}{more}; expected {one.wanted}", line)]
    return (found.astype(np.int64) if one.kind in ("whole", "yes") else found), []


def moments(texts: pd.Series) -> pd.Series:
    """Moments without a zone, in UTC where one was given; NaT where there is none."""
    import pandas as pd

    if texts.dtype.kind in "iuf":  # a bare number is no date
        return pd.Series(pd.NaT, index=texts.index)
    found = pd.to_datetime(
        texts, errors="coerce", utc=True, format="ISO8601" if texts.dtype.kind != "M" else None
    )
    return found.dt.tz_localize(None)


def enough(count: int, least: int, what: str) -> None:
    """Raises TooLittle when there are fewer than `least`."""
    if count < least:
        raise TooLittle(f"{count:,} {what}; at least {least:,} are needed to train and measure honestly")


def optional(table: pd.DataFrame, name: str, otherwise: Any) -> Any:
    """A column, or `otherwise` where it was left out."""
    return table[name] if name in table.columns else otherwise


def counts(tables: Mapping[str, pd.DataFrame]) -> dict[str, int]:
    """Rows by table."""
    return {name: len(table) for name, table in tables.items()}
