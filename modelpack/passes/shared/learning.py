"""What passes that train have in common: they ask the use case to, and learn from its lessons alone."""

from __future__ import annotations

from typing import Any

from modelpack.formats.variant import TORCH, Draft
from modelpack.passes.base import Inapplicable, Workshop
from modelpack.usecases.tunable import Tunable

SEED = 7
"""Of every training in a pass: the same model and lessons give the same bytes on one type of CPU."""


def learner(workshop: Workshop) -> tuple[Tunable, Any]:
    """The use case as one that can train on, and its lessons. Raises Inapplicable where it cannot."""
    usecase, lessons = workshop.usecase, workshop.lessons()
    if not isinstance(usecase, Tunable) or lessons is None:
        raise Inapplicable(f"the use case {usecase.name!r} cannot train its model on")
    return usecase, lessons


def save_variant(model: Any, workshop: Workshop) -> Draft:
    """The model as the pass' draft."""
    workshop.folder.mkdir(parents=True, exist_ok=True)
    path = workshop.folder / "model.safetensors"
    workshop.usecase.save(model, path)
    return Draft(TORCH, path)
