"""A user's own tables in the place of the use case's data (`data: {path: ...}` in the Spec).

Asked by `inputs/resolve.py` and `ecomdeploy schema` for what the tables must hold, by `gate/reference.py` to read them,
and by the record.
"""

from __future__ import annotations

from collections.abc import Mapping
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


def own_data_of(usecase: object) -> OwnData | None:
    """What a user's own tables must hold; None: it takes none."""
    return usecase.own_data if isinstance(usecase, OwnTables) else None


def prepare_tables(
    usecase: UseCase[Any], path: Path, home: Home, progress: Progress
) -> tuple[Any, Mapping[str, int]]:
    """`UseCase.prepare` on the user's own tables; and how many rows each has.

    Raises BadInput, all problems of the data at once.
    """
    from modelpack.usecases.own_data.reading import read, too_little

    if not isinstance(usecase, OwnTables):
        raise BadInput(f"the use case {usecase.name!r} takes no own data yet", hint="leave data: out")
    tables = read(path, usecase.own_data, usecase.name)
    for name, table in tables.items():
        progress.note(f"your own {name}: {len(table):,} rows")
    with too_little(path):
        data = usecase.from_tables(tables, home, progress)
    return data, {name: len(table) for name, table in tables.items()}
