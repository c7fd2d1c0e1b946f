"""Digests over contents: of plain data, of files, of source files; and what names a library: its version."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import modelpack


def digest(data: Any) -> str:
    """sha256 over canonical JSON."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), default=list)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def source_digest(files: Iterable[Path]) -> str:
    """One digest over files by their path below `modelpack` (or their name) and content."""
    own = Path(modelpack.__file__).parent
    named = [
        (file.relative_to(own).as_posix() if own in file.parents else file.name, sha256_of(file))
        for file in files
    ]
    return digest(sorted(named))


def sha256_of(path: Path) -> str:
    """The file's sha256 in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def installed_version(package: str) -> str | None:
    """A package's version; None when it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
