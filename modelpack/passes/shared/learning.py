"""What passes that train have in common: they ask the use case to, and learn from its training_rows alone."""

from __future__ import annotations

from typing import Any

from modelpack.formats.variant import TORCH, Variant
from modelpack.passes.base import Inapplicable, PassContext
from modelpack.usecases.optional.training import Tunable

SEED = 7
"""Of every training in a pass: the same model and training_rows give the same bytes on one type of CPU."""


def learner(context: PassContext) -> tuple[Tunable, Any]:
    """The use case as one that can train on, and its training_rows. Raises Inapplicable where it cannot."""
    usecase, training_rows = context.usecase, context.training_rows()
    if not isinstance(usecase, Tunable) or training_rows is None:
        raise Inapplicable(f"the use case {usecase.name!r} cannot train its model on")
    return usecase, training_rows


def save_variant(model: Any, context: PassContext) -> Variant:
    """The model as the pass' variant."""
    context.folder.mkdir(parents=True, exist_ok=True)
    path = context.folder / "model.safetensors"
    context.usecase.save(model, path)
    return Variant(TORCH, path)
