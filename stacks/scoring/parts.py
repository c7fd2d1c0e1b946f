"""The output folder: a part for each partition, written whole or not at all, published by one rename.

`OUT.partial/` holds `part-00000.parquet` and, written after it, `part-00000.json`: a part without that is none. So a
run that was killed goes on where it was, no row is lost or doubled, and nobody reads a folder that is not finished.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from modelpack.errors import BadInput, EcomdeployError
from modelpack.home import sync_folder, write_atomically

MANIFEST = "_manifest.json"
"""Of a whole output; readers of folders of Parquet skip names that begin so."""
GROUP_ROWS = 1 << 17


@dataclass(frozen=True, kw_only=True)
class ScoredPart:
    """`mark`: of the partition, and of what scored it."""

    name: str
    mark: str
    rows: int
    size: int
    sha256: str


class Output:
    """`folder` is where it will be; nothing of it is there before `publish`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder.with_name(f"{folder.name}.partial")

    def read_published(self) -> Mapping[str, Any] | None:
        """The manifest of what is there; None: there is nothing. Raises BadInput for what no scoring has made."""
        try:
            document: dict[str, Any] = json.loads((self.folder / MANIFEST).read_text())
            return document
        except (OSError, ValueError):
            if self.folder.exists() or self.folder.is_symlink():
                raise BadInput(
                    "is there already, and is no output of `score`",
                    where=str(self.folder),
                    hint="name another",
                ) from None
            return None

    def find(self, number: int, mark: str) -> ScoredPart | None:
        """A part that an earlier run has finished with the same rows, model and columns."""
        try:
            part = ScoredPart(**json.loads(self._manifest(number).read_text()))
            whole = (self.work / part.name).stat().st_size == part.size
        except (OSError, ValueError, TypeError):
            return None
        return part if whole and part.mark == mark else None

    def write(
        self, number: int, mark: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]
    ) -> ScoredPart:
        """All of a partition's rows, durable when this returns."""
        name = f"part-{number:05}.parquet"
        unfinished = self.work / f".{name}"
        rows = 0
        self._manifest(number).unlink(missing_ok=True)
        with pq.ParquetWriter(unfinished, schema, compression="zstd") as writer:
            for table in gather(batches, schema):
                writer.write_table(table, row_group_size=GROUP_ROWS)
                rows += table.num_rows
        with unfinished.open("rb+") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
            os.fsync(written.fileno())
        part = ScoredPart(name=name, mark=mark, rows=rows, size=unfinished.stat().st_size, sha256=digest)
        unfinished.replace(self.work / name)
        write_atomically(self._manifest(number), json.dumps(asdict(part)).encode(), durable=True)
        return part

    def publish(self, parts: Sequence[ScoredPart], about: Mapping[str, Any]) -> None:
        """Give the folder its name, with these parts and nothing else in it.

        Raises:
            EcomdeployError: somebody has made a folder of that name meanwhile.
        """
        kept = {part.name for part in parts}
        for other in self.work.iterdir():
            if other.name not in kept:
                other.unlink() if other.is_file() else shutil.rmtree(other)
        listed = [{"name": part.name, "rows": part.rows, "sha256": part.sha256} for part in parts]
        document = {**about, "rows": sum(part.rows for part in parts), "parts": listed}
        write_atomically(self.work / MANIFEST, (json.dumps(document, indent=1) + "\n").encode(), durable=True)
        try:
            self.work.rename(self.folder)
        except OSError as problem:
            raise EcomdeployError(
                f"cannot be published: {problem.strerror}", where=str(self.folder)
            ) from problem
        sync_folder(self.folder.parent)

    def _manifest(self, number: int) -> Path:
        return self.work / f"part-{number:05}.json"


def gather(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterable[pa.Table]:
    """Tables of a row group's rows, so that a file of many small answers has few of them."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(one.num_rows for one in waiting) >= GROUP_ROWS:
            yield pa.Table.from_batches(waiting, schema)
            waiting = []
    yield pa.Table.from_batches(waiting, schema)
