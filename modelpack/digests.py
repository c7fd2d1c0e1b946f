"""Digests over contents: of plain data, and of the source files that a plug-in is made of."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import modelpack

FOUNDATIONS = ("base", "builtins", "abc", "typing")


def digest(data: Any) -> str:
    """sha256 over canonical JSON."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), default=list)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def sources_of(plug_in: object) -> tuple[Path, ...]:
    """The Python files of a plug-in: its own file, or its whole package when it has one of its own.

    Those of the classes it builds on too (`modelpack.usecases.tabular`) and those it names in `built_on`, but not the
    catalogues' `base.py`.
    """
    kinds = [kind for kind in type(plug_in).__mro__ if kind.__module__.split(".")[-1] not in FOUNDATIONS]
    own = Path(modelpack.__file__).parent
    shared = {own / name for name in getattr(plug_in, "built_on", ())}
    return tuple(sorted(shared | {path for kind in kinds for path in files_of(Path(inspect.getfile(kind)))}))


def files_of(file: Path) -> Iterable[Path]:
    """The file, or all of its package when that holds one plug-in or one shared foundation."""
    in_package = file.parent.parent.name in ("usecases", "passes", "runtimes")
    return file.parent.glob("*.py") if in_package else (file,)


def source_digest(files: Iterable[Path]) -> str:
    """One digest over files by their path below `modelpack` (or their name) and content."""
    own = Path(modelpack.__file__).parent
    named = {
        file.relative_to(own).as_posix() if own in file.parents else file.name: hashlib.sha256(
            file.read_bytes()
        ).hexdigest()
        for file in files
    }
    return digest(named)


def sha256_of(path: Path) -> str:
    """The file's sha256 in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
