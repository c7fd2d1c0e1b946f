"""The files of a user's own data: found, and named by their content, without pandas."""

from __future__ import annotations

import hashlib
from itertools import islice
from pathlib import Path

from modelpack.digests import sha256_of
from modelpack.errors import BadInput

SUFFIXES = (".parquet", ".csv")
HINT = "data.path is a .parquet or .csv file, or a folder of them, relative to the project"
MOST_FILES = 10_000


def table_files(path: Path) -> tuple[Path, ...]:
    """The file, or the Parquet and CSV files of the folder, sorted. Raises BadInput when there is none."""
    if path.is_dir():
        try:
            found = sorted(one for one in path.iterdir() if one.suffix in SUFFIXES and one.is_file())
        except OSError as error:
            raise BadInput(f"the folder cannot be read: {error.strerror}", where=str(path)) from None
        if not found:
            raise BadInput("the folder holds no .parquet or .csv file", where=str(path), hint=HINT)
        if len(found) > MOST_FILES:
            raise BadInput(f"more than {MOST_FILES:,} files of data", where=str(path), hint=HINT)
        return tuple(found)
    if not path.is_file():
        raise BadInput("there is no such data", where=str(path), hint=HINT)
    if path.suffix not in SUFFIXES:
        raise BadInput(f"data in a {path.suffix or 'nameless'} file is not read", where=str(path), hint=HINT)
    return (path,)


def tables_digest(path: Path) -> str:
    """sha256 of the file, or over the names and digests of all files of the folder, whatever their kind."""
    if path.is_file():
        return sha256_of(path)
    try:
        found = (one for one in path.rglob("*") if one.is_file())
        # Counted before they are all looked for: the folder may be the root of the machine.
        files = sorted(islice(found, MOST_FILES + 1))
        if len(files) > MOST_FILES:
            raise BadInput(f"more than {MOST_FILES:,} files of data", where=str(path), hint=HINT)
        lines = [f"{one.relative_to(path).as_posix()}\0{sha256_of(one)}\n" for one in files]
    except OSError as error:
        raise BadInput(f"the folder cannot be read: {error}", where=str(path), hint=HINT) from None
    return hashlib.sha256("".join(lines).encode()).hexdigest()
