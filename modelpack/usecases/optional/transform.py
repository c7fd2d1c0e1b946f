"""The user's own code between callers and the model.

Asked by `serving.json` and by `inputs/resolve.py`, which names a verdict by it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from modelpack.server.signature import TransformFile


@runtime_checkable
class Transformed(Protocol):
    """Callers' requests are prepared for the model, its answers finished for callers."""

    @property
    def transform_source(self) -> Path | None:
        """The file with the code; None: there is none."""

    def transform_file(self) -> TransformFile | None:
        """What the server is told of it."""


def transform_source_of(usecase: object) -> Path | None:
    """The file with the user's code around the model; None where there is none."""
    return usecase.transform_source if isinstance(usecase, Transformed) else None


def extra_fields_of(usecase: object) -> str:
    """Under what name the user's code sees fields that are no input; empty: they are refused."""
    found = transform_file_of(usecase)
    return found.extra_fields if found else ""


def transform_file_of(usecase: object) -> TransformFile | None:
    """What the server is told of the user's code around the model; None where there is none."""
    return usecase.transform_file() if isinstance(usecase, Transformed) else None
