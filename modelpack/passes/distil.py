"""Distillation: a student of half the widths learns the trained model's answers on training rows.

Hinton, Vinyals & Dean, "Distilling the Knowledge in a Neural Network" (arXiv:1503.02531): the loss is a weighted mean
towards the teacher's answers and the true ones. The student of boosted trees is dense layers (the reverse of Frosst &
Hinton, arXiv:1711.09784), which a CPU multiplies faster than it walks hundreds of trees.
"""

from __future__ import annotations

from typing import ClassVar

from modelpack.formats.variant import TORCH, Variant
from modelpack.passes.base import ANY_HARDWARE, TRAINED, Pass, PassContext
from modelpack.passes.shared.learning import SEED, ask, learner, save_variant

SHARE = 0.5
"""Of the teacher's widths."""


class Distil(Pass):
    """A smaller student in the trained model's place."""

    name: ClassVar[str] = "distil"
    title: ClassVar[str] = "a student of half the width"
    stage: ClassVar[int] = TRAINED
    takes: ClassVar[str] = TORCH
    gives: ClassVar[str] = TORCH
    trains: ClassVar[bool] = True
    hardware: ClassVar[frozenset[str]] = ANY_HARDWARE
    about: ClassVar[str] = "https://arxiv.org/abs/1503.02531"

    def apply(self, variant: Variant, context: PassContext) -> Variant:
        usecase, training_rows = learner(context)
        teacher = context.usecase.load(variant.path)
        student = ask(lambda: usecase.student(teacher, SHARE, training_rows))
        usecase.tune(student, training_rows, SEED, context.progress, teacher=teacher)
        return save_variant(student, context)
