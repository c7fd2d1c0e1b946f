"""Model files that users bring: read safely, or refused with the reason. One file per format."""

from __future__ import annotations

import abc
import difflib
from pathlib import Path
from typing import Any, ClassVar

from modelpack.catalog import Catalog
from modelpack.draft import Draft
from modelpack.errors import BadInput
from modelpack.usecases.base import UseCase

LARGEST = 10_000_000_000
"""Bytes. SageMaker takes images up to 10 GB (docs.aws.amazon.com/sagemaker/latest/dg/large-model-inference-
container-docs.html).
"""


class Source(abc.ABC):
    """One file format; `name` is its suffix without the dot."""

    name: ClassVar[str]

    @abc.abstractmethod
    def open(self, path: Path, usecase: UseCase[Any], folder: Path) -> Draft:
        """A draft in `folder` from the user's file. Raises BadInput when it is not a fit model."""


def open_model(path: Path, usecase: UseCase[Any], folder: Path) -> Draft:
    """The draft of the user's file, by its suffix. Raises BadInput when it is missing, unknown or broken."""
    check(path)
    return sources().get(path.suffix.removeprefix(".")).open(path, usecase, folder)


def check(path: Path) -> None:
    """Light checks, without reading the model: there, a known format, not empty, not too large."""
    known = sources().names()
    suffix = path.suffix.removeprefix(".")
    if suffix not in known:
        near = difflib.get_close_matches(suffix, known, n=1)
        hint = f"did you mean .{near[0]}?" if near else f"known: {', '.join('.' + name for name in known)}"
        raise BadInput(f"unknown model format {path.suffix or path.name!r}", where=str(path), hint=hint)
    if not path.is_file():
        raise BadInput(
            "no such model file", where=str(path), hint="model.path is relative to the project's folder"
        )
    size = path.stat().st_size
    if size == 0:
        raise BadInput("the model file is empty", where=str(path))
    if size > LARGEST:
        raise BadInput(f"the model file is larger than {LARGEST / 1e9:.0f} GB", where=str(path))


def sources() -> Catalog[Source]:
    """The formats known here."""
    return Catalog[Source]("model format", "modelpack.sources", Source)
