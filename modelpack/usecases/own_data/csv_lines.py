"""A CSV file as text: every value as it stands, every row with the line of the file that it begins on.

RFC 4180 by Python's own reader. A row of another length than the heading is no row: `12,50` under one heading would
become 12 and move all that follows by one.
"""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SHOWN = 3
"""Of rows of another length, how many are told by their line."""


class NotCsv(Exception):
    """The file breaks the format at `line`; the text says how, `hint` what to do."""

    def __init__(self, what: str, line: int, hint: str = "") -> None:
        super().__init__(what)
        self.line = line
        self.hint = hint


@dataclass(frozen=True)
class Lines:
    """The wanted columns as text, by their place under the heading, and the line that each row begins on."""

    columns: tuple[list[str], ...]
    numbers: array[int]


def read_heading(file: Path) -> list[str]:
    """The first row that is not blank. Raises NotCsv, UnicodeDecodeError."""
    for _, row in rows_of(file):
        return row
    raise NotCsv("it is empty", 1)


def read_columns(file: Path, places: Sequence[int]) -> Lines:
    """The columns at these places. Raises NotCsv, with the line, for a row of another length than the heading."""
    rows = rows_of(file)
    _, heading = next(rows, (0, []))
    columns: tuple[list[str], ...] = tuple([] for _ in places)
    numbers: array[int] = array("q")
    uneven: list[tuple[int, int]] = []
    for line, row in rows:
        if len(row) != len(heading):
            uneven.append((line, len(row)))
            continue
        numbers.append(line)
        for column, place in zip(columns, places, strict=True):
            column.append(row[place])
    if uneven:
        raise of_another_length(uneven, len(heading))
    return Lines(columns, numbers)


def of_another_length(uneven: Sequence[tuple[int, int]], wanted: int) -> NotCsv:
    """What is told of rows that are longer or shorter than the heading; the longer first, for they mislead."""
    line, length = next((one for one in uneven if one[1] > wanted), uneven[0])
    others = [str(one) for one, _ in uneven if one != line][: SHOWN - 1]
    more = f" ({len(uneven):,} rows are, such as the one on line {' and '.join(others)})" if others else ""
    kind = "longer" if length > wanted else "shorter"
    what = f"a row of {length} values under {wanted} headings is {kind} than the heading{more}"
    hint = 'a value that holds a comma stands in quotes: "12,50"; better is 12.50'
    return NotCsv(what, line, hint if length > wanted else "write every value, or nothing between two commas")


def rows_of(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank, with the line that it begins on. Raises NotCsv, UnicodeDecodeError."""
    with file.open(encoding="utf-8-sig", newline="") as opened:
        reader = csv.reader(without_zeros(opened), strict=True)
        begin, width = 1, 0
        try:
            for row in reader:
                line, begin = begin, reader.line_num + 1
                width = width or len(row)
                if row and (width == 1 or len(row) > 1 or row[0].strip()):
                    yield line, row
        except csv.Error as error:
            hint = "is a quote left open, or a quote within a value not doubled?"
            raise NotCsv(f"it is no CSV: {error}", begin, hint) from error


def without_zeros(lines: Iterable[str]) -> Iterator[str]:
    """The lines. Raises csv.Error for a zero byte, at which readers differ."""
    for line in lines:
        if "\0" in line:
            raise csv.Error("a zero byte")
        yield line
