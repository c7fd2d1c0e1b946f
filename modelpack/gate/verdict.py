"""Which passes serve: by a verdict that was measured before, or by measuring now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from modelpack.errors import BadInput
from modelpack.formats.variant import Variant
from modelpack.gate.measure import measure
from modelpack.gate.reference import Reference
from modelpack.inputs.lock import Lock
from modelpack.inputs.remembered import Remembered
from modelpack.inputs.resolve import Inputs
from modelpack.progress import Progress

Measure = Callable[[Inputs, Reference, Progress], tuple[Variant, dict[str, Any]]]


def choose(
    inputs: Inputs,
    lock: Lock,
    reference: Reference,
    remembered: Remembered,
    progress: Progress,
    measure: Measure = measure,
) -> tuple[Variant, Lock]:
    """The model that will serve: by the lock's verdict when it holds, else by measuring every pass, remembered at once:
    what comes after may fail."""
    verdict = None if inputs.request.regate else lock.get("verdict", inputs.verdict_digest)
    if verdict is None:
        variant, content = measure(inputs, reference, progress)
        lock = lock.having("verdict", inputs.verdict_digest, content)
        remembered.keep(lock)
        return variant, lock
    progress.step("Optimizing by the verdict of an earlier measurement")
    if verdict.get("model") != reference.model_sha256:
        progress.note(
            "training gave other weights here than where the verdict was measured (another type of CPU?): "
            "the image will differ; `--regate` measures this model"
        )
    return by_verdict(inputs, reference, verdict), lock


def by_verdict(inputs: Inputs, reference: Reference, verdict: Mapping[str, Any]) -> Variant:
    """The passes that the verdict kept, nothing measured. Raises BadInput when it names others."""
    trials, names = reference.trials, verdict.get("kept")
    kept = [one for one in inputs.passes if isinstance(names, list) and one.name in names]
    if not isinstance(names, list) or len(kept) != len(names) or "metric" not in verdict:
        raise BadInput("the verdict in pack.lock is damaged", hint="run `ecomdeploy pack --regate`")
    variant = trials.again(kept)
    if variant.format != verdict.get("format"):
        raise BadInput("the verdict in pack.lock is damaged", hint="run `ecomdeploy pack --regate`")
    trials.agree(variant)
    return variant
