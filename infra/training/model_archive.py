"""`model.tar.gz` as a training job leaves it, taken apart: a file of S3 that a stranger may have written."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import IO

from modelpack.errors import EcomdeployError
from modelpack.training.lineage import MODEL, NAME, Lineage, read_lineage

MOST_LINEAGE = 1_000_000
"""Bytes."""


def take_model(archive: Path, folder: Path) -> Lineage:
    """The model into `folder`, and its lineage. Two plain files are looked for by name, and nothing else is written.

    Raises EcomdeployError for an archive that lacks them or is damaged.
    """
    lineage: Lineage | None = None
    taken = False
    try:
        with tarfile.open(archive, "r:gz") as opened:
            for member in opened:
                file = opened.extractfile(member) if member.isreg() else None
                if file is None:
                    continue
                if member.name == MODEL:
                    copy(file, folder / MODEL)
                    taken = True
                if member.name == NAME and member.size <= MOST_LINEAGE:
                    lineage = read_lineage(file.read(MOST_LINEAGE), NAME)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise EcomdeployError(f"the model that came back is no whole archive: {error}") from None
    if lineage is None or not taken:
        raise EcomdeployError(f"the training job left no {MODEL} with its {NAME}")
    return lineage


def copy(file: IO[bytes], path: Path) -> None:
    """The rest of a file."""
    with path.open("wb") as out:
        while piece := file.read(1 << 20):
            out.write(piece)
