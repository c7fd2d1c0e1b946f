"""Trials for the gate: apply a pass, run it on held-out data, time it against the draft before it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modelpack.answers import agreement, answers, check_declared, check_shapes
from modelpack.bench.local import TURNS, Comparison, Speed, compare, hardware
from modelpack.bench.memory import peak_mb
from modelpack.draft import Draft, Measured
from modelpack.errors import EcomdeployError
from modelpack.gate import COLUMNS, Trial, Verdict, check_limits, judge, table_row
from modelpack.golden import compare as differences
from modelpack.metrics import Interval, bootstrap
from modelpack.passes.base import Pass, Workshop
from modelpack.progress import Progress
from modelpack.runtimes.base import runtime_for
from modelpack.spec import GateSpec
from modelpack.usecases.base import Arrays, Evaluation, Run, UseCase

EXAMPLES = 256


@dataclass(frozen=True)
class Judged:
    """What came out of the gate: the chosen draft, the verdicts, the trained model's figures and the chosen one's."""

    draft: Draft
    verdicts: tuple[Verdict, ...]
    reference: Measured
    chosen: Measured
    interval: Interval
    evaluation: Evaluation


@dataclass
class Trials:
    """Runs drafts of one use case on one data set; opened and evaluated once each."""

    usecase: UseCase[Any]
    data: Any
    reference: Draft
    folder: Path
    progress: Progress
    peak: Callable[[Draft, UseCase[Any], Arrays], float] = peak_mb
    """MB of a fresh process that loads a draft and answers one batch."""
    _runs: dict[Path, Run] = field(default_factory=dict)
    _evaluations: dict[Path, Evaluation] = field(default_factory=dict)
    _peaks: dict[Path, float] = field(default_factory=dict)

    def run(self, draft: Draft) -> Run:
        """The draft, ready to run."""
        if draft.path not in self._runs:
            self._runs[draft.path] = runtime_for(draft.format).open(draft, self.usecase)
        return self._runs[draft.path]

    def evaluation(self, draft: Draft) -> Evaluation:
        """The task metric of the draft on held-out data."""
        if draft.path not in self._evaluations:
            self._evaluations[draft.path] = self.usecase.evaluate(self.run(draft), self.data)
        return self._evaluations[draft.path]

    def attempt(self, one: Pass, draft: Draft) -> Trial:
        """Apply a pass and measure. Raises whatever the pass raises, and EcomdeployError when answers differ."""
        self.progress.note(f"trying {one.title}")
        return self.weigh(self.apply(one, draft, self.folder / one.name), draft, one.title)

    def apply(self, one: Pass, draft: Draft, folder: Path) -> Draft:
        """The changed draft in `folder`. Raises whatever the pass raises, and EcomdeployError for a wrong format."""
        if one.takes != draft.format:
            raise EcomdeployError(f"it takes {one.takes}, the model is {draft.format}")
        made = one.apply(draft, self.workshop(folder))
        return Draft(made.format, made.path, (*draft.passes, one.name))

    def workshop(self, folder: Path) -> Workshop:
        """What a pass may use."""
        examples = self.usecase.examples(self.data, EXAMPLES)
        return Workshop(self.usecase, examples, folder, self.usecase.calibration(self.data))

    def weigh(self, changed: Draft, before: Draft, title: str) -> Trial:
        """Measure a changed draft against the one before it. Raises EcomdeployError when its answers differ."""
        self.agree(changed)
        comparison = self.compare(before, changed, title)
        trained, after = self.evaluation(self.reference), self.evaluation(changed)
        sign = 1.0 if trained.higher_is_better else -1.0
        return Trial(
            draft=changed,
            before=self.measured(before, comparison.before),
            after=self.measured(changed, comparison.after),
            drop=bootstrap(sign * (trained.values - after.values), trained.groups),
            comparison=comparison,
            complaint=self.complaint(after),
        )

    def compare(self, before: Draft, after: Draft, title: str) -> Comparison:
        """Both drafts in turns on real requests."""
        examples = self.usecase.examples(self.data, EXAMPLES)
        with self.progress.track(f"measuring {title}", TURNS, "turns") as advance:
            return compare(self.run(before), self.run(after), examples, self.usecase.max_batch, advance)

    def agree(self, draft: Draft) -> None:
        """Raises EcomdeployError when the draft answers in another shape than the signature's, or a golden request
        unlike the trained model."""
        signature, examples = self.usecase.signature(), self.usecase.examples(self.data, EXAMPLES)
        check_declared(draft, signature)
        check_shapes(self.run(draft), signature, examples, self.usecase.max_batch)
        wanted = answers(self.usecase, self.run(self.reference), self.data)
        for (request, want), (_, got) in zip(
            wanted, answers(self.usecase, self.run(draft), self.data), strict=True
        ):
            if found := differences(want, got, self.usecase.tolerance):
                raise EcomdeployError(f"it answers {json.dumps(request)[:80]} otherwise: {found[0]}")

    def complaint(self, after: Evaluation) -> str:
        """Why the use case cannot take answers that differ this much from the trained model's; empty when it can."""
        shared = agreement(self.evaluation(self.reference), after)
        if shared is None or shared >= self.usecase.agreement:
            return ""
        return f"it keeps {shared:.3f} of what the trained model ranks; least: {self.usecase.agreement:g}"

    def measured(self, draft: Draft, speed: Speed) -> Measured:
        """Figures of a draft."""
        evaluation = self.evaluation(draft)
        shared = agreement(self.evaluation(self.reference), evaluation)
        return Measured(
            metric=float(evaluation.values.mean()),
            p50_ms=round(speed.p50_ms, 4),
            p99_ms=round(speed.p99_ms, 4),
            rows_per_cpu_s=round(speed.rows_per_cpu_s, 1),
            size_mb=round(draft.size_mb, 4),
            hardware=hardware(),
            peak_mb=round(self.peak_of(draft), 1),
            more={**evaluation.more, **({} if shared is None else {"agreement": round(shared, 4)})},
        )

    def peak_of(self, draft: Draft) -> float:
        """Peak memory in MB, measured once."""
        if draft.path not in self._peaks:
            examples = self.usecase.examples(self.data, self.usecase.max_batch)
            self._peaks[draft.path] = self.peak(draft, self.usecase, examples)
        return self._peaks[draft.path]


