"""Measuring: the model against what it must beat, then every pass under the gate."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from modelpack.errors import EcomdeployError
from modelpack.formats.variant import TORCH, Variant
from modelpack.gate.combinations import search
from modelpack.gate.figures import OWN_ROWS, figures
from modelpack.gate.reference import Reference
from modelpack.gate.rules import Verdict
from modelpack.gate.trial import Judged, through_the_gate
from modelpack.passes.base import Pass
from modelpack.progress import Progress
from modelpack.runtimes.base import at_hand
from modelpack.usecases.base import Baseline, beats
from modelpack.usecases.optional.measuring import candidates_of, figures_of

if TYPE_CHECKING:
    from modelpack.inputs.resolve import Inputs


def measure(inputs: Inputs, reference: Reference, progress: Progress) -> tuple[Variant, dict[str, Any]]:
    """The model against its baselines, every pass under the gate; the verdict as `pack.lock` keeps it."""
    progress.step("Measuring the model on held-out data")
    trials, usecase = reference.trials, inputs.usecase
    baselines = usecase.baselines(trials.data)
    must_win(inputs, reference, baselines, progress)
    progress.step("Optimizing: each pass must pay")
    asked = inputs.request.pack
    content: dict[str, Any] = {
        "model": reference.model_sha256,
        "gate": {
            "metric_drop": trials.metric_drop(asked.gate),
            "from": "use case" if asked.gate.metric_drop is None else "spec",
            "must_beat": asked.gate.must_beat,
        },
    }
    if reference.own_rows.rows:
        content[OWN_ROWS] = reference.own_rows.as_data()
    passes, aside = measurable(inputs)
    if asked.automatic:
        judged, content["search"] = search(trials, passes, asked)
    else:
        judged = through_the_gate(trials, passes, asked.gate)
    judged = with_set_aside(judged, aside, progress)
    content["format"] = judged.variant.format
    if trials.reference.format != TORCH:
        return judged.variant, content | figures(judged, baselines, {})
    model = usecase.load(trials.reference.path)
    table = [dict(one) for one in candidates_of(usecase, model)]
    content |= figures(judged, baselines, figures_of(usecase, model, trials.data))
    return judged.variant, content | ({"candidates": table} if table else {})


def measurable(inputs: Inputs) -> tuple[tuple[Pass, ...], tuple[tuple[str, str], ...]]:
    """The passes that the gate can judge here, and those that it cannot, with the reason.

    What the pack's hardware gains by a pass can only be measured on it: without it only what serving needs is applied.
    A verdict that was measured on that hardware and lies in pack.lock is taken as it is.
    """
    wanted = inputs.request.built_for
    if at_hand(wanted):
        return inputs.passes, inputs.set_aside
    why = f"not measured: it needs {wanted}, and this machine has none"
    left = tuple((one.name, why) for one in inputs.passes if not one.required)
    return tuple(one for one in inputs.passes if one.required), (*inputs.set_aside, *left)


def with_set_aside(judged: Judged, aside: tuple[tuple[str, str], ...], progress: Progress) -> Judged:
    """The verdicts with those of passes that were not tried, each told."""
    for name, why in aside:
        progress.note(f"{name} is dropped: {why}")
    dropped = tuple(Verdict(name, False, why, None) for name, why in aside)
    return replace(judged, verdicts=(*judged.verdicts, *dropped))


def must_win(
    inputs: Inputs, reference: Reference, baselines: tuple[Baseline, ...], progress: Progress
) -> None:
    """Tell how the model stands against each baseline. Raises EcomdeployError with all that it must beat and does not,
    unless the Spec says that they are reported only."""
    evaluation = reference.trials.evaluation(reference.trials.reference)
    if not baselines:
        progress.note(
            f"{evaluation.metric} {evaluation.values.mean():.4f}; no baseline is given, so nothing says whether a "
            "simple rule would do as well"
        )
    unbeaten = []
    for baseline in baselines:
        ahead = beats(evaluation, baseline.evaluation)
        words = (
            f"{evaluation.metric} {evaluation.values.mean():.4f} against {baseline.evaluation.values.mean():.4f} "
            f"by {baseline.name} (ahead by {ahead.value:+.4f} [{ahead.low:+.4f}, {ahead.high:+.4f}])"
        )
        progress.note(words)
        if baseline.must_beat and ahead.low <= 0:
            unbeaten.append(words)
    if not unbeaten:
        return
    if not inputs.request.pack.gate.must_beat:
        progress.note("it goes on all the same: pack.gate.must_beat is false, and the record says so")
        return
    told = "".join(f"\n  {one}" for one in unbeaten)
    raise EcomdeployError(
        f"the model is not ahead of what it must beat, so nothing is packed:{told}", hint=better(inputs)
    )


def better(inputs: Inputs) -> str:
    """What to do about a model that is not ahead of a simple rule."""
    if inputs.model_path is not None:
        first = "check the model's file"
    elif inputs.own_tables:
        first = "the rule may be all that this data bears: use it, or give more data"
    else:
        first = f"train longer: model: {{train: {{epochs: {2 * (inputs.train.epochs or 1)}}}}}"
    return f"{first}; pack: {{gate: {{must_beat: false}}}} packs it as it is"
