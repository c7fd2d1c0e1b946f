"""Users' data that lies: nothing is guessed of it, and what is wrong is told with the line of the file."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from modelpack.errors import BadInput
from modelpack.home import Home
from modelpack.inputs.resolve import PackRequest, resolve
from modelpack.inputs.spec import DataSpec, ModelSpec, PackSpec
from modelpack.progress import Silent
from modelpack.usecases.base import usecases
from modelpack.usecases.optional.own_tables import own_data_of, prepare_tables
from modelpack.usecases.own_data.csv_lines import NotCsv, read_columns, read_heading
from modelpack.usecases.own_data.far_dates import far_dates
from modelpack.usecases.own_data.kinds import convert, whole_numbers
from modelpack.usecases.own_data.reading import Read, read
from modelpack.usecases.own_data.schema import Field, OwnData, Table

DAYS = pd.date_range("2024-09-02", "2025-12-07")


def sales(products: int = 60) -> pd.DataFrame:
    """Daily sales over 65 weeks, by day."""
    draw = np.random.default_rng(5)
    rows = [
        pd.DataFrame(
            {
                "time": DAYS.strftime("%Y-%m-%d"),
                "product": product,
                "units": draw.poisson(draw.gamma(3, 2), len(DAYS)) + 1,
                "revenue": draw.gamma(3, 2, len(DAYS)).round(2),
            }
        )
        for product in range(101, 101 + products)
    ]
    return pd.concat(rows).sort_values(["time", "product"]).reset_index(drop=True)


def lines_of(table: pd.DataFrame) -> list[str]:
    return table.to_csv(index=False).splitlines()


def wanted(name: str = "pricing") -> OwnData:
    found = own_data_of(usecases().get(name))
    assert found is not None
    return found


def asked(folder: Path, lines: list[str], limit: float = 0.0) -> Read:
    (folder / "mine.csv").write_text("\n".join(lines) + "\n")
    return read(folder / "mine.csv", wanted(), "pricing", limit)


def told(folder: Path, lines: list[str], limit: float = 0.0) -> str:
    with pytest.raises(BadInput) as caught:
        asked(folder, lines, limit)
    return "\n".join(f"{one} | {one.hint}" for one in caught.value.problems)


def with_comma(row: list[str], place: int) -> str:
    return ",".join([*row[:place], row[place].replace(".", ","), *row[place + 1 :]])


@pytest.mark.parametrize(
    "order", [["time", "product", "units", "revenue"], ["time", "product", "revenue", "units"]]
)
def test_decimal_commas_do_not_move_the_columns(tmp_path: Path, order: list[str]) -> None:
    """12,50 became 12, or its cents became the units."""
    heading, *rows = lines_of(sales()[order].assign(revenue=lambda table: table.revenue.map("{:.2f}".format)))
    commas = [with_comma(row.split(","), order.index("revenue")) for row in rows]
    words = told(tmp_path, [heading, *commas])
    assert "mine.csv:2: " in words
    assert f"a row of 5 values under 4 headings is longer than the heading ({len(rows):,} rows are" in words
    assert '"12,50"' in words


@pytest.mark.parametrize(("extra", "kind"), [(",x", "longer"), (",", "longer"), (None, "shorter")])
def test_one_row_of_another_length_is_told_by_its_line(tmp_path: Path, extra: str | None, kind: str) -> None:
    lines = lines_of(sales())
    lines[4321] = lines[4321] + extra if extra else lines[4321].rpartition(",")[0]
    words = told(tmp_path, lines)
    assert "mine.csv:4322: " in words
    assert f"is {kind} than the heading" in words


IDS: dict[str, tuple[Callable[[int], str], str]] = {
    "a spreadsheet's": (
        lambda one: f"{4006381300000 + one * 7:.5E}",
        "'4.00638E+12' (27,720 rows are wrong)",
    ),
    "one of a spreadsheet": (
        lambda one: f"{one:.1E}" if one == 103 else str(one),
        "'1.0E+02' (462 rows are wrong)",
    ),
    "leading zeros": (
        lambda one: f"{one:05}",
        "'00101' (27,720 rows are wrong): as a number it would lose its zeros",
    ),
    "with and without zeros": (lambda one: f"00{one}" if one == 102 else str(one), "'00102'"),
    "with a comma": (lambda one: f'"{one},0"', "'101,0' (27,720 rows are wrong); expected a whole number"),
    "UUIDs": (lambda one: f"6f9619ff-8b86-d011-b42d-00c04fc9{one:04x}", "expected a whole number"),
    "too large": (lambda one: str(2**63 + one), "expected a whole number, 1 or more"),
    "infinite": (lambda one: "inf", "expected a whole number, 1 or more"),
}


@pytest.mark.parametrize("kind", IDS)
def test_ids_are_exact_or_refused_with_the_line(tmp_path: Path, kind: str) -> None:
    write, words = IDS[kind]
    table = sales()
    texts = table["product"].map(write)
    heading, *_ = lines_of(table)
    rows = zip(table.time, texts, table.units, table.revenue, strict=True)
    said = told(tmp_path, [heading, *(",".join(map(str, row)) for row in rows)])
    assert words in said
    first = next(
        line
        for line, (text, one) in enumerate(zip(texts, table["product"], strict=True), 2)
        if text != str(one)
    )
    assert f"mine.csv:{first}: product is" in said


LARGE = [2**53 + 1, 2**53 + 3, 2**62 + 1, 4006381300017, 9_223_372_036_854_775_807]


@pytest.mark.parametrize("form", ["{}", "{}.0", "+{}", " {} "])
def test_large_ids_are_exact(tmp_path: Path, form: str) -> None:
    table = sales()
    heading, *_ = lines_of(table)
    ids = [form.format(LARGE[place % 5]) for place in range(len(table))]
    rows = zip(table.time, ids, table.units, table.revenue, strict=True)
    found = asked(tmp_path, [heading, *(",".join(map(str, row)) for row in rows)])["sales"]
    assert set(found["product"]) == set(LARGE)


IN_PARQUET: dict[str, tuple[Any, str]] = {
    "floats that are exact": (np.float64, ""),
    "floats that are not": (lambda ids: ids.astype(np.float64) + 2.0**53, "a float is no id"),
    "single floats": (lambda ids: (ids + 2**24).astype(np.float32), "a float is no id"),
    "whole with a missing one": (
        lambda ids: ids.astype("Int64").mask(ids.index == 3),
        "row 4: product is nothing",
    ),
    "texts with zeros": (lambda ids: "00" + ids.astype(str), "row 1: product is '00101'"),
    "unsigned": (np.uint64, ""),
}


@pytest.mark.parametrize("kind", IN_PARQUET)
def test_ids_in_parquet(tmp_path: Path, kind: str) -> None:
    made, words = IN_PARQUET[kind]
    table = sales()
    ids = (
        made(table["product"])
        if callable(made) and not isinstance(made, type)
        else table["product"].astype(made)
    )
    table.assign(product=ids).to_parquet(tmp_path / "mine.parquet")
    if not words:
        assert (
            read(tmp_path / "mine.parquet", wanted())["sales"]["product"].tolist()
            == table["product"].tolist()
        )
        return
    with pytest.raises(BadInput) as caught:
        read(tmp_path / "mine.parquet", wanted())
    assert words in str(caught.value)


TEXT_ID = OwnData((Table("things", "things", (Field("thing", "text", "which", identifies=True),)),))


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (["00123", "123", "1E5", "A-7", "6f9619ff-8b86-d011-b42d-00c04fc964ff", "２"], ""),
        (["101", "4.00638E+12"], ":3: thing is '4.00638E+12': a rounded number is no id"),
        (["101", "4,00638E+12"], ":3: thing is '4,00638E+12': a rounded number is no id"),
    ],
)
def test_ids_that_are_texts_stay_as_they_are(tmp_path: Path, ids: list[str], words: str) -> None:
    pd.DataFrame({"thing": ids}).to_csv(tmp_path / "mine.csv", index=False)
    if not words:
        assert read(tmp_path / "mine.csv", TEXT_ID)["things"].thing.tolist() == ids
        return
    with pytest.raises(BadInput) as caught:
        read(tmp_path / "mine.csv", TEXT_ID)
    assert words in str(caught.value)


def test_text_ids_that_went_through_a_float_are_refused(tmp_path: Path) -> None:
    pd.DataFrame({"thing": [101.0, 102.0, np.nan]}).to_parquet(tmp_path / "mine.parquet")
    with pytest.raises(BadInput, match="a float is no id"):
        read(tmp_path / "mine.parquet", TEXT_ID)


def each(change: Callable[[list[str]], list[str]]) -> Callable[[list[str]], list[str]]:
    """The same change of every row's values."""
    return lambda lines: [lines[0], *(",".join(change(line.split(","))) for line in lines[1:])]


