"""A column as it stands in a file in its declared kind: which rows are none of it, and what must not be guessed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from modelpack.usecases.own_data.far_dates import far_dates
from modelpack.usecases.own_data.schema import Field
from modelpack.usecases.own_data.zones import NO_ZONE, Zone, aware, join_zones, part_offsets, zone_of

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 60
MOST_EXACT = 2.0**53
"""Beyond it a float64 does not tell neighbouring whole numbers apart."""
MOST_EXACT_SINGLE = 2.0**24
CODE = "[0-9A-Z]{1,3}"
WHOLE = re.compile(r"([+-]?\d+)(?:\.0*)?")
ROUNDED = r"[+-]?\d+(?:[.,]\d+)?[eE][+-]?\d+"
SIGNED_ROUNDED = r"[+-]?\d+(?:[.,]\d+)?[eE][+-]\d+"
LEADING_ZERO = r"[+-]?0\d+"
SPREADSHEET = (
    "a spreadsheet rounded it: format the column as text (or as a number without decimals) and save it anew"
)
FLOATED = "write ids as whole numbers or as text: pandas makes floats of a column in which some are missing (use Int64)"


@dataclass(frozen=True)
class ReadColumn:
    """A column's `values`, of which the `bad` ones are none of its kind (`gone`: nothing stands there; `far`: a
    date that stands for nothing, `why`). `refused`: what is wrong with `row`, where the whole column must not be
    guessed."""

    values: Any
    bad: NDArray[np.bool_]
    gone: NDArray[np.bool_]
    zone: Zone | None = None
    far: NDArray[np.bool_] | None = None
    why: str = ""
    refused: str = ""
    row: int = 0
    hint: str = ""


def convert(column: pd.Series, one: Field) -> ReadColumn:
    """The column in its kind."""
    texts = as_texts(column)
    blank = (texts == "") if texts.dtype.kind == "O" or is_text(texts) else texts.isna()
    gone = (texts.isna() | blank).to_numpy(np.bool_)
    if one.identifies and (slip := not_an_id(texts, gone, one)):
        return slip
    if one.kind in ("text", "code"):
        found = texts.astype(str)
        bad = gone | ~found.str.fullmatch(CODE).to_numpy(np.bool_) if one.kind == "code" else gone
        return ReadColumn(found, bad, gone)
    if one.kind == "time":
        return as_times(texts, gone, one)
    values, bad = as_numbers(texts, one, gone)
    return ReadColumn(values, bad, gone)


def as_texts(column: pd.Series) -> pd.Series:
    """Texts without the spaces around them; objects, whole numbers beside missing ones among them, as texts."""
    if column.dtype.kind == "O" and not is_text(column):
        return column.map(str, na_action="ignore")
    return column.str.strip() if is_text(column) else column


def is_text(column: pd.Series) -> bool:
    """Whether every value is a text or nothing."""
    import pandas as pd

    return bool(pd.api.types.is_string_dtype(column.dropna()))


def not_an_id(texts: pd.Series, gone: NDArray[np.bool_], one: Field) -> ReadColumn | None:
    """What must not be taken for an id, for it may stand for another one; None when there is nothing."""
    if texts.dtype.kind == "f":
        return rounded_floats(texts, gone, one)
    if not is_text(texts):
        return None
    whole = one.kind == "whole"
    rounded = texts.str.fullmatch(ROUNDED if whole else SIGNED_ROUNDED).fillna(False).to_numpy(np.bool_)
    if rounded.any():
        row = int(rounded.argmax())
        what = f"{one.name} is {texts.iloc[row]!r}{of_many(rounded)}: a rounded number is no id"
        return refuse(texts, gone, row, what, SPREADSHEET)
    zeros = texts.str.fullmatch(LEADING_ZERO).fillna(False).to_numpy(np.bool_)
    if whole and zeros.any():
        row = int(zeros.argmax())
        what = f"{one.name} is {texts.iloc[row]!r}{of_many(zeros)}: as a number it would lose its zeros"
        return refuse(texts, gone, row, what, "number them without leading zeros, each its own")
    return None


def rounded_floats(values: pd.Series, gone: NDArray[np.bool_], one: Field) -> ReadColumn | None:
    """Ids that are floats in a Parquet file: taken where a whole number is wanted and no other rounds to the same."""
    most = MOST_EXACT if values.dtype.itemsize > 4 else MOST_EXACT_SINGLE
    known = values.to_numpy(np.float64)
    inexact = ~gone & ((np.abs(known) >= most) | (known != np.floor(known)) | (one.kind != "whole"))
    if not inexact.any():
        return None
    row = int(inexact.argmax())
    what = f"{one.name} is {values.iloc[row]!s}{of_many(inexact)}: a float is no id"
    return refuse(values, gone, row, what, FLOATED)


def refuse(values: Any, gone: NDArray[np.bool_], row: int, what: str, hint: str) -> ReadColumn:
    """A column that is refused for one of its rows."""
    return ReadColumn(values, np.zeros(len(values), np.bool_), gone, refused=what, row=row, hint=hint)


def as_numbers(texts: pd.Series, one: Field, gone: NDArray[np.bool_]) -> tuple[Any, NDArray[np.bool_]]:
    """The column as float64, or int64 where whole numbers are wanted, and which rows are none of the field's
    numbers."""
    import pandas as pd

    if one.kind in ("whole", "yes"):
        values, bad = whole_numbers(texts)
    else:
        values = pd.to_numeric(texts, errors="coerce").to_numpy(np.float64)
        bad = ~np.isfinite(values)
    bad |= gone
    if one.kind == "yes":
        bad |= ~np.isin(values, (0, 1))
    if one.low is not None:
        bad |= values < one.low
    if one.high is not None:
        bad |= values > one.high
    return pd.Series(values, index=texts.index), bad


def whole_numbers(texts: pd.Series) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Exact whole numbers, and which rows are none: no text on the way becomes a float."""
    if texts.dtype.kind == "b":
        return texts.to_numpy(np.int64), np.zeros(len(texts), np.bool_)
    if texts.dtype.kind in "iu":
        values = texts.to_numpy()
        beyond = values > np.iinfo(np.int64).max
        return np.where(beyond, 0, values).astype(np.int64), beyond
    if texts.dtype.kind == "f":
        floats = texts.to_numpy(np.float64)
        bad = ~(np.isfinite(floats) & (floats == np.floor(floats)) & (np.abs(floats) <= MOST_EXACT))
        return np.where(bad, 0, floats).astype(np.int64), bad
    limits = np.iinfo(np.int64)
    found = np.zeros(len(texts), np.int64)
    bad = np.zeros(len(texts), np.bool_)
    for row, text in enumerate(texts.tolist()):
        match = WHOLE.fullmatch(text) if isinstance(text, str) and text.isascii() else None
        number = int(match[1]) if match and len(match[1]) < SHOWN else limits.max + 1
        bad[row] = not limits.min <= number <= limits.max
        found[row] = 0 if bad[row] else number
    return found, bad


