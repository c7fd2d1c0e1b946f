"""The files of a shop's tables: found by `data.from`, and named by their content, without an engine."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from modelpack.digests import sha256_of
from modelpack.errors import BadInput, Problem
from modelpack.usecases.own_data.files import MOST_FILES, SUFFIXES
from modelpack.usecases.own_data.schema import OwnData, Table

HINT = (
    "data.from is a .parquet or .csv file, a folder of such parts or a glob of them, relative to the project"
)
MAGIC = "*?["


@dataclass(frozen=True)
class TableFiles:
    """The parts of one table: `paths` of one kind, "parquet" or "csv", sorted; `place` is what the user named."""

    place: str
    paths: tuple[Path, ...]

    @property
    def kind(self) -> str:
        """What all of them are."""
        return self.paths[0].suffix.removeprefix(".")


def find_files(project: Path, source: str, wanted: OwnData) -> dict[str, TableFiles]:
    """The files of each table that is there, by its name.

    A file, a glob or a folder of parts (at any depth) is one table. Where a use case wants several, a folder holds
    `<table>.parquet`, `<table>.csv` or a folder `<table>` of parts for each.

    Raises BadInput: nothing is there, a required table is missing, or a table has files of both kinds.
    """
    path = project / source
    if any(mark in source for mark in MAGIC):
        found = {first_table(wanted).name: matching(path)}
    elif path.is_dir():
        found = in_folder(path, wanted)
    elif path.is_file():
        found = {first_table(wanted).name: [path]}
    else:
        raise BadInput("there is no such data", where=str(path), hint=HINT)
    problems = [
        *(
            told_missing(table, path)
            for table in wanted.tables
            if table.required and not found.get(table.name)
        ),
        *(problem for name, files in found.items() for problem in told_kinds(name, files)),
    ]
    if problems:
        raise BadInput(problems, hint=HINT)
    return {name: TableFiles(source, tuple(files)) for name, files in found.items()}


def files_digest(tables: Mapping[str, TableFiles]) -> str:
    """sha256 over each table's files in their order, by content: another folder with the same files has the same."""
    lines = [f"{name}\0{sha256_of(path)}\n" for name in sorted(tables) for path in tables[name].paths]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def first_table(wanted: OwnData) -> Table:
    """The table that one file stands for."""
    return next((table for table in wanted.tables if table.required), wanted.tables[0])


def in_folder(path: Path, wanted: OwnData) -> dict[str, list[Path]]:
    """Each table's files by its name; where no table is named and one is wanted, all files are its parts."""
    named: dict[str, list[Path]] = {}
    for table in wanted.tables:
        parts = path / table.name
        whole = [one for suffix in SUFFIXES if (one := path / f"{table.name}{suffix}").is_file()]
        if files := whole + (below(parts) if parts.is_dir() else []):
            named[table.name] = files
    if not named and len(wanted.tables) == 1:
        return {wanted.tables[0].name: below(path)}
    return named


def below(folder: Path) -> list[Path]:
    """The Parquet and CSV files of a folder, at any depth."""
    return of_data(folder.rglob("*"), folder)


def matching(pattern: Path) -> list[Path]:
    """What a glob names, without folders."""
    return of_data(map(Path, glob.iglob(str(pattern), recursive=True)), pattern)


def of_data(paths: Iterable[Path], where: Path) -> list[Path]:
    """Those that are files of data, sorted. Raises BadInput for too many, and for a folder that cannot be read."""
    try:
        found = (one for one in paths if one.suffix in SUFFIXES and one.is_file())
        files = sorted(islice(found, MOST_FILES + 1))
    except OSError as error:
        raise BadInput(f"the folder cannot be read: {error.strerror}", where=str(where), hint=HINT) from None
    if len(files) > MOST_FILES:
        raise BadInput(f"more than {MOST_FILES:,} files of data", where=str(where), hint=HINT)
    return files


def told_missing(table: Table, path: Path) -> Problem:
    """A table of which nothing is there."""
    names = f"{table.name}.parquet, {table.name}.csv, or a folder {table.name} of parts"
    return Problem(f"the table {table.name!r} is missing", str(path), hint=names)


def told_kinds(name: str, files: Sequence[Path]) -> list[Problem]:
    """That a table lies in files of both kinds, which would be read twice as often as not."""
    kinds = {one.suffix: one for one in files}
    if len(kinds) < 2:
        return []
    what = (
        f"the table {name!r} lies in files of both kinds: {' and '.join(one.name for one in kinds.values())}"
    )
    return [Problem(what, str(files[0].parent), hint="name one kind: data: {from: 'orders/*.parquet'}")]