def one(place: int, value: str) -> Callable[[list[str]], list[str]]:
    """One value of the 30th row."""

    def changed(lines: list[str]) -> list[str]:
        row = lines[30].split(",")
        return [*lines[:30], ",".join([*row[:place], value, *row[place + 1 :]]), *lines[31:]]

    return changed


OF_SHEETS: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "semicolons": (
        lambda lines: [line.replace(",", ";") for line in lines],
        ":1: its columns are parted by ';'",
    ),
    "semicolons as Excel tells them": (
        lambda lines: ["sep=;", *(line.replace(",", ";") for line in lines)],
        ":1: its columns are parted by ';'",
    ),
    "a heading once more": (lambda lines: [*lines[:50], lines[0], *lines[50:]], ":51: time is 'time'"),
    "thousands in quotes": (one(3, '"1,234.50"'), ":31: revenue is '1,234.50'"),
    "thousands of the Swiss": (one(3, "1'234.50"), ':31: revenue is "1\'234.50"'),
    "a currency": (one(3, "€12.50"), ":31: revenue is '€12.50'"),
    "an id in powers of ten": (one(1, "1e5"), ":31: product is '1e5': a rounded number is no id"),
    "an id of other digits": (one(1, "１０１"), ":31: product is '１０１'"),
    "a sheet's error": (one(1, "#N/A"), ":31: product is '#N/A'"),
    "days first": (
        each(lambda row: [".".join(reversed(row[0].split("-"))), *row[1:]]),
        ":2: time is '02.09.2024' (27,720 rows are wrong)",
    ),
    "days of a sheet as numbers": (each(lambda row: ["45537", *row[1:]]), ":2: time is '45537'"),
    "a day that is none": (one(0, "2025-02-30"), ":31: time is '2025-02-30'"),
    "an hour that is none": (one(0, "2024-09-05T24:00"), ":31: time is '2024-09-05T24:00'"),
    "a quote left open": (one(3, '"12.5'), ":31: it cannot be read as csv"),
}