def as_times(texts: pd.Series, gone: NDArray[np.bool_], one: Field) -> ReadColumn:
    """Times by their own clock, and in which zone that is."""
    import pandas as pd

    if texts.dtype.kind in "iufb":  # a bare number is no date
        return ReadColumn(pd.Series(pd.NaT, index=texts.index), np.ones(len(texts), np.bool_), gone)
    if texts.dtype.kind == "M":
        values, offsets, name = aware(texts) if texts.dt.tz is not None else (texts, None, "")
    else:
        bare, offsets = part_offsets(texts)
        values, name = pd.to_datetime(bare, errors="coerce", format="ISO8601"), ""
    bad = values.isna().to_numpy(np.bool_)
    if offsets is None:
        offsets = np.full(len(values), np.nan)
    far = far_dates(values).to_numpy(np.bool_)
    known = ~bad & ~far
    with_zone = ~np.isnan(offsets) & known
    if with_zone.any() and not with_zone[known].all():
        row = int((~with_zone & known).argmax())
        what = f"{one.name} is {texts.iloc[row]!s} without a zone, where {int(with_zone.sum()):,} others have one"
        return refuse(
            values, gone, row, what, "write all of them by the shop's own clock, with its offset or without"
        )
    zone = NO_ZONE
    if with_zone.any():
        zone = zone_of(values[with_zone], offsets[with_zone], name)
        if join_zones([zone]) is None:
            row = int((with_zone & (offsets != offsets[with_zone.argmax()])).argmax())
            what = f"{one.name} is {texts.iloc[row]!s}: no zone ever had its times' offsets, {zone.words}"
            return refuse(values, gone, row, what, "write all of them by the shop's own clock")
    why = f"a date that stands for nothing: {near_words(values[known])}" if far.any() else ""
    hint = "leave the row out, or give its time" if far.any() and not (bad & ~far).any() else ""
    return ReadColumn(values, bad | far, gone, zone, far if far.any() else None, why, hint=hint)


def near_words(times: pd.Series) -> str:
    """Between which days the others lie."""
    if not len(times):
        return "no other is there"
    return f"all others lie between {times.min().date()} and {times.max().date()}"


def of_many(bad: NDArray[np.bool_]) -> str:
    """How many rows are wrong, where it is not one."""
    rows = int(bad.sum())
    return f" ({rows:,} rows are wrong)" if rows > 1 else ""
