"""Where a user's own data lies: looked for when a pack is named, before anything is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelpack.errors import BadInput
from modelpack.inputs.spec import POSTGRESQL, S3, DataSpec
from modelpack.usecases.base import UseCase
from modelpack.usecases.optional.own_tables import own_data_of
from modelpack.usecases.own_data.files import table_files
from modelpack.usecases.own_data.schema import OwnData
from modelpack.usecases.own_model.given import GivenModel

if TYPE_CHECKING:
    from modelpack.inputs.data.engine import DataSource


def find_data(project: Path, data: DataSpec | None, usecase: UseCase[Any]) -> Path | None:
    """The user's own data that is read into memory; None when there is none. Raises BadInput when it is not there or
    not taken."""
    if data is None or data.path is None:
        return None
    path = project / data.path
    if not isinstance(usecase, GivenModel):
        taken_tables(usecase)
        table_files(path)
        return path
    if data.unreadable:
        raise BadInput(
            "data.unreadable is for tables that are read here", hint="leave it out: requests() reads the data"
        )
    if not path.exists():
        raise BadInput(
            "there is no such file or folder", where=str(path), hint="data.path is relative to the project"
        )
    return path


def find_source(project: Path, data: DataSpec | None, usecase: UseCase[Any]) -> DataSource | None:
    """Where the user's own tables lie that an engine reads; None when there are none such. Raises BadInput when files
    are not there or tables are not taken."""
    if data is None or data.source is None:
        return None
    if isinstance(usecase, GivenModel):
        hint = "data: {path: ...} goes to requests()"
        raise BadInput("data.from is for the tables of our use cases", hint=hint)
    return source_of(project, data, taken_tables(usecase))


def source_of(project: Path, data: DataSpec, wanted: OwnData) -> DataSource:
    """Where tables lie by `data.from`. Raises BadInput when files are not there."""
    source = data.source or ""
    if source.startswith(POSTGRESQL):
        from modelpack.inputs.data.postgresql import DatabaseSource

        return DatabaseSource(source, wanted, dict(data.tables))
    if source.startswith(S3):
        from modelpack.inputs.data.s3 import BucketSource

        return BucketSource(source, wanted)
    from modelpack.inputs.data.duckdb_files import FileSource
    from modelpack.inputs.data.files import find_files

    return FileSource(source, find_files(project, source, wanted))


def taken_tables(usecase: UseCase[Any]) -> OwnData:
    """What own tables must hold. Raises BadInput when the use case takes none."""
    wanted = own_data_of(usecase)
    if wanted is None:
        raise BadInput(
            f"the use case {usecase.name!r} takes no own data yet",
            hint="leave data: out, or write a use case of your own: docs/models.md",
        )
    return wanted