@pytest.mark.parametrize("kind", OF_SHEETS)
def test_what_a_spreadsheet_writes_is_told_by_its_line(tmp_path: Path, kind: str) -> None:
    change, words = OF_SHEETS[kind]
    assert words in told(tmp_path, change(lines_of(sales())))


def test_what_a_spreadsheet_writes_and_means_the_same_is_taken(tmp_path: Path) -> None:
    """A mark in front, carriage returns, quotes, blanks, a comma at every end, 101.0 for 101."""
    heading, *rows = lines_of(sales(8))
    plain = asked(tmp_path, [heading, *rows])["sales"]
    named = ",".join(f'" {word} "' for word in heading.split(","))
    odd = [f'{day}," {product}.0 ",{units},"{amount}",\r' for day, product, units, amount in map(split, rows)]
    found = asked(tmp_path, [f"\ufeff{named},\r", *odd])["sales"]
    pd.testing.assert_frame_equal(found, plain)


def split(row: str) -> list[str]:
    return row.split(",")


def test_lines_are_the_file_s(tmp_path: Path) -> None:
    """Blank lines, a line of spaces and quoted line breaks count, as in an editor."""
    lines = lines_of(sales().assign(name="Cup"))
    lines[9] = lines[9].replace("Cup", '"Mug\nlarge\nred"')
    lines[50:50] = ["", "   "]
    lines[200] = lines[200].replace(",Cup", "").rpartition(",")[0] + ",oops,Cup"
    assert "mine.csv:203: revenue is 'oops'; expected a number" in told(tmp_path, lines)
    assert (tmp_path / "mine.csv").read_text().splitlines()[202].endswith(",oops,Cup")


