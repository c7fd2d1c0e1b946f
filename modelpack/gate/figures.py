"""What was measured, as plain data: the half of the record that `pack.lock` keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelpack.gate.trial import Judged
from modelpack.usecases.base import Baseline, beats
from modelpack.usecases.metrics import bootstrap

OWN_ROWS = "own_rows"
"""What was read of the user's own data (`OwnRows.as_data`)."""


def figures(judged: Judged, baselines: tuple[Baseline, ...], extra: Mapping[str, float]) -> dict[str, Any]:
    """The measured half, as `pack.lock` keeps it: metric with interval and baseline, reference, chosen, passes."""
    evaluation, first = judged.evaluation, baselines[0] if baselines else None
    return {
        "kept": [verdict.name for verdict in judged.verdicts if verdict.kept],
        "metric": {
            "name": evaluation.metric,
            "value": judged.interval.value,
            "low": judged.interval.low,
            "high": judged.interval.high,
            "higher_is_better": evaluation.higher_is_better,
            "baseline": float(first.evaluation.values.mean()) if first else None,
            "baseline_name": first.name if first else None,
            "requests": len(evaluation.values),
        },
        "baselines": [compare(judged, baseline) for baseline in baselines],
        "reference": {**judged.reference.as_data(), **extra},
        "chosen": judged.chosen.as_data(),
        "gain": judged.gain.as_data() if judged.gain else None,
        "passes": [verdict.as_data() for verdict in judged.verdicts],
    }


def compare(judged: Judged, baseline: Baseline) -> dict[str, Any]:
    """A baseline's own figure and how far the chosen model is ahead of it, request by request."""
    own, ahead = (
        bootstrap(baseline.evaluation.values, baseline.evaluation.groups),
        beats(judged.evaluation, baseline.evaluation),
    )
    return {
        "name": baseline.name,
        "about": baseline.about,
        "value": own.value,
        "low": own.low,
        "high": own.high,
        "ahead": {"value": ahead.value, "low": ahead.low, "high": ahead.high},
        **baseline.evaluation.more,
    }
