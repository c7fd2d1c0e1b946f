"""Parquet in S3, by DuckDB in this process over Arrow's own S3: nothing is downloaded to a disk, nothing is installed.

Credentials, region and endpoint are those of every AWS client: `AWS_PROFILE`, `AWS_ACCESS_KEY_ID`, an instance's role,
`AWS_REGION`, `AWS_ENDPOINT_URL`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelpack.errors import BadInput, Problem
from modelpack.inputs.data.duckdb_files import DuckEngine, open_engine
from modelpack.inputs.data.engine import LONGEST, DataEngine
from modelpack.inputs.data.files import first_table
from modelpack.inputs.extras import tell_missing
from modelpack.usecases.own_data.files import MOST_FILES
from modelpack.usecases.own_data.schema import OwnData

if TYPE_CHECKING:
    import duckdb
    import ibis
    import pyarrow.fs

SCHEME, SUFFIX = "s3://", ".parquet"
HINT = "data.from is s3://BUCKET/PREFIX above .parquet objects; of several tables TABLE.parquet, or TABLE/ with parts"
AT_ONCE = 16
"""Objects that are asked for their ETag together."""


@dataclass(frozen=True)
class BucketSource:
    """The tables of a use case as Parquet objects below a prefix."""

    place: str
    wanted: OwnData

    def digest(self) -> str:
        """By the objects' names below the prefix, sizes and ETags. Raises BadInput."""
        with tell_refused(self.place):
            bucket = open_bucket(self.place)
            return self.name(bucket, self.find(bucket))

    @contextmanager
    def open(self, digest: str | None = None) -> Iterator[tuple[DataEngine, Mapping[str, tuple[str, ...]]]]:
        """DuckDB over the bucket. Raises BadInput when the objects are not those of `digest` any more."""
        with tell_missing(), tell_refused(self.place), open_engine() as engine:
            bucket = open_bucket(self.place)
            there = self.find(bucket)
            if digest is not None and self.name(bucket, there) != digest:
                hint = "the same command again; objects that are written once, below a prefix of their own, hold still"
                raise BadInput("the objects changed while they were worked with", where=self.place, hint=hint)
            yield BucketEngine(engine.connection, bucket), there

    def find(self, bucket: pyarrow.fs.FileSystem) -> dict[str, tuple[str, ...]]:
        """The objects of each table that is there. Raises BadInput for what is missing."""
        from pyarrow.fs import FileSelector, FileType

        top = path_of(self.place)
        if bucket.get_file_info(top).type == FileType.File:
            return {first_table(self.wanted).name: (top,)}
        every = bucket.get_file_info(FileSelector(top, recursive=True, allow_not_found=True))
        paths = sorted(one.path for one in every if one.type == FileType.File and one.path.endswith(SUFFIX))
        if len(paths) > MOST_FILES:
            raise BadInput(f"more than {MOST_FILES:,} objects of data", where=self.place, hint=HINT)
        found = {
            table.name: tuple(
                one
                for one in paths
                if one.startswith((f"{top}/{table.name}{SUFFIX}", f"{top}/{table.name}/"))
            )
            for table in self.wanted.tables
        }
        if not any(found.values()) and len(self.wanted.tables) == 1:
            found = {self.wanted.tables[0].name: tuple(paths)}
        missing = [one for one in self.wanted.tables if one.required and not found[one.name]]
        if missing:
            raise BadInput(
                [Problem(f"the table {one.name!r} is missing", self.place) for one in missing], hint=HINT
            )
        return {name: paths for name, paths in found.items() if paths}

    def name(self, bucket: pyarrow.fs.FileSystem, tables: Mapping[str, tuple[str, ...]]) -> str:
        """The digest of these objects."""
        top = path_of(self.place)

        def tell_object(path: str) -> str:
            with bucket.open_input_stream(path) as opened:
                known = opened.metadata()
            return f"{path.removeprefix(top)}\0{known['Content-Length']!r}\0{known['ETag']!r}"

        paths = [path for name in sorted(tables) for path in tables[name]]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return hashlib.sha256("\n".join(pool.map(tell_object, paths)).encode()).hexdigest()


class BucketEngine(DuckEngine):
    """Parquet objects as tables. Made by `BucketSource`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, bucket: pyarrow.fs.FileSystem) -> None:
        super().__init__(connection)
        self.bucket = bucket

    def add_view(self, name: str, table: Any) -> ibis.Table:
        """Objects as one table. Raises BadInput when they are no Parquet."""
        from pyarrow.dataset import dataset

        rows = dataset(list(table), filesystem=self.bucket, format="parquet")
        self.connection.register(name, rows)
        return self.describe(name)


def path_of(place: str) -> str:
    """The bucket and the prefix in it."""
    return place.removeprefix(SCHEME).strip("/")


def open_bucket(place: str) -> pyarrow.fs.FileSystem:
    """S3 as the environment says, in the bucket's own region where it names none."""
    from pyarrow.fs import S3FileSystem, resolve_s3_region

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region is None and endpoint is None:
        region = resolve_s3_region(path_of(place).partition("/")[0])
    return S3FileSystem(endpoint_override=endpoint, region=region)


@contextmanager
def tell_refused(place: str) -> Iterator[None]:
    """What S3 refuses as BadInput, by the first line of its words."""
    from pyarrow.lib import ArrowException

    try:
        yield
    except (OSError, ArrowException) as error:
        words = str(error).splitlines()[0][:LONGEST]
        hint = f"aws s3 ls {place} must answer: credentials, region and endpoint are those of the AWS command line"
        raise BadInput(f"it cannot be read: {words}", where=place, hint=hint) from error
