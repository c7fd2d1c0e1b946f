"""One file of a user's own table: its declared columns in their kinds, or every problem with file and row."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelpack.errors import Problem
from modelpack.usecases.own_data.schema import Field, Table

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 60
OTHER_COMMAS = (";", "\t", "|")
MOST_EXACT = 2.0**53
"""Beyond it a float64 does not tell neighbouring whole numbers apart."""
CODE = "[0-9A-Z]{1,3}"


def one_file(file: Path, table: Table) -> tuple[pd.DataFrame | None, list[Problem]]:
    """One file's declared columns in their kinds, or what is wrong with it."""
    import pandas as pd

    where = str(file)
    try:
        have = headings(file)
        wanted = [one.name for one in table.fields if one.name in have]
        raw = columns_of(file, have, wanted)
    except UnicodeDecodeError:
        return None, [Problem("it is not in UTF-8", where, hint="save it as CSV in UTF-8, or as Parquet")]
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        return None, [Problem(f"it cannot be read as {file.suffix[1:]}: {first[:200]}", where)]
    if file.suffix == ".csv" and (parted := [mark for mark in OTHER_COMMAS if have and mark in have[0]]):
        return None, [Problem(f"its columns are parted by {parted[0]!r}; commas are wanted", f"{where}:1")]
    problems = [
        report_absent(one, have, where) for one in table.fields if one.required and one.name not in wanted
    ]
    problems += [
        Problem(f"the column {name!r} is there twice", where, hint="rename one of them")
        for name in wanted
        if have.count(name) > 1
    ]
    if problems and not wanted:
        return None, problems
    if not len(raw):
        return None, [*problems, Problem("it has no rows", where)]
    found: dict[str, Any] = {}
    for one in table.fields:
        if have.count(one.name) == 1:
            found[one.name], wrong = convert(raw[one.name], one, file)
            problems += wrong
    if not problems:
        problems = [
            problem
            for one in table.fields
            if one.from_column and one.name in found
            for problem in too_early(found, one, file)
        ]
    return (None if problems else pd.DataFrame(found)), problems


def headings(file: Path) -> list[str]:
    """The names of the columns, without the spaces around them."""
    if file.suffix == ".parquet":
        import pyarrow.parquet as pq

        return [str(name).strip() for name in pq.ParquetFile(file).schema_arrow.names]
    import pandas as pd

    first = pd.read_csv(file, dtype=str, header=None, nrows=1, keep_default_na=False)
    return [str(name).strip() for name in first.iloc[0]]


def columns_of(file: Path, have: Sequence[str], wanted: Sequence[str]) -> pd.DataFrame:
    """The wanted columns as they stand in the file; a CSV's as text."""
    places = [place for place, name in enumerate(have) if name in wanted]
    if file.suffix == ".parquet":
        import pyarrow.parquet as pq

        opened = pq.ParquetFile(file)
        names = [opened.schema_arrow.names[place] for place in places]
        found: pd.DataFrame = opened.read(columns=names).to_pandas(ignore_metadata=True)
    else:
        import pandas as pd

        found = pd.read_csv(file, dtype=str, keep_default_na=False, usecols=places, index_col=False)
    found.columns = [have[place] for place in places]
    return found


def report_absent(one: Field, have: Sequence[str], where: str) -> Problem:
    """A missing column, with the nearest that is there."""
    near = difflib.get_close_matches(one.name, have, n=1, cutoff=0.5)
    hint = f"is it {near[0]!r}? rename it" if near else f"it has: {', '.join(have)[: SHOWN * 3]}"
    return Problem(f"the column {one.name!r} is missing ({one.about}; {one.wanted})", where, hint=hint)


def convert(column: pd.Series, one: Field, file: Path) -> tuple[Any, list[Problem]]:
    """The column in its kind, or its first bad row."""
    texts = column.str.strip() if is_text(column) else column
    gone = texts.isna() | (texts == "") if texts.dtype.kind == "O" else texts.isna()
    if one.kind in ("text", "code"):
        found: Any = texts.astype(str)
        bad = gone
        if one.kind == "code":
            bad = gone | ~found.str.fullmatch(CODE)
    elif one.kind == "time":
        found = moments(texts)
        bad = found.isna()
    else:
        found, bad = numbers(texts, one)
    if bad.any():
        row = int(np.flatnonzero(bad.to_numpy())[0])
        value = "nothing" if gone.iloc[row] else repr(str(column.iloc[row])[:SHOWN])
        what = f"{one.name} is {value}{of_many(bad)}; expected {one.wanted}"
        return None, [Problem(what, place(file, row))]
    kinds = {"whole": np.int64, "yes": np.int64, "number": np.float64}
    return (found.astype(kinds[one.kind]) if one.kind in kinds else found), []


def is_text(column: pd.Series) -> bool:
    """Whether every value is a text or nothing."""
    import pandas as pd

    return bool(pd.api.types.is_string_dtype(column.dropna()))


def numbers(texts: pd.Series, one: Field) -> tuple[Any, Any]:
    """The column as float64, or int64 where it holds nothing else, and which rows are none of the field's numbers."""
    import pandas as pd

    exact = pd.to_numeric(texts, errors="coerce")
    found = exact.astype(np.float64)
    bad = ~np.isfinite(found)
    if one.kind in ("whole", "yes"):
        bad |= found != np.floor(found)
        if exact.dtype != np.int64:
            bad |= found.abs() > MOST_EXACT
    if one.kind == "yes":
        bad |= ~found.isin((0, 1))
    if one.low is not None:
        bad |= found < one.low
    if one.high is not None:
        bad |= found > one.high
    return (exact if exact.dtype == np.int64 else found), bad


def moments(texts: pd.Series) -> pd.Series:
    """Moments without a zone, in UTC where one was given; NaT where there is none."""
    import pandas as pd

    if texts.dtype.kind in "iuf":  # a bare number is no date
        return pd.Series(pd.NaT, index=texts.index)
    found = pd.to_datetime(
        texts, errors="coerce", utc=True, format="ISO8601" if texts.dtype.kind != "M" else None
    )
    return found.dt.tz_localize(None)


def too_early(found: dict[str, Any], one: Field, file: Path) -> list[Problem]:
    """The first row whose value lies before that of the column it must not lie before."""
    bad = found[one.name] < found[one.from_column]
    if not bad.any():
        return []
    row = int(np.flatnonzero(bad.to_numpy())[0])
    value, other = found[one.name].iloc[row], found[one.from_column].iloc[row]
    what = f"{one.name} is {value}, before {one.from_column}, which is {other}{of_many(bad)}"
    return [Problem(what, place(file, row))]


def of_many(bad: pd.Series) -> str:
    """How many rows are wrong, where it is not one."""
    rows = int(bad.sum())
    return f" ({rows:,} rows are wrong)" if rows > 1 else ""


def place(file: Path, row: int) -> str:
    """The file and the row (from 0) in it, as an editor numbers them: a CSV's heading is line 1."""
    return f"{file}:{row + 2}" if file.suffix == ".csv" else f"{file} row {row + 1}"
