"""Choosing an architecture for a scenario: candidates trained on training rows, compared on validation rows.

Test rows play no part. The best on the task's own metric is trained again on training and validation rows together.
The table (each candidate's figure, its interval, and how far it is from the chosen one) goes into the model's file
and from there into the record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from modelpack.progress import Progress
from modelpack.usecases.base import Evaluation, beats
from modelpack.usecases.checkpoints import NOTHING_KEPT, Checkpoints, keep_arrays, load_arrays
from modelpack.usecases.metrics import bootstrap
from modelpack.usecases.tabular.frame import Part, Split, join
from modelpack.usecases.tabular.model import Tabular, predict

Answers = dict[str, NDArray[Any]]
ANSWERS = "answers"


class Fitting(Protocol):
    """How a candidate is made: in evaluation mode, of these rows, going on from what is `kept`."""

    def __call__(
        self, part: Part, seed: int, progress: Progress, kept: Checkpoints = NOTHING_KEPT
    ) -> Tabular: ...


@dataclass(frozen=True)
class Candidate:
    """One way to make a model."""

    name: str
    about: str
    fit: Fitting


@dataclass(frozen=True)
class Selected:
    """The model that ships, its validation answers before it saw those rows, and the table."""

    model: Tabular
    validation: Answers
    table: tuple[dict[str, Any], ...]


def select(
    candidates: Sequence[Candidate],
    data: Split,
    measure: Callable[[Answers, Part], Evaluation],
    outputs: Sequence[str],
    seed: int,
    progress: Progress,
    simplest_first: bool = False,
    kept: Checkpoints = NOTHING_KEPT,
) -> Selected:
    """Train all, choose by validation rows, train the chosen one again on all rows up to the test's.

    With `simplest_first` the candidates come in that order, and the first that the best does not beat outside the
    interval is chosen. What each answered is `kept`, and its epochs.
    """
    answers: list[Answers] = []
    evaluations: list[Evaluation] = []
    seconds: list[float] = []
    for place, candidate in enumerate(candidates):
        progress.note(f"candidate {candidate.name}: {candidate.about}")
        began, own = perf_counter(), kept.within(f"candidate-{place}")
        found = load_arrays(own, ANSWERS)
        if found is None:
            model = candidate.fit(data.training, seed, progress, own)
            names = [column.name for column in model.shape.columns]
            found = dict(zip(outputs, predict(model, data.validation, names), strict=True))
            keep_arrays(own, ANSWERS, found)
        seconds.append(perf_counter() - began)
        answers.append(found)
        evaluations.append(measure(found, data.validation))
    best = simplest(evaluations) if simplest_first else choose(evaluations)
    table = tuple(line(candidates, evaluations, number, best) for number in range(len(candidates)))
    tell(table, seconds, evaluations[best].metric, progress)
    why = "the simplest that none beats" if simplest_first else "the best"
    progress.note(
        f"{candidates[best].name} is {why} on validation rows; training it on all but the test rows"
    )
    model = candidates[best].fit(join(data.training, data.validation), seed, progress, kept.within("chosen"))
    return Selected(model, answers[best], table)


def choose(evaluations: Sequence[Evaluation]) -> int:
    """The place of the best mean; the first among equals."""
    signed = [one.values.mean() * (1 if one.higher_is_better else -1) for one in evaluations]
    return int(np.argmax(signed))


def simplest(evaluations: Sequence[Evaluation]) -> int:
    """The place of the first that the best one does not beat outside the interval."""
    best = evaluations[choose(evaluations)]
    return next(place for place, one in enumerate(evaluations) if one is best or beats(best, one).low <= 0)


def line(
    candidates: Sequence[Candidate], evaluations: Sequence[Evaluation], number: int, best: int
) -> dict[str, Any]:
    """One candidate for the record: its validation figure, and how far it is behind the chosen one."""
    own = bootstrap(evaluations[number].values, evaluations[number].groups)
    data: dict[str, Any] = {
        "name": candidates[number].name,
        "about": candidates[number].about,
        "chosen": number == best,
        "metric": evaluations[number].metric,
        "on": "validation",
        "value": own.value,
        "low": own.low,
        "high": own.high,
    }
    behind = beats(evaluations[best], evaluations[number])
    if number == best:
        first = choose(evaluations) == best
        why = "best on validation rows" if first else "the simplest that none beats outside the interval"
        return {**data, "verdict": f"chosen: {why}"}
    clear = "outside the interval" if behind.low > 0 else "within the interval"
    place = "ahead of" if behind.value < 0 else "behind"
    return {
        **data,
        "behind": {"value": behind.value, "low": behind.low, "high": behind.high},
        "verdict": f"{place} {candidates[best].name}, {clear}",
    }


def tell(table: Sequence[dict[str, Any]], seconds: Sequence[float], metric: str, progress: Progress) -> None:
    """The table for people, with seconds (which are no part of the file, for they differ each time)."""
    rows = [
        (
            one["name"],
            f"{one['value']:.4f} [{one['low']:.4f}, {one['high']:.4f}]",
            f"{spent:.1f}",
            one["verdict"],
        )
        for one, spent in zip(table, seconds, strict=True)
    ]
    progress.table("Candidates, on validation rows", ("candidate", metric, "seconds", "verdict"), rows)