BROKEN = {
    "a quote left open": ('2025-01-01,101,3,"12.5\n2025-01-02,101,3,12.5\n', 2),
    "text after a quote": ('2025-01-01,101,3,12.5\n2025-01-01,"101"x,3,12.5\n', 3),
    "a zero byte": ("2025-01-01,101,3,12.5\n2025-01-01,10\x001,3,12.5\n", 3),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_csv_that_is_none_is_told_by_its_line(tmp_path: Path, kind: str) -> None:
    content, line = BROKEN[kind]
    (tmp_path / "mine.csv").write_text("time,product,units,revenue\n" + content)
    with pytest.raises(BadInput, match=f"mine.csv:{line}: it cannot be read as csv: it is no CSV"):
        read(tmp_path / "mine.csv", wanted())


CELLS = st.text(
    st.characters(
        codec="utf-8",
        exclude_categories=["Cs"],
        exclude_characters="\0\r\ufeff\x1c\x1d\x1e\x85\u2028\u2029\x0b\x0c",
    ),
    max_size=6,
)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(2, 4).flatmap(
        lambda width: st.tuples(
            st.lists(st.sampled_from(["a", "b c", "ü", "d,e"]), min_size=width, max_size=width, unique=True),
            st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=8),
        )
    ),
    st.lists(st.integers(0, 8), max_size=3),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_csv_is_read_as_python_and_pandas_read_it(
    written: tuple[list[str], list[list[str]]], blank_after: list[int], end: str, quoting: Any
) -> None:
    """Every value as csv.writer wrote it and pandas reads it; the line of each row is where it begins in the file."""
    heading, rows = written
    text, begins = "", []
    for place, row in enumerate([heading, *rows]):
        cell = io.StringIO()
        csv.writer(cell, lineterminator=end, quoting=quoting).writerow(row)
        begins.append(text.count("\n") + 1)
        text += cell.getvalue() + end * blank_after.count(place)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "mine.csv"
        file.write_text(text, encoding="utf-8", newline="")
        found = read_columns(file, range(len(heading)))
        assert read_heading(file) == heading
        theirs = pd.read_csv(file, dtype=str, keep_default_na=False)
    assert list(map(list, zip(*found.columns, strict=True))) == rows
    assert list(found.numbers) == begins[1:]
    assert theirs.columns.tolist() == heading
    assert theirs.to_numpy().tolist() == rows


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from('ab,"\n \r'), max_size=40))
def test_whatever_stands_in_a_file_is_read_or_refused_with_a_line_of_it(text: str) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "mine.csv"
        file.write_text("a,b\n" + text, newline="")
        try:
            found = read_columns(file, [0, 1])
        except NotCsv as error:
            lines = [error.line]
        else:
            assert len(found.columns[0]) == len(found.columns[1]) == len(found.numbers)
            lines = list(found.numbers)
        assert all(1 <= line <= text.count("\n") + text.count("\r") + 2 for line in lines)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.integers().map(str), st.floats().map(str), st.text(max_size=5)), max_size=20))
def test_a_whole_number_is_exact_or_none(texts: list[str]) -> None:
    values, bad = whole_numbers(pd.Series(texts, dtype="str"))
    for text, value, refused in zip(texts, values.tolist(), bad.tolist(), strict=True):
        if not refused:
            assert int(text.partition(".")[0]) == value
            assert not text.partition(".")[2].strip("0")
        elif text.strip("-").isdigit() and text.isascii():
            assert not -(2**63) <= int(text) < 2**63


def hours(zone: str, count: int = 12_000) -> pd.DatetimeIndex:
    days = pd.date_range("2024-01-01", "2025-02-28", periods=count).floor("h")
    return days.tz_localize(zone, ambiguous=np.ones(count, np.bool_), nonexistent="shift_forward")


