"""Rules of a user's own data: it lies in one place, and what is asked of it goes with the way that it is read.

They read the plain document, as those of rules.py do.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

from modelpack.inputs.spec import POSTGRESQL, S3
from stacks.reading.document import Value, items

Found = Iterator[tuple[Value, str, str]]
OF_THE_ENGINE = ("columns", "tables", "personal", "contract")
RULES = ("type", "min", "max", "nulls", "unique", "fresh", "not_after")


def data(document: Value) -> Found:
    """What is wrong with the key `data`."""
    at = document.at("data")
    if at is None or not isinstance(at.data, dict):
        return
    path, source = (one if one and one.data is not None else None for one in (at.at("path"), at.at("from")))
    if path and source:
        yield source, "is given together with data.path; data lies in one place", "leave one of them out"
    if not path and not source:
        yield at, "names no data", "data: {path: orders.csv}, or data: {from: orders}"
    for key in OF_THE_ENGINE:
        if path and not source and (given := at.at(key)) and given.data:
            yield given, "is for data that an engine reads", "name the data by data.from instead of data.path"
    if source and isinstance(source.data, str):
        yield from address(source, source.data, at.at("tables"))
    unreadable = at.at("unreadable")
    if source and unreadable and unreadable.data:
        hint = "leave it out: data.contract says what may be missing"
        yield unreadable, "is for data.path; of data.from every row must be readable", hint
    for rule in items(at.at("contract")):
        yield from one_rule(rule)


def address(source: Value, text: str, tables: Value | None) -> Found:
    """What is wrong with `data.from` as the address of a database, and with the tables named in it."""
    if not text.startswith(POSTGRESQL):
        if "://" in text and not text.startswith(S3):
            hint = "files of the project, s3://BUCKET/PREFIX, or postgresql://USER@HOST/DATABASE"
            yield source, "is at no place that is read", hint
        if tables and tables.data:
            yield tables, "names tables of a database", "each table of files is a file or folder by its name"
        return
    try:
        parts = urlsplit(text)
        secrets = [parts.password, *(key for key in parse_qs(parts.query) if "password" in key.lower())]
    except ValueError as error:
        yield source, f"is no address: {error}", "postgresql://USER@HOST:PORT/DATABASE"
        return
    if any(secret is not None for secret in secrets):
        hint = "leave it out; the password comes from PGPASSWORD or ~/.pgpass, as for psql"
        yield source, "has a password in it, and the spec is no place for one", hint


def one_rule(rule: Value) -> Found:
    """What is wrong with one entry of the contract."""
    given = rule.data if isinstance(rule.data, dict) else None
    if given is None:
        return
    if not any(key in given and given[key].data is not None for key in RULES):
        yield rule, "asks nothing of the column", f"one of {', '.join(RULES)}"
    least, most = rule.at("min"), rule.at("max")
    numbers = [one.data for one in (least, most) if one and isinstance(one.data, int | float)]
    if least and len(numbers) == 2 and numbers[0] > numbers[1]:
        yield least, f"{numbers[0]:g} is above max: {numbers[1]:g}", ""
    kind = rule.at("type")
    if numbers and kind and kind.data in ("text", "time"):
        yield kind, f"min and max are of numbers, and this is {kind.data}", "leave them out"
