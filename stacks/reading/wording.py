"""pydantic's error types in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WORDS = {
    "missing": "is missing",
    "string_type": "expected text in quotes",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "finite_number": "expected a finite number",
    "bool_type": "expected true or false",
    "datetime_type": 'expected a date and time like "2026-11-10T20:00+08:00"',
    "datetime_parsing": 'expected a date and time like "2026-11-10T20:00+08:00"',
    "datetime_from_date_parsing": 'expected a date and time like "2026-11-10T20:00+08:00"',
    "dataclass_type": "expected keys and values, like {{key: value}}",
    "dataclass_exact_type": "expected keys and values, like {{key: value}}",
    "dict_type": "expected keys and values, like {{key: value}}",
    "tuple_type": "expected a list, like [a, b]",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "too_short": "needs at least {min_length} entry",
    "too_long": "takes at most {max_length} entries",
    "string_too_short": "must not be empty",
    "literal_error": "expected {expected}",
}


class NoDuration(str):
    """A text where seconds are wanted: it was to be a duration, and is none."""


LONGEST = 80


def say(error: Mapping[str, Any], written: object = None) -> str:
    """What was expected, and what is there. `written`: as the file has it, with what was to become of it."""
    words = WORDS.get(error["type"])
    if words is None:
        return str(error["msg"])
    if isinstance(written, NoDuration):
        words = "expected a time like 90s, 5m or 48h, or seconds"
    text = words.format(**error.get("ctx", {}))
    return text if error["type"] == "missing" else f"{text}, got {show(error['input'])}"


def show(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return "keys and values" if isinstance(value, dict) else "a list"
    shown = repr(value)
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}…"