SHIPMENTS = OwnData((Table("shipments", "shipments", (Field("planned", "time", "when"),)),))


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC", "Australia/Lord_Howe"]
)
@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_times_with_a_zone_keep_the_shop_s_own_hour(tmp_path: Path, zone: str, form: str) -> None:
    times = hours(zone)
    table = pd.DataFrame({"planned": times})
    if form == "csv":
        table.to_csv(tmp_path / "mine.csv", index=False)
    else:
        table.to_parquet(tmp_path / "mine.parquet")
    found = read(tmp_path / f"mine.{form}", SHIPMENTS)
    assert found["shipments"].planned.dt.hour.tolist() == times.hour.tolist()
    assert found["shipments"].planned.dt.tz is None
    words = found.zones["shipments.planned"]
    assert words == zone if form == "parquet" or zone == "UTC" else words.startswith(("+", "-"))


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["Europe/Berlin", "America/Sao_Paulo", "Asia/Tokyo", "Africa/Cairo", "Pacific/Chatham"]),
    st.sampled_from(["Europe/London", "America/Los_Angeles", "Asia/Tehran"]),
    st.lists(st.integers(0, 8000), min_size=40, max_size=60, unique=True),
    st.integers(0, 1000),
)
def test_one_zone_is_one_and_two_are_not(zone: str, other: str, every: list[int], seed: int) -> None:
    """By the offsets that stand in a text: those of one zone are taken whatever the season, two mixed are refused."""
    begin = pd.Timestamp("2024-01-01", tz="UTC")
    moments = [begin + pd.Timedelta(hours=one) for one in every]
    one = [moment.tz_convert(ZoneInfo(zone)) for moment in moments]
    found = convert(pd.Series([time.isoformat() for time in one], dtype="str"), Field("t", "time", "when"))
    assert not found.refused
    assert found.values.dt.hour.tolist() == [time.hour for time in one]
    draw = np.random.default_rng(seed).random(len(moments)) < 0.5
    mixed = [
        time.tz_convert(ZoneInfo(other)) if strange else time for time, strange in zip(one, draw, strict=True)
    ]
    assume(0.2 < draw.mean() < 0.8)
    assert (
        "no zone ever had"
        in convert(pd.Series([t.isoformat() for t in mixed], dtype="str"), Field("t", "time", "")).refused
    )


MIXED: dict[str, tuple[list[str], str]] = {
    "with and without": (
        ["2025-01-01T10:00+01:00", "2025-01-01T11:00"],
        ":3: planned is 2025-01-01T11:00 without a zone",
    ),
    "two at once": (
        ["2025-01-01T10:00+01:00", "2025-01-02T10:00+02:00"],
        ":3: planned is 2025-01-02T10:00+02:00",
    ),
    "an offset that is none": (["2025-01-01T10:00+99:99"], ":2: planned is 2025-01-01T10:00+99:99"),
    "summer time in winter": (
        ["2025-07-01T10:00Z", "2025-01-01T10:00+01:00", "2025-07-02T10:00Z"],
        ":3: planned is",
    ),
}


@pytest.mark.parametrize("kind", MIXED)
def test_mixed_zones_are_refused_with_the_line(tmp_path: Path, kind: str) -> None:
    texts, words = MIXED[kind]
    (tmp_path / "mine.csv").write_text("planned\n" + "\n".join(texts) + "\n")
    with pytest.raises(BadInput) as caught:
        read(tmp_path / "mine.csv", SHIPMENTS)
    assert words in str(caught.value)
    assert "the shop's own clock" in str(caught.value.problems[0])


def test_clocks_of_two_tables_must_be_one(tmp_path: Path) -> None:
    both = OwnData((*SHIPMENTS.tables, Table("weather", "weather", (Field("time", "time", "when"),))))
    pd.DataFrame({"planned": hours("Europe/Berlin")}).to_parquet(tmp_path / "shipments.parquet")
    pd.DataFrame({"time": hours("Europe/Berlin")}).to_csv(tmp_path / "weather.csv", index=False)
    assert read(tmp_path, both).zones["weather.time"] == "+01:00 and +02:00"
    for other in (hours("Europe/Berlin").tz_convert("UTC"), hours("Europe/Berlin").tz_localize(None)):
        pd.DataFrame({"time": other}).to_csv(tmp_path / "weather.csv", index=False)
        with pytest.raises(
            BadInput, match=r"weather.csv: weather.time has .*, where shipments.planned in"
        ) as caught:
            read(tmp_path, both)
        assert "Europe/Berlin: whose clock is it?" in str(caught.value)


