"""Open a model as `open_model` does, and tell what the process that reads it tried."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import watched_child

from modelpack.formats.variant import Variant
from modelpack.sources.base import Converted, check


def open_watched(path: Path, usecase: Any, folder: Path, report: list[str]) -> Variant:
    """The variant of `path`; `report` gets a line for each act that no reading needs. Raises what `open_model` does."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    program = folder.parent / "watched.py"
    shutil.copyfile(watched_child.__file__, program)
    source = check(path)
    if isinstance(source, Converted):
        source.program = str(program)
    try:
        return source.open(path, usecase, folder, print)
    finally:
        written = Path(f"{program}.report")
        report += written.read_text().splitlines() if written.is_file() else []
