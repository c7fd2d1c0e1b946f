"""int8 dense layers that stay close to the original: three published ideas, as functions of tensors.

* SmoothQuant (Xiao et al., arXiv:2211.10438): a channel's range moves from the activations into the weights.
* LLM.int8() (Dettmers et al., arXiv:2208.07339): the few channels with the largest activations stay in float.
* GPTQ (Frantar et al., arXiv:2210.17323): a weight's rounding error is made good by the weights after it.

Weights take 7 bits: with 8, the multiply-add of AVX2 saturates on CPUs without VNNI, and the same file has to answer
alike on every instance type.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from modelpack.passes.shared.ranges import LEVELS, Range, covering

STEPS = 63
SHARES = (0.0, 0.5, 0.6, 0.7, 0.8)
"""How much of a channel's range moves into the weights; the layer's own error chooses."""
TRIED = 96
"""Texts on which the shares are compared."""
DAMPING = 0.01
TINY = 1e-5


@dataclass(frozen=True)
class Quantized:
    """A dense layer `x @ w` as `int8(x * before) @ weights * scale + x[:, outliers] @ float_rows`.

    `before` (inputs,) is 0 for the `outliers`; `covered` is the range of `x * before`; `weights` (inputs, outputs)
    int8; `scale` (outputs,).
    """

    before: Tensor
    covered: Range
    weights: Tensor
    scale: Tensor
    outliers: Tensor
    float_rows: Tensor


def quantize(given: Tensor, weights: Tensor, outliers: int) -> Quantized:
    """The layer in int8. `given` (texts, ..., inputs) are activations seen on calibration texts, padding zero."""
    largest = given.abs().flatten(0, -2).amax(0)
    picked = torch.argsort(largest, descending=True, stable=True)[:outliers].sort().values
    kept = torch.ones_like(largest)
    kept[picked] = 0
    smoothings = [smoothing(largest, weights, share) for share in SHARES]
    errors = [error(given[:TRIED], weights, kept, picked, each) for each in smoothings]
    chosen = smoothings[errors.index(min(errors))]
    before, moved = kept / chosen, weights * (chosen * kept)[:, None]
    scale = scales(moved)
    covered = covering((given * before).numpy())
    steps = round_with_compensation(moved, rounded_activations(given * before, covered), scale)
    return Quantized(before, covered, steps, scale, picked, weights[picked])


def smoothing(largest: Tensor, weights: Tensor, share: float) -> Tensor:
    """By what each input channel is divided, and its weights multiplied; the geometric mean is 1."""
    if not share:
        return torch.ones_like(largest)
    wide = weights.abs().amax(1).clamp(min=TINY)
    ratio = largest.clamp(min=TINY) ** share / wide ** (1 - share)
    return ratio / ratio.log().mean().exp()


def error(given: Tensor, weights: Tensor, kept: Tensor, picked: Tensor, smooth: Tensor) -> float:
    """The squared error of the layer's output under plain rounding."""
    moved = weights * (smooth * kept)[:, None]
    scale = scales(moved)
    smoothed = given * (kept / smooth)
    answer = rounded_activations(smoothed, covering(smoothed.numpy())) @ (
        round_to_steps(moved, scale) * scale
    )
    exact = given @ weights - given[..., picked] @ weights[picked]
    return float((answer - exact).square().sum())


def scales(weights: Tensor) -> Tensor:
    """One step per output channel."""
    return weights.abs().amax(0).clamp(min=TINY) / STEPS


def round_to_steps(weights: Tensor, scale: Tensor) -> Tensor:
    """Weights in whole steps."""
    return (weights / scale).round().clamp(-STEPS, STEPS)


def rounded_activations(given: Tensor, covered: Range) -> Tensor:
    """The activations after storing them in 8 bits of that range, back in float."""
    return ((given / covered.step).round().add(covered.zero).clamp(0, LEVELS) - covered.zero) * covered.step


def round_with_compensation(weights: Tensor, given: Tensor, scale: Tensor) -> Tensor:
    """Weights in whole steps (int8), input channel by input channel, each one's error spread over those to come."""
    rows = given.flatten(0, -2).double()
    curvature = rows.T @ rows
    curvature.diagonal().add_(DAMPING * curvature.diagonal().mean() + 1e-12)
    upper = torch.linalg.cholesky(torch.linalg.inv(curvature)).T.float().contiguous()
    left, steps = weights.clone(), torch.zeros(weights.shape, dtype=torch.int8)
    for channel in range(len(left)):
        whole = round_to_steps(left[channel], scale)
        steps[channel] = whole.to(torch.int8)
        wrong = (left[channel] - whole * scale) / upper[channel, channel]
        left[channel + 1 :].addr_(upper[channel, channel + 1 :], wrong, alpha=-1)
    return steps