def test_a_far_date_and_a_fixed_offset_are_no_fault_of_ours(tmp_path: Path) -> None:
    """The last year that a date has, with an offset; a column whose zone is an offset beside one of another."""
    times = ["2025-03-01T17:00+01:00"] * 200 + ["9999-12-31T23:59+01:00", "2025-07-01T17:00+02:00"]
    (tmp_path / "mine.csv").write_text("planned\n" + "\n".join(times) + "\n")
    with pytest.raises(
        BadInput, match=r"mine.csv:202: planned is '9999-12-31T23:59\+01:00', a date that stands"
    ):
        read(tmp_path / "mine.csv", SHIPMENTS)
    found = read(tmp_path / "mine.csv", SHIPMENTS, limit=0.01)
    assert set(found["shipments"].planned.dt.hour) == {17}
    both = OwnData((*SHIPMENTS.tables, Table("weather", "weather", (Field("time", "time", "when"),))))
    fixed = pd.Series(pd.to_datetime(["2025-03-01T17:00+01:00"]))
    pd.DataFrame({"planned": fixed}).to_parquet(tmp_path / "shipments.parquet")
    (tmp_path / "weather.csv").write_text("time\n2025-03-01T17:00+03:00\n")
    with pytest.raises(BadInput, match="whose clock is it"):
        read(tmp_path, both)


@pytest.mark.parametrize("date", ["9999-12-31", "1900-01-01", "1970-01-01", "2099-12-31", "2000-01-01"])
def test_one_date_far_from_all_others_is_named(tmp_path: Path, date: str) -> None:
    lines = lines_of(sales())
    lines[101] = date + lines[101][10:]
    words = told(tmp_path, lines)
    assert f"mine.csv:102: time is '{date}', a date that stands for nothing" in words
    assert "all others lie between 2024-09-02 and 2025-12-07" in words


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.integers(100, 4000), st.integers(0, 100))
def test_dates_of_one_shop_are_near_each_other(days: int, count: int, seed: int) -> None:
    times = np.datetime64("2015-01-01") + np.random.default_rng(seed).integers(0, days, count).astype(
        "timedelta64[D]"
    )
    assert not far_dates(pd.Series(times.astype("datetime64[us]"))).any()
    for strange in ("9999-12-31", "1900-01-01", "1970-01-01"):
        found = far_dates(pd.Series(np.append(times, np.datetime64(strange)).astype("datetime64[us]")))
        assert found.tolist() == [False] * count + [True]


def test_a_share_of_unreadable_rows_is_told_and_limited(tmp_path: Path) -> None:
    """None is left out unless the spec says so; then the record and the user are told, and beyond it they are an
    error."""
    lines = lines_of(sales())
    for line in (7, 99, 1000, 20_000):
        lines[line] = lines[line].rpartition(",")[0] + ",oops"
    lines[5000] = "9999-12-31" + lines[5000][10:]
    assert "mine.csv:8: revenue is 'oops' (4 rows are wrong)" in told(tmp_path, lines)
    beyond = told(tmp_path, lines, 0.0001)
    assert f"5 of {len(lines) - 1:,} rows cannot be read; data.unreadable allows 0.010%" in beyond
    heard = Silent()
    _, rows = prepare_tables(
        usecases().get("pricing"), tmp_path / "mine.csv", Home(tmp_path, tmp_path), heard, 0.001
    )
    assert rows.as_data() == {"rows": {"sales": len(lines) - 6}, "unreadable": {"sales": 5}}
    assert any("5 more cannot be read and are left out" in note for note in heard.lines)
    assert any("mine.csv:8: revenue is 'oops'" in note for note in heard.lines)
    assert any("mine.csv:5001: time is '9999-12-31'" in note for note in heard.lines)
    long = told(tmp_path, [*lines, "2025-01-01,101,3,12,5"], 0.1)
    assert "is longer than the heading" in long


def test_what_is_left_out_names_another_model(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("\n".join(lines_of(sales())))

    def digest(unreadable: float) -> str:
        data = DataSpec(path="mine.csv", unreadable=unreadable)
        return resolve(
            PackRequest("pricing", ModelSpec(), PackSpec(), "ml.c7i.xlarge", tmp_path, data)
        ).training_digest

    assert digest(0.0) != digest(0.01)
    assert digest(0.0) == digest(0.0)
