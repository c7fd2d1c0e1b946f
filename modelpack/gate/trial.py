"""Trials for the gate: apply a pass, run it on held-out data, time it against the draft before it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modelpack.errors import BadInput, EcomdeployError
from modelpack.formats.variant import TORCH, Draft, Measured
from modelpack.gate.answers import agreement, answers, check_declared, check_shapes
from modelpack.gate.inner_metrics import as_figures, broken_guards, evaluate, falls
from modelpack.gate.memory import peak_mb
from modelpack.gate.rules import COLUMNS, Trial, Verdict, check_limits, judge, table_row
from modelpack.gate.timing import Comparison, Speed, compare
from modelpack.inputs.spec import GateSpec
from modelpack.passes.base import Pass, Workshop, nothing
from modelpack.progress import Progress
from modelpack.runtimes.base import Runtime, at_hand, runtime_for, served_formats
from modelpack.runtimes.hardware import CPU
from modelpack.server.golden import compare as differences
from modelpack.usecases.base import Arrays, Evaluation, Run, UseCase
from modelpack.usecases.metrics import Interval, bootstrap
from modelpack.usecases.tunable import Tunable

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
    hardware: str = CPU
    """What the pack is for; drafts run on it where this machine has it, else on the CPU."""
    _runs: dict[Path, Run] = field(default_factory=dict)
    _evaluations: dict[Path, Evaluation] = field(default_factory=dict)
    _peaks: dict[Path, float] = field(default_factory=dict)
    _made: dict[tuple[Path, str], Draft] = field(default_factory=dict)
    _origins: dict[Path, Draft] = field(default_factory=dict)
    _golden: dict[str, tuple[Sequence[Mapping[str, Any]], Mapping[str, Any]]] = field(default_factory=dict)

    def run(self, draft: Draft) -> Run:
        """The draft, ready to run."""
        if draft.path not in self._runs:
            self._runs[draft.path] = self.runtime(draft).open(draft, self.usecase)
        return self._runs[draft.path]

    def runtime(self, draft: Draft) -> Runtime:
        """What executes the draft: on the pack's hardware what is served there, else on the CPU."""
        served = draft.format in served_formats(self.hardware)
        return runtime_for(draft.format, self.hardware if served else CPU)

    def evaluation(self, draft: Draft) -> Evaluation:
        """The task metric of the draft on held-out data."""
        if draft.path not in self._evaluations:
            self._evaluations[draft.path] = evaluate(self.usecase, draft, self.run(draft), self.data)
        return self._evaluations[draft.path]

    def attempt(self, one: Pass, draft: Draft, required: Sequence[Pass] = ()) -> Trial:
        """Apply a pass and measure, both drafts as they would be served: after the `required` passes, unless it is
        one. Raises whatever the pass raises, and EcomdeployError when answers differ."""
        self.progress.note(f"trying {one.title}")
        changed = self.made(one, draft)
        if one.required:
            return self.weigh(changed, draft, one.title)
        trial = self.weigh(self.served(changed, required), self.served(draft, required), one.title)
        return replace(trial, draft=changed)

    def served(self, draft: Draft, required: Sequence[Pass]) -> Draft:
        """The draft after the required passes that it has not gone through."""
        for one in required:
            if one.takes == draft.format:
                draft = self.made(one, draft)
        return draft

    def made(self, one: Pass, draft: Draft) -> Draft:
        """The draft after the pass; made once."""
        key = (draft.path, one.name)
        if key not in self._made:
            self._made[key] = self.apply(one, draft, self.folder / "+".join((*draft.passes, one.name)))
        return self._made[key]

    def apply(self, one: Pass, draft: Draft, folder: Path) -> Draft:
        """The changed draft in `folder`. Raises whatever the pass raises, and EcomdeployError for a wrong format."""
        if one.takes != draft.format:
            raise EcomdeployError(f"it takes {one.takes}, the model is {draft.format}")
        made = one.apply(draft, self.workshop(folder))
        changed = Draft(made.format, made.path, (*draft.passes, one.name))
        self._origins[changed.path] = changed if one.trains else self.origin(draft)
        return changed

    def again(self, kept: Sequence[Pass]) -> Draft:
        """The chosen draft from a verdict's passes, nothing measured."""
        draft = self.reference
        for one in kept:
            if not (one.required and one.gives == draft.format):
                draft = self.made(one, draft)
        return draft

    def origin(self, draft: Draft) -> Draft:
        """The model whose single answers the draft must repeat: the last one that came out of training."""
        return self._origins.get(draft.path, self.reference)

    def workshop(self, folder: Path) -> Workshop:
        """What a pass may use: of the data, inputs without answers, and what the use case gives to learn from."""
        usecase, data = self.usecase, self.data
        learn = (lambda: usecase.lessons(data)) if isinstance(usecase, Tunable) else nothing
        examples = usecase.examples(data, EXAMPLES)
        traffic = lambda: usecase.traffic(data)  # noqa: E731
        calibration = usecase.calibration(data)
        return Workshop(usecase, examples, folder, calibration, learn, self.progress, traffic, self.hardware)

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
            unserved=self.runtime(changed).unserved(),
        )

    def compare(self, before: Draft, after: Draft, title: str) -> Comparison:
        """Both drafts in turns on real requests."""
        examples = self.usecase.examples(self.data, EXAMPLES)
        with self.progress.track(f"measuring {title}", self.usecase.turns, "turns") as advance:
            runs, batch = (self.run(before), self.run(after)), self.usecase.max_batch
            usecase = self.usecase
            return compare(*runs, examples, batch, advance, self.clock(), usecase.turns, usecase.as_served)

    def clock(self) -> Callable[[], int]:
        """What a run costs, in nanoseconds: a GPU's work is not in this process' processor time."""
        on_gpu = self.hardware != CPU and at_hand(self.hardware)
        return time.perf_counter_ns if on_gpu else time.process_time_ns

    def agree(self, draft: Draft) -> None:
        """Raises EcomdeployError when the draft answers in another shape than the signature's, or a golden request
        unlike the model that came out of training."""
        signature, examples = self.usecase.signature(), self.usecase.examples(self.data, EXAMPLES)
        if self.usecase.decoding is None:
            check_declared(draft, signature)
        check_shapes(self.run(draft), signature, examples, self.usecase.max_batch)
        requests, _ = self.golden(draft)
        wanted = answers(self.usecase, self.run(self.origin(draft)), self.data, requests)
        got_of = answers(self.usecase, self.run(draft), self.data, requests)
        for (request, want), (_, got) in zip(wanted, got_of, strict=True):
            if found := differences(want, got, self.usecase.tolerance):
                raise EcomdeployError(f"it answers {json.dumps(request)[:80]} otherwise: {found[0]}")

    def golden(self, draft: Draft) -> tuple[Sequence[Mapping[str, Any]], Mapping[str, Any]]:
        """The golden requests of a pack of this draft, and how far their answers are from turning where that matters.

        Raises BadInput for a language model whose weights are not at hand, EcomdeployError when no answer lasts.
        """
        arithmetic = self.runtime(draft).arithmetic
        if arithmetic == Runtime.arithmetic:
            return self.usecase.golden(self.data), {}
        if arithmetic not in self._golden:
            self._golden[arithmetic] = self.usecase.lasting_golden(self.weights, self.data, arithmetic)
        return self._golden[arithmetic]

    def weights(self) -> Any:
        """The trained model as a torch module. Raises BadInput when a graph was given instead."""
        if self.reference.format != TORCH:
            raise BadInput(
                "golden answers for a GPU are chosen with the language model's weights, and a graph was given",
                where=str(self.reference.path),
                hint="give the .safetensors file that `ecomdeploy pack` made, or leave model.path out",
            )
        return self.usecase.load(self.reference.path)

    def metric_drop(self, limits: GateSpec) -> float:
        """The most that the metric may fall: what the Spec says, else what the use case does."""
        return self.usecase.metric_drop if limits.metric_drop is None else limits.metric_drop

    def complaint(self, after: Evaluation) -> str:
        """Why the use case cannot take answers that differ this much from the trained model's; empty when it can."""
        trained = self.evaluation(self.reference)
        shared = agreement(trained, after)
        if shared is None or shared >= self.usecase.agreement:
            return broken_guards(self.usecase, falls(trained, after))
        return f"it keeps {shared:.3f} of what the trained model ranks; least: {self.usecase.agreement:g}"

    def measured(self, draft: Draft, speed: Speed) -> Measured:
        """Figures of a draft."""
        evaluation = self.evaluation(draft)
        trained = self.evaluation(self.reference)
        shared, fallen = agreement(trained, evaluation), as_figures(falls(trained, evaluation))
        return Measured(
            metric=float(evaluation.values.mean()),
            p50_ms=round(speed.p50_ms, 4),
            p99_ms=round(speed.p99_ms, 4),
            rows_per_cpu_s=round(speed.rows_per_cpu_s, 1),
            size_mb=round(draft.size_mb, 4),
            hardware=self.runtime(draft).where(),
            peak_mb=round(self.peak_of(draft), 1),
            more={**evaluation.more, **fallen, **({} if shared is None else {"agreement": round(shared, 4)})},
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
    required = [one for one in passes if one.required]
    for one in passes:
        if one.required and one.gives == draft.format:
            continue
        seen: list[Trial] = []

        def attempt(current: Draft, one: Pass = one, seen: list[Trial] = seen) -> Trial:
            seen.append(trials.attempt(one, current, required))
            return seen[-1]

        as_trained = draft == trials.reference and (
            one.required or all(each.takes != draft.format for each in required)
        )
        draft, verdict = judge(one, draft, trials.metric_drop(limits), attempt)
        verdicts.append(verdict)
        if seen and as_trained and reference is None:
            reference = seen[0].before
        if verdict.kept and verdict.measured:
            figures.append(verdict.measured)
    if reference is None:
        speed = trials.compare(trials.reference, draft, "the model").before
        reference = trials.measured(trials.reference, speed)
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