def through_the_gate(trials: Trials, passes: Sequence[Pass], limits: GateSpec) -> Judged:
    """Every pass in order, each measured against what was kept before it; the table tells of all."""
    draft, verdicts, figures = trials.reference, [], []
    reference: Measured | None = None
    for one in passes:
        if one.required and one.gives == draft.format:
            continue
        trials_seen: list[Trial] = []

        def attempt(current: Draft, one: Pass = one, seen: list[Trial] = trials_seen) -> Trial:
            seen.append(trials.attempt(one, current))
            return seen[-1]

        draft, verdict = judge(one, draft, limits, attempt)
        verdicts.append(verdict)
        if trials_seen and reference is None:
            reference = trials_seen[0].before
        if verdict.kept and verdict.measured:
            figures.append(verdict.measured)
    if reference is None:
        reference = trials.measured(trials.reference, trials.compare(draft, draft, "the model").before)
    chosen = figures[-1] if figures else reference
    show(trials.progress, trials.evaluation(trials.reference).metric, reference, verdicts)
    check_limits(chosen, limits)
    evaluation = trials.evaluation(draft)
    interval = bootstrap(evaluation.values, evaluation.groups)
    return Judged(draft, tuple(verdicts), reference, chosen, interval, evaluation)


def show(progress: Progress, metric: str, reference: Measured, verdicts: Sequence[Verdict]) -> None:
    """The gate's table."""
    rows = [table_row("as trained", reference, "reference")]
    rows += [
        table_row(
            verdict.name, verdict.measured, f"{'kept' if verdict.kept else 'dropped'}: {verdict.reason}"
        )
        for verdict in verdicts
    ]
    columns = [metric if column == "metric" else column for column in COLUMNS]
    progress.table("Optimization passes", columns, rows)


def apply_kept(reference: Draft, kept: Sequence[Pass], workshop: Workshop) -> Draft:
    """The chosen draft again from a verdict, nothing measured."""
    draft = reference
    for one in kept:
        if one.required and one.gives == draft.format:
            continue
        made = one.apply(draft, replace(workshop, folder=workshop.folder / one.name))
        draft = Draft(made.format, made.path, (*draft.passes, one.name))
    return draft
