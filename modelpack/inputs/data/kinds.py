"""A column in its declared kind, as expressions that an engine computes: its values, and which rows are none of it.

The same kinds, and the same that must not be guessed, as where a table is read into memory (`own_data/kinds.py`): no id
that was rounded, no zero that would be lost, no date that stands for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelpack.usecases.own_data.far_dates import FIRST_YEAR, LAST_YEAR
from modelpack.usecases.own_data.kinds import (
    CODE,
    LEADING_ZERO,
    MOST_EXACT,
    MOST_EXACT_SINGLE,
    SIGNED_ROUNDED,
)
from modelpack.usecases.own_data.schema import KINDS, Field

if TYPE_CHECKING:
    import ibis

NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
WHOLE = r"^[+-]?\d{1,30}(\.0*)?$"
MOMENT = r"^\d{4}-\d{2}-\d{2}([T ]([01]\d|2[0-3]):\d{2}(:\d{2}(\.\d{1,9})?)?)?$"
LARGEST = 1e15
"""Sums are taken of exact decimals, which hold no more."""


@dataclass(frozen=True)
class TypedColumn:
    """`values` in the column's kind, null where they are none; `bad`: which rows are none of the kind, or miss it;
    `zoned`: its times had a zone and are in UTC. `refused`: why no row can be of the kind, in words."""

    values: Any = None
    bad: Any = None
    zoned: bool = False
    refused: str = ""


def take_kind(column: ibis.Column, one: Field) -> TypedColumn:
    """The column in the kind of its field. Values that are missing are bad."""
    kind = column.type()
    if kind.is_string():
        return from_text(column.strip().nullif(""), one)
    if one.kind == "time":
        return from_moment(column, one)
    if kind.is_boolean():
        return from_boolean(column, one)
    if kind.is_integer():
        return from_whole(column, one)
    if kind.is_floating() or kind.is_decimal():
        return from_number(column, one)
    return TypedColumn(refused=f"the column holds {kind}; expected {KINDS[one.kind]}")


def from_text(text: Any, one: Field) -> TypedColumn:
    """A column of text, or of a CSV. Only what looks like its kind is cast: not every engine's cast may fail."""
    if one.kind in ("text", "code"):
        wrong = text.re_search(f"^{SIGNED_ROUNDED}$" if one.identifies else "^$")
        if one.kind == "code":
            wrong |= ~text.re_search(f"^{CODE}$")
        return TypedColumn(text, text.isnull() | wrong)
    if one.kind == "time":
        wrong = text.isnull() | ~text.re_search(MOMENT)
        return in_years(wrong.ifelse(None, text).try_cast("timestamp"), wrong)
    if one.kind == "number":
        wrong = text.isnull() | ~text.re_search(NUMBER)
        return in_range(wrong.ifelse(None, text).try_cast("float64"), wrong, one)
    wrong = text.isnull() | ~text.re_search(WHOLE)
    if one.identifies:
        wrong |= text.re_search(f"^{LEADING_ZERO}")
    return in_range(wrong.ifelse(None, text.re_replace(r"\.0*$", "")).try_cast("int64"), wrong, one)


def from_moment(column: Any, one: Field) -> TypedColumn:
    """Times; with a zone they come in UTC."""
    kind = column.type()
    if not (kind.is_timestamp() or kind.is_date()):
        return TypedColumn(refused=f"the column holds {kind}; expected {KINDS[one.kind]}")
    zoned = kind.is_timestamp() and kind.timezone is not None
    told = in_years(column.cast("timestamp"), column.isnull())
    return TypedColumn(told.values, told.bad, zoned)


def from_boolean(column: Any, one: Field) -> TypedColumn:
    """Yes and no."""
    if one.kind not in ("yes", "whole"):
        return TypedColumn(refused=f"the column holds yes and no; expected {KINDS[one.kind]}")
    return in_range(column.cast("int64"), column.isnull(), one)


def from_whole(column: Any, one: Field) -> TypedColumn:
    """Whole numbers."""
    if one.kind == "number":
        return in_range(column.cast("float64"), column.isnull(), one)
    if one.kind in ("text", "code"):
        return from_text(column.cast("string"), one)
    return in_range(
        column.try_cast("int64") if is_wide(column) else column.cast("int64"), column.isnull(), one
    )


def is_wide(column: Any) -> bool:
    """Whether a whole number of the column may be beyond 64 bits with a sign."""
    return bool(column.type().is_unsigned_integer())


def from_number(column: Any, one: Field) -> TypedColumn:
    """Floats and decimals: a whole number where it is one exactly, an id only where no other rounds to it."""
    kind = column.type()
    if one.kind in ("text", "code"):
        return TypedColumn(refused=f"the column holds {kind}; write ids as whole numbers or as text")
    values = column.cast("float64")
    wrong = values.isnull() | values.isnan() | values.isinf()
    if one.kind == "number":
        return in_range(values, wrong, one)
    most = MOST_EXACT_SINGLE if kind.is_float32() else MOST_EXACT
    wrong |= (values % 1 != 0) | (values.abs() >= most)
    return in_range(wrong.ifelse(None, values).cast("int64"), wrong, one)


def in_years(values: Any, wrong: Any) -> TypedColumn:
    """Times that may be a shop's."""
    year = values.year()
    return TypedColumn(values, wrong | values.isnull() | (year < FIRST_YEAR) | (year > LAST_YEAR))


def in_range(values: Any, wrong: Any, one: Field) -> TypedColumn:
    """Numbers within the field's limits."""
    wrong |= values.isnull() | (values.abs() > LARGEST if one.kind == "number" else False)
    if one.kind == "yes":
        wrong |= ~values.isin([0, 1])
    if one.low is not None:
        wrong |= values < one.low
    if one.high is not None:
        wrong |= values > one.high
    return TypedColumn(values, wrong)
