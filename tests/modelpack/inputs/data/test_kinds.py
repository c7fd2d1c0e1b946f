"""What an engine takes for a value of a kind: never what the reader into memory refuses, and the same values."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modelpack.inputs.data.duckdb_files import open_engine
from modelpack.inputs.data.files import TableFiles
from modelpack.inputs.data.kinds import take_kind
from modelpack.usecases.own_data.schema import Field, Kind, Table
from modelpack.usecases.own_data.values import one_file

TEXTS = (
    *("1", "0", "-1", "+1", "1.0", "1.", "1.5", ".5", "00123", "-0", "1e3", "4.00638E+12", "5.06e5", "1E-2"),
    *("12,50", "1 000", " 7 ", "", "  ", "nan", "inf", "-inf", "null", "true", "0x10", "1e400", "1_000", "١"),
    *("9223372036854775807", "9223372036854775808", "123456789012345678", "LA1", "la1", "ABCD", "red lamp"),
    *("2025-03-01", "2025-03-01T12:30", "2025-03-01 12:30:15.5", "2025-02-30", "2025-3-1", "01/02/2025"),
    *("20250301", "2025-07-01T17:00+02:00", "2025-07-01T17:00Z", "1969-01-01", "9999-12-31", "2025", "12:30"),
    *("2025-03-01T24:00", "ab\ncd", "'x'"),
)
STRICTER = {
    "number": {"9223372036854775807", "9223372036854775808", "123456789012345678"},
    "time": {"2025-3-1", "20250301", "2025-07-01T17:00+02:00", "2025-07-01T17:00Z", "2025"},
}
"""What is refused here alone: sums are exact up to 1e15, and a zone is told only by a column's own type."""


@pytest.mark.parametrize(
    ("kind", "identifies"),
    [(kind, False) for kind in ("number", "whole", "text", "code", "time", "yes")]
    + [("whole", True), ("text", True)],
)
def test_a_text_is_taken_as_where_it_is_read_into_memory(
    kind: Kind, identifies: bool, tmp_path: Path
) -> None:
    one = Field("x", kind, "", identifies=identifies)
    whole = tmp_path / "whole.csv"
    write(whole, TEXTS)
    with open_engine() as engine:
        view = engine.add_view("t", TableFiles("x", (whole,)))
        found = take_kind(view.x, one)
        rows = engine.fetch(view.select(bad=found.bad, value=found.values)).to_pandas()
    assert len(rows) == len(TEXTS)
    for text, row in zip(TEXTS, rows.to_dict("records"), strict=True):
        write(tmp_path / "one.csv", [text])
        judge = one_file(tmp_path / "one.csv", Table("t", "", (one,)))
        refused = bool(judge.problems or judge.unreadable)
        assert row["bad"] == (refused or text in STRICTER.get(kind, ())), (kind, text)
        if not row["bad"]:
            assert judge.rows is not None
            assert row["value"] == judge.rows.x.iloc[0], (kind, text)


def write(file: Path, texts: Sequence[str]) -> None:
    with file.open("w", newline="") as opened:
        csv.writer(opened).writerows([["x", "y"], *([text, "1"] for text in texts)])


COLUMNS = {
    "whole numbers": pd.Series([1, 2, 3]),
    "small floats": pd.Series([1, 2, 3], dtype="float32"),
    "floats that are whole": pd.Series([1.0, 2.0, 3.0]),
    "floats": pd.Series([1.5, 2.0, 3.0]),
    "large floats": pd.Series([1.0, 2.0**60, 3.0]),
    "a number that is none": pd.Series([1.0, np.nan, np.inf]),
    "missing whole numbers": pd.Series([1, None, 3], dtype="Int64"),
    "yes and no": pd.Series([True, False, True]),
    "texts": pd.Series(["1", "x", None]),
    "moments": pd.Series(pd.date_range("2025-01-01", periods=3)),
    "unsigned": pd.Series([1, 2, 2**63 + 5], dtype="uint64"),
    "lists": pd.Series([[1], [2], [3]]),
}


STRICTER_COLUMNS = {
    ("number", "large floats"): "sums are exact up to 1e15",
    ("number", "unsigned"): "sums are exact up to 1e15",
    ("number", "yes and no"): "they are no numbers",
    ("number", "moments"): "they are no numbers",
    ("text", "yes and no"): "they are no ids",
    ("text", "moments"): "they are no ids",
    ("text", "lists"): "they are no ids",
}


@pytest.mark.parametrize("kind", ["number", "whole", "text", "time", "yes"])
def test_a_column_of_a_parquet_file_is_taken_as_where_it_is_read_into_memory(
    kind: Kind, tmp_path: Path
) -> None:
    one = Field("x", kind, "", identifies=kind in ("whole", "text"))
    stricter = set()
    with open_engine() as engine:
        for column, values in COLUMNS.items():
            file = tmp_path / f"{column}.parquet"
            pd.DataFrame({"x": values}).to_parquet(file)
            judge = one_file(file, Table("t", "", (one,)))
            refused = set(range(len(values))) - {int(number) - 1 for number in judge.numbers}
            view = engine.add_view(column, TableFiles("x", (file,)))
            found = take_kind(view.x, one)
            if found.refused:
                bad = set(range(len(values)))
            else:
                rows = engine.fetch(view.select(bad=found.bad, value=found.values)).to_pandas()
                bad = set(np.flatnonzero(rows.bad))
            if judge.problems:  # the whole column is refused for some of its rows
                assert bad, column
                continue
            assert bad >= refused, column
            if bad > refused:
                stricter.add((kind, column))
            elif not found.refused and judge.rows is not None:
                assert rows.value[~rows.bad].tolist() == judge.rows.x.tolist(), column
    assert stricter == {one for one in STRICTER_COLUMNS if one[0] == kind}


def test_moments_with_a_zone_come_in_utc_and_are_told(tmp_path: Path) -> None:
    file = tmp_path / "t.parquet"
    pd.DataFrame({"x": pd.date_range("2025-07-01T17:00", periods=1, tz="Europe/Berlin")}).to_parquet(file)
    with open_engine() as engine:
        view = engine.add_view("t", TableFiles("x", (file,)))
        found = take_kind(view.x, Field("x", "time", ""))
        (value,) = engine.fetch(view.select(value=found.values)).to_pandas().value
    assert found.zoned
    assert value == pd.Timestamp("2025-07-01T15:00")
