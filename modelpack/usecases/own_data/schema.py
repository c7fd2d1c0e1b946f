"""What a user's own table must hold, as data: for the check, for the docs, for `ecomdeploy schema`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from modelpack.usecases.packages import DataPackage

Kind = Literal["number", "whole", "text", "code", "time", "yes"]
KINDS: Mapping[str, str] = {
    "number": "a number",
    "whole": "a whole number",
    "text": "text",
    "code": "one to three digits and capitals, such as LA1",
    "time": "a date or a moment: 2025-03-01, 2025-03-01T12:30",
    "yes": "0 or 1",
}


@dataclass(frozen=True)
class Field:
    """One column. Values are never missing; an optional column may be left out as a whole.

    `identifies`: its values say which one it is, so none may become another's: no rounded number, no lost zero, no
    float. `low` and `high` are the least and the most it may hold; `once`: no value twice; `among`
    ("table.column"): each value must stand there too; `from_column`: at or after that column of the same row.
    """

    name: str
    kind: Kind
    about: str
    required: bool = True
    low: float | None = None
    high: float | None = None
    once: bool = False
    among: str = ""
    from_column: str = ""
    identifies: bool = False

    @property
    def wanted(self) -> str:
        """Kind and range in words."""
        low, high = self.low, self.high
        if low is not None and high is not None:
            return f"{KINDS[self.kind]} from {low:g} to {high:g}"
        if low is not None:
            return f"{KINDS[self.kind]}, {low:g} or more"
        return KINDS[self.kind]

    @property
    def told(self) -> str:
        """Kind and range with what else holds of the values."""
        table, _, column = self.among.partition(".")
        rules = (
            self.wanted,
            "each once" if self.once else "",
            f"a {column} of {table}" if table else "",
            f"not before {self.from_column}" if self.from_column else "",
        )
        return "; ".join(rule for rule in rules if rule)


@dataclass(frozen=True)
class Table:
    """One table. `fewest` rows; further columns are left alone."""

    name: str
    about: str
    fields: tuple[Field, ...]
    fewest: int = 1
    required: bool = True


NOT_IN_IMAGE = "the shop's own data, read on the machine that packed; no row of it is in the image"


@dataclass(frozen=True)
class OwnData:
    """The tables of a use case: one file for a single table, else a folder with `<table>.parquet` or `<table>.csv`
    each. `notes`: what else the use case asks of them; `packages`: what is needed beside them."""

    tables: tuple[Table, ...]
    notes: tuple[str, ...] = field(default=())
    statement: str = NOT_IN_IMAGE
    """What the record says of where the data is."""
    split: str = "as for the use case's own data, the cuts moved to the user's dates"
    """What the record says of what trains, chooses and measures."""
    packages: tuple[DataPackage, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "tables": [
                {
                    "name": table.name,
                    "about": table.about,
                    "required": table.required,
                    "fewest_rows": table.fewest,
                    "columns": [
                        {
                            "name": one.name,
                            "kind": one.kind,
                            "required": one.required,
                            "low": one.low,
                            "high": one.high,
                            "about": one.about,
                            "once": one.once,
                            "among": one.among or None,
                            "from_column": one.from_column or None,
                            "identifies": one.identifies,
                        }
                        for one in table.fields
                    ],
                }
                for table in self.tables
            ],
            "notes": list(self.notes),
        }
