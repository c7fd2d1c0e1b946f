"""Optimization passes: Draft -> Draft, one file each. The gate decides which of them stay."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from modelpack.catalog import Catalog
from modelpack.draft import TORCH, Draft
from modelpack.usecases.base import Arrays, UseCase

TRAINED, EXPORT, GRAPH = 0, 1, 2
"""Stages in order: on the torch module, into the runtime's format, on the graph."""


@dataclass(frozen=True)
class Workshop:
    """What a pass may use: the use case, real example requests, an empty folder for its result, and inputs to
    calibrate on (where the use case names some), which are never held-out requests."""

    usecase: UseCase[Any]
    examples: Arrays
    folder: Path
    calibration: Arrays | None = None


class Pass(abc.ABC):
    """One change to a model.

    `takes` and `gives` are draft formats. A `required` pass is needed to serve at all: the gate measures it, and
    stops the build when it harms, but does not drop it for not paying. `about` is where the method is documented.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    stage: ClassVar[int]
    takes: ClassVar[str]
    gives: ClassVar[str]
    required: ClassVar[bool] = False
    about: ClassVar[str]

    @abc.abstractmethod
    def apply(self, draft: Draft, workshop: Workshop) -> Draft:
        """The changed model in `workshop.folder`; `draft` stays as it is. The same input gives the same bytes."""


def passes() -> Catalog[Pass]:
    """The passes known here."""
    return Catalog[Pass]("pass", "modelpack.passes", Pass)


def in_order(names: Sequence[str], project: Path) -> tuple[Pass, ...]:
    """The passes by name, in order of their stages and, within a stage, as given. The export is always there.

    Raises BadInput for an unknown name.
    """
    catalog = passes()
    chosen = [catalog.get(name, project) for name in dict.fromkeys(names)]
    if not any(one.stage == EXPORT for one in chosen):
        chosen.append(catalog.get("onnx"))
    return tuple(sorted(chosen, key=lambda one: one.stage))


def applicable(first: Sequence[str], served: str, project: Path) -> tuple[str, ...]:
    """Every known pass that a model served in the format `served` can go through: those named `first` in that order,
    then the others by name. Raises BadInput for an unknown name."""
    catalog = passes()
    names = dict.fromkeys([*first, *sorted(catalog.names())])
    formats = (TORCH, served)
    known = {name: catalog.get(name, project) for name in names}
    return tuple(name for name, one in known.items() if one.takes in formats and one.gives in formats)
