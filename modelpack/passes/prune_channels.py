"""Structured pruning: half of every hidden layer's units go, the layers shrink for real, and what is left is tuned.

Which units: those whose removal changes the training loss least to first order, the mean over training rows of
|activation * gradient| (Molchanov et al., "Importance Estimation for Neural Network Pruning", CVPR 2019, and before
it arXiv:1611.06440). A unit that is dead has importance 0, so taking out dead units keeps the function exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from modelpack.formats.variant import TORCH, Variant
from modelpack.passes.base import ANY_HARDWARE, TRAINED, Pass, PassContext
from modelpack.passes.shared.learning import SEED, ask, learner, save_variant

if TYPE_CHECKING:
    from torch import Tensor, nn

KEPT = 0.5
FEWEST = 4
ROWS = 4096
TUNED = 0.5
"""Share of the usual epochs that the narrowed model is trained for."""


class PruneChannels(Pass):
    """Hidden units out by importance, the next layer rewired, fine-tuned."""

    name: ClassVar[str] = "prune-channels"
    title: ClassVar[str] = "half of the hidden units, tuned"
    stage: ClassVar[int] = TRAINED
    takes: ClassVar[str] = TORCH
    gives: ClassVar[str] = TORCH
    trains: ClassVar[bool] = True
    hardware: ClassVar[frozenset[str]] = ANY_HARDWARE
    about: ClassVar[str] = "https://arxiv.org/abs/1906.10771"

    def apply(self, variant: Variant, context: PassContext) -> Variant:
        usecase, training_rows = learner(context)
        model = context.usecase.load(variant.path)
        layers = ask(lambda: usecase.hidden_layers(model))
        found = importance(layers, lambda: usecase.loss(model, training_rows, ROWS))
        small = usecase.narrow(model, [most_important(one) for one in found])
        usecase.tune(small, training_rows, SEED, context.progress, share=TUNED)
        return save_variant(small, context)


def importance(layers: nn.Sequential, loss: Any) -> list[Tensor]:
    """For every hidden layer one figure per unit: the mean |activation * gradient| over the rows of `loss()`."""
    from torch import enable_grad, nn

    linear = [place for place, part in enumerate(layers) if isinstance(part, nn.Linear)]
    seen: list[Tensor] = []

    def watch(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        inputs[0].retain_grad()
        seen.append(inputs[0])

    watched = [layers[place].register_forward_pre_hook(watch) for place in linear[1:]]
    try:
        with enable_grad():
            loss().backward()
    finally:
        for one in watched:
            one.remove()
    gradients = [(entry, entry.grad) for entry in seen]
    return [
        (entry * gradient).abs().sum(0).detach() / len(entry)
        for entry, gradient in gradients
        if gradient is not None
    ]


def most_important(figures: Tensor) -> Tensor:
    """The places of the units that stay, rising."""
    count = min(max(round(len(figures) * KEPT), FEWEST), len(figures))
    return figures.argsort(descending=True, stable=True)[:count].sort().values
