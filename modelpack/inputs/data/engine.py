"""What asks a shop's tables where they lie, whichever engine it is: expressions in, Arrow out."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

FILE, ROW = "ecomdeploy file", "ecomdeploy row"
"""Columns that say where a row of a file lies: its file, and in a Parquet file its number from 0. No user's column has
a blank and our name."""
LONGEST = 300
"""Letters of an engine's own words."""


class DataEngine(abc.ABC):
    """A shop's tables opened by name, and what is asked of them."""

    @abc.abstractmethod
    def add_view(self, name: str, table: Any) -> ibis.Table:
        """A table of the engine's source under a name, for expressions. Raises BadInput when it cannot be read."""

    @abc.abstractmethod
    def ask(self, asked: ibis.Table, place: str) -> pa.Table:
        """What an expression over the tables gives, in the engine's own types."""

    def fetch(self, asked: ibis.Table, place: str = "data.from") -> pa.Table:
        """What an expression over the tables gives, in its own types. Raises BadInput when the engine cannot read or
        compute it; `place` is the user's word for the data."""
        import pyarrow as pa

        found = self.ask(asked, place)
        kinds = [kind_of(asked.schema()[one.name], one.type) for one in found.schema]
        return found.cast(pa.schema(list(zip(found.column_names, kinds, strict=True))))

    def ask_row(self, asked: ibis.Table, place: str = "data.from") -> dict[str, Any]:
        """The one row that an expression gives, by column."""
        (row,) = self.fetch(asked, place).to_pylist()
        return dict(row)


def kind_of(declared: Any, given: pa.DataType) -> pa.DataType:
    """The one Arrow type of an expression's type, of those that engines give in several."""
    import pyarrow as pa

    kinds = {
        pa.string(): declared.is_string(),
        pa.int64(): declared.is_integer(),
        pa.float64(): declared.is_floating(),
        pa.timestamp("us"): declared.is_timestamp(),
        pa.date32(): declared.is_date(),
    }
    return next((kind for kind, holds in kinds.items() if holds), given)


class DataSource(Protocol):
    """Where a use case's own tables lie."""

    @property
    def place(self) -> str:
        """The user's word for it."""

    def digest(self) -> str:
        """Names the tables by their content. Raises BadInput when they cannot be read."""

    def open(self, digest: str | None) -> AbstractContextManager[tuple[DataEngine, Mapping[str, Any]]]:
        """An engine, and its tables that are there, by the use case's names, for `DataEngine.add_view`.

        Raises BadInput when they cannot be reached, or where rows may change at any time, are not those of `digest`.
        """
