"""Tables to score, in partitions that are read by themselves: Parquet by row groups, CSV by file.

Parquet: parquet.apache.org/docs/file-format; CSV: RFC 4180 with a header.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from modelpack.errors import BadInput, Problem

PARTITION_ROWS = 250_000
"""A partition of Parquet has as many rows at least, where its file has them."""
TAIL = 1 << 16
"""Bytes of a file's end that tell it from another of its size: Parquet's footer, with the digests of columns."""
FORMATS = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv"}
HINT = "a file of Parquet or CSV (.parquet, .csv), or a folder of such files"


@dataclass(frozen=True, kw_only=True)
class Partition:
    """What is scored in one go. `groups`: Parquet's row groups, first and behind the last; `first_row`: of the file,
    counted from 0; `mark`: the same only where these rows are unchanged."""

    file: Path
    groups: tuple[int, int] | None
    first_row: int
    rows: int | None
    mark: str


@dataclass(frozen=True, kw_only=True)
class ScoringTable:
    """A table in files. `columns` are those of every file; a CSV's all read as text until the model says otherwise."""

    files: tuple[Path, ...]
    schema: pa.Schema
    partitions: tuple[Partition, ...]

    @property
    def as_text(self) -> bool:
        """Whether its columns have no types yet."""
        return any(one.groups is None for one in self.partitions)

    @property
    def rows(self) -> int | None:
        """None where a CSV does not tell before it is read."""
        counts = [one.rows for one in self.partitions]
        return None if None in counts else sum(count for count in counts if count is not None)


def open_source(place: Path, partition_rows: int = PARTITION_ROWS) -> ScoringTable:
    """Look at every file's head. Raises BadInput, with every file that is none or has other columns."""
    files = list_files(place)
    problems, schemas, partitions = [], [], []
    for file in files:
        try:
            schema, found = (
                _split_parquet(file, partition_rows) if _format(file) == "parquet" else _take_csv(file)
            )
        except (pa.ArrowException, OSError, UnicodeDecodeError) as problem:
            problems.append(Problem(f"cannot be read: {str(problem).splitlines()[0]}", where=str(file)))
            continue
        schemas.append(schema)
        partitions += found
        if not schema.equals(schemas[0]):
            problems.append(Problem(_tell_apart(schemas[0], schema, files[0]), where=str(file)))
    if problems:
        raise BadInput(problems)
    return ScoringTable(files=files, schema=schemas[0], partitions=tuple(partitions))


def list_files(place: Path) -> tuple[Path, ...]:
    """The file, or those of the folder, by name; hidden ones and those that begin with _ are none, as elsewhere."""
    if place.is_file():
        if place.suffix.lower() not in FORMATS:
            raise BadInput("is no table that can be read", where=str(place), hint=HINT)
        return (place,)
    if not place.is_dir():
        raise BadInput("there is no such file or folder", where=str(place), hint=HINT)
    found = sorted(
        file
        for file in place.rglob("*")
        if file.suffix.lower() in FORMATS
        and not any(part.startswith((".", "_")) for part in file.relative_to(place).parts)
    )
    if not found:
        raise BadInput("has no table in it", where=str(place), hint=HINT)
    return tuple(found)


def read_batches(partition: Partition, schema: pa.Schema, rows: int) -> Iterator[pa.RecordBatch]:
    """In order, at most `rows` each, with the columns of `schema` in its types. Raises BadInput with the file."""
    try:
        if partition.groups is None:
            for batch in _open_csv(partition.file, schema):
                yield from (batch.slice(begin, rows) for begin in range(0, batch.num_rows, rows))
            return
        import pyarrow.parquet as pq

        with pq.ParquetFile(partition.file) as opened:
            groups = list(range(*partition.groups))
            yield from opened.iter_batches(rows, row_groups=groups, columns=schema.names, use_threads=False)
    except (pa.ArrowException, OSError) as problem:
        raise BadInput(
            f"cannot be read: {str(problem).splitlines()[0]}", where=str(partition.file)
        ) from problem


def _format(file: Path) -> str:
    return FORMATS[file.suffix.lower()]


def _split_parquet(file: Path, partition_rows: int) -> tuple[pa.Schema, list[Partition]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as opened:
        described, schema = opened.metadata, opened.schema_arrow.remove_metadata()
        sizes = [described.row_group(number).num_rows for number in range(described.num_row_groups)]
    fingerprint, found = _fingerprint(file), []
    first_group = first_row = rows = 0
    for group, size in enumerate(sizes, 1):
        rows += size
        if rows >= partition_rows or group == len(sizes):
            found.append(_partition(file, (first_group, group), first_row, rows, fingerprint))
            first_group, first_row, rows = group, first_row + rows, 0
    return schema, [one for one in found if one.rows]


def _take_csv(file: Path) -> tuple[pa.Schema, list[Partition]]:
    with file.open(encoding="utf-8-sig", newline="") as opened:
        import csv

        names = next(csv.reader(opened), [])
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise pa.ArrowInvalid(f"its header names {', '.join(twice)} twice")
    if not names:
        raise pa.ArrowInvalid("it has no header")
    schema = pa.schema([(name, pa.string()) for name in names])
    return schema, [_partition(file, None, 0, None, _fingerprint(file))]


def _open_csv(file: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """An empty cell is a missing number; a text is as it stands."""
    import pyarrow.csv as pc

    options = pc.ConvertOptions(
        column_types=schema,
        include_columns=schema.names,
        strings_can_be_null=False,
        null_values=["", "NaN", "nan"],
    )
    reading = pc.ReadOptions(use_threads=False, block_size=4 << 20)
    with pc.open_csv(file, read_options=reading, convert_options=options) as opened:
        yield from opened


def _partition(
    file: Path, groups: tuple[int, int] | None, first_row: int, rows: int | None, fingerprint: str
) -> Partition:
    named = json.dumps([file.name, groups, fingerprint])
    return Partition(
        file=file,
        groups=groups,
        first_row=first_row,
        rows=rows,
        mark=hashlib.sha256(named.encode()).hexdigest()[:24],
    )


def _fingerprint(file: Path) -> str:
    """The same only for an unchanged file, by size, time of change and its end: not all of it is read twice."""
    seen = file.stat()
    with file.open("rb") as opened:
        opened.seek(max(0, seen.st_size - TAIL))
        end = hashlib.sha256(opened.read()).hexdigest()
    return f"{seen.st_size}/{seen.st_mtime_ns}/{end}"


def _tell_apart(wanted: pa.Schema, found: pa.Schema, first: Path) -> str:
    """How the columns of a file are others than those of the first."""
    have, want = _types(found), _types(wanted)
    told = [
        *(f"lacks {name}" for name in want if name not in have),
        *(f"has {name} besides" for name in have if name not in want),
        *(
            f"{name} is {have[name]}, not {want[name]}"
            for name in want
            if have.get(name, want[name]) != want[name]
        ),
    ]
    return f"its columns are others than those of {first.name}: {', '.join(told) or 'in another order'}"


def _types(schema: pa.Schema) -> Mapping[str, Any]:
    return {one.name: one.type for one in schema}
