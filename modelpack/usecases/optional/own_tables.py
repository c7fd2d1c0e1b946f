"""A user's own tables in the place of the use case's data (`data: {path: ...}` in the Spec).

Asked by `inputs/resolve.py` and `ecomdeploy schema` for what the tables must hold, by `gate/reference.py` to read them,
and by the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from modelpack.errors import BadInput
from modelpack.home import Home
from modelpack.progress import Progress
from modelpack.usecases.base import UseCase
from modelpack.usecases.own_data.schema import OwnData


@runtime_checkable
class OwnTables(Protocol):
    """Trains and measures on a shop's own rows as on its own data."""

    @property
    def own_data(self) -> OwnData:
        """What the tables must hold."""

    def from_tables(self, tables: Mapping[str, Any], home: Home, progress: Progress) -> Any:
        """Clean and split the tables (pandas, by the names in `own_data`), as `prepare` does with its own.

        Raises TooLittle (`own_data/reading.py`) when too little is left to train and measure honestly.
        """


@runtime_checkable
class Condensed(Protocol):
    """Says as expressions what of the tables training needs, so that an engine brings back no more than that."""

    def condense(self, tables: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ibis tables with the columns of `own_data`, in their kinds -> those that `from_tables` is given instead.

        `from_tables` makes the same of them as of the whole. Their values are the same on every engine: sums are of
        exact decimals (`own_data/expressions.py`), and no expression rests on the order of rows.
        """


def own_data_of(usecase: object) -> OwnData | None:
    """What a user's own tables must hold; None: it takes none."""
    return usecase.own_data if isinstance(usecase, OwnTables) else None


@dataclass(frozen=True)
class OwnRows:
    """What was read of a user's own data: rows by table, those left out because they cannot be read, whose clock
    its times are by (`table.column`)."""

    rows: Mapping[str, int] = field(default_factory=dict)
    unreadable: Mapping[str, int] = field(default_factory=dict)
    zones: Mapping[str, str] = field(default_factory=dict)
    prepared: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Of `data.from` by table: the `rows` that came back from the engine and their `sha256`."""
    contract: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """Of `data.from` by table: each `rule`, the `rows` that break it, the share `allowed`."""

    def as_data(self) -> dict[str, Any]:
        """For the record."""
        named: dict[str, Mapping[str, Any]] = {
            "rows": self.rows,
            "unreadable": self.unreadable,
            "zones": self.zones,
            "prepared": self.prepared,
            "contract": {name: list(rules) for name, rules in self.contract.items()},
        }
        return {key: dict(part) for key, part in named.items() if part or key == "rows"}


def prepare_tables(
    usecase: UseCase[Any], path: Path, home: Home, progress: Progress, limit: float = 0.0
) -> tuple[Any, OwnRows]:
    """`UseCase.prepare` on the user's own tables, of which the share `limit` of the rows may be unreadable; and
    what was read of them.

    Raises BadInput, all problems of the data at once.
    """
    from modelpack.usecases.own_data.reading import read, too_little

    if not isinstance(usecase, OwnTables):
        raise BadInput(f"the use case {usecase.name!r} takes no own data yet", hint="leave data: out")
    found = read(path, usecase.own_data, usecase.name, limit)
    for name, table in found.tables.items():
        lost = found.unreadable.get(name, 0)
        left_out = f"; {lost:,} more cannot be read and are left out" if lost else ""
        progress.note(f"your own {name}: {len(table):,} rows{left_out}")
    for slip in found.slips:
        progress.note(f"left out: {slip}")
    for words in sorted(set(found.zones.values())):
        clock = "the hour is UTC's, not the shop's" if words == "UTC" else "the hour is taken by that clock"
        progress.note(f"times are in {words}: {clock}")
    with too_little(path):
        data = usecase.from_tables(found.tables, home, progress)
    rows = {name: len(table) for name, table in found.tables.items()}
    return data, OwnRows(rows, found.unreadable, found.zones)
