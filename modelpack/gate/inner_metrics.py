"""Figures of what a model works out on the way to its answers, for use cases that measure that too.

A recommender answers ten products, but how well it tells bought from not bought over the whole catalogue (AUC) stands
in the scores that it ranks. `Guarded.inner_metric` names that value: a method of the torch module, and the value of
that name in the exported graph, where it is read by a second session; the served graph stays as it is. What a graph of
another format holds inside is not seen: it has no such figures, and only the task metric guards it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from modelpack.formats.signature import Run
from modelpack.formats.variant import Variant
from modelpack.runtimes.base import Runtime
from modelpack.usecases.base import Evaluation, UseCase
from modelpack.usecases.metrics import Interval, bootstrap
from modelpack.usecases.optional.measuring import Guarded


def evaluate(usecase: UseCase[Any], variant: Variant, run: Run, data: Any, runtime: Runtime) -> Evaluation:
    """The task metric, with the means of what is measured within the `variant` beside it."""
    found = usecase.evaluate(run, data)
    if not isinstance(usecase, Guarded):
        return found
    within = runtime.open_inner(variant, usecase, usecase.inner_metric)
    if within is None:
        return found
    guarded = usecase.evaluate_inside(within, data)
    means = {name: float(one.values.mean()) for name, one in guarded.items()}
    return replace(found, guarded=guarded, more={**found.more, **means})


def falls(trained: Evaluation, after: Evaluation) -> dict[str, Interval]:
    """How much each figure that is measured inside fell against the trained model (above 0: worse)."""
    return {
        name: bootstrap(
            (one.values - after.guarded[name].values) * (1 if one.higher_is_better else -1), one.groups
        )
        for name, one in trained.guarded.items()
        if name in after.guarded
    }


def as_figures(fallen: Mapping[str, Interval]) -> dict[str, float]:
    """As the record writes them: `auc_drop`, and `auc_drop_high`, the upper end of its interval."""
    return {
        key: round(number, 6)
        for name, one in fallen.items()
        for key, number in ((f"{name}_drop", one.value), (f"{name}_drop_high", one.high))
    }


def broken_guards(usecase: UseCase[Any], fallen: Mapping[str, Interval]) -> str:
    """Which of the use case's `guards` these falls break, in words; empty when none."""
    guards = usecase.guards if isinstance(usecase, Guarded) else {}
    return "; ".join(
        f"{name} may fall by {fallen[name].high:.4f} (mean {fallen[name].value:+.4f}); allowed: {limit:g}"
        for name, limit in guards.items()
        if name in fallen and fallen[name].high > limit
    )
