"""What passes that train have in common: they ask the use case to, and learn from its training_rows alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from modelpack.formats.variant import TORCH, Variant
from modelpack.passes.base import Inapplicable, PassContext
from modelpack.usecases.optional.training import Tunable

T = TypeVar("T")

SEED = 7
"""Of every training in a pass: the same model and training_rows give the same bytes on one type of CPU."""


def learner(context: PassContext) -> tuple[Tunable, Any]:
    """The use case as one that can train on, and its training_rows. Raises Inapplicable where it cannot."""
    usecase, training_rows = context.usecase, context.training_rows()
    if not isinstance(usecase, Tunable) or training_rows is None:
        raise Inapplicable(f"the use case {usecase.name!r} cannot train its model on")
    return usecase, training_rows


def ask(given: Callable[[], T]) -> T:
    """What a `Tunable` gives of its model. Raises Inapplicable, in its words, where there is no such thing."""
    try:
        return given()
    except ValueError as nothing:
        raise Inapplicable(str(nothing)) from nothing


def save_variant(model: Any, context: PassContext) -> Variant:
    """The model as the pass' variant."""
    context.folder.mkdir(parents=True, exist_ok=True)
    path = context.folder / "model.safetensors"
    context.usecase.save(model, path)
    return Variant(TORCH, path)
