"""Trials for the gate: apply a pass, run it on held-out data, time it against the variant before it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from modelpack.errors import BadInput, EcomdeployError
from modelpack.formats.signature import Arrays, Run
from modelpack.formats.variant import TORCH, Measured, Variant
from modelpack.gate.answers import agreement, answers, check_declared, check_shapes, depend_on_others
from modelpack.gate.inner_metrics import as_figures, broken_guards, evaluate, falls
from modelpack.gate.memory import peak_mb
from modelpack.gate.rules import COLUMNS, Trial, Verdict, check_limits, is_settled, judge, smaller, table_row
from modelpack.gate.timing import FIGURE, LOOKS, Comparison, Speed, TimingQuestion, compare
from modelpack.inputs.spec import GateSpec
from modelpack.language.task import decoding_of
from modelpack.passes.base import Pass, PassContext, nothing
from modelpack.progress import Progress
from modelpack.runtimes.base import Runtime, at_hand, runtime_for, served_formats
from modelpack.runtimes.hardware import CPU
from modelpack.server.golden import compare as differences
from modelpack.usecases.base import Evaluation, UseCase
from modelpack.usecases.metrics import Interval, bootstrap
from modelpack.usecases.optional.measuring import agreement_of, calibration_of, traffic_of, turns_of
from modelpack.usecases.optional.serving import lasting_golden_of, pad_as_served
from modelpack.usecases.optional.training import Tunable

EXAMPLES = 256


@dataclass(frozen=True)
class Judged:
    """What came out of the gate: the chosen variant, the verdicts, the trained model's figures and the chosen one's."""

    variant: Variant
    verdicts: tuple[Verdict, ...]
    reference: Measured
    chosen: Measured
    interval: Interval
    evaluation: Evaluation
    gain: Comparison | None = None
    """The chosen variant against the model with only what serving needs, in the same turns; None where it is that."""


@dataclass
class Trials:
    """Runs variants of one use case on one data set; opened and evaluated once each."""

    usecase: UseCase[Any]
    data: Any
    reference: Variant
    folder: Path
    progress: Progress
    peak: Callable[[Variant, UseCase[Any], Arrays], float] = peak_mb
    """MB of a fresh process that loads a variant and answers one batch."""
    hardware: str = CPU
    """What the pack is for; variants run on it where this machine has it, else on the CPU."""
    _runs: dict[Path, Run] = field(default_factory=dict)
    _evaluations: dict[Path, Evaluation] = field(default_factory=dict)
    _peaks: dict[Path, float] = field(default_factory=dict)
    _made: dict[tuple[Path, str], Variant] = field(default_factory=dict)
    _origins: dict[Path, Variant] = field(default_factory=dict)
    _compared: dict[tuple[Path, Path], Comparison] = field(default_factory=dict)
    _golden: dict[str, tuple[Sequence[Mapping[str, Any]], Mapping[str, Any]]] = field(default_factory=dict)

    def run(self, variant: Variant) -> Run:
        """The variant, ready to run."""
        if variant.path not in self._runs:
            self._runs[variant.path] = self.runtime(variant).open(variant, self.usecase)
        return self._runs[variant.path]

    def runtime(self, variant: Variant) -> Runtime:
        """What executes the variant: on the pack's hardware what is served there, else on the CPU."""
        served = variant.format in served_formats(self.hardware)
        return runtime_for(variant.format, self.hardware if served else CPU)

    def evaluation(self, variant: Variant) -> Evaluation:
        """The task metric of the variant on held-out data."""
        if variant.path not in self._evaluations:
            run, runtime = self.run(variant), self.runtime(variant)
            self._evaluations[variant.path] = evaluate(self.usecase, variant, run, self.data, runtime)
        return self._evaluations[variant.path]

    def attempt(self, one: Pass, variant: Variant, required: Sequence[Pass] = ()) -> Trial:
        """Apply a pass and measure, both variants as they would be served: after the `required` passes, unless it is
        one. Raises whatever the pass raises, and EcomdeployError when answers differ."""
        self.progress.note(f"trying {one.title}")
        changed = self.make(one, variant)
        if one.required:
            return self.weigh(changed, variant, one.title)
        after, before = self.make_servable(changed, required), self.make_servable(variant, required)
        pays_or_not = partial(is_settled, is_smaller=smaller(before.size_mb, after.size_mb))
        trial = self.weigh(after, before, one.title, TimingQuestion(pays_or_not, LOOKS))
        return replace(trial, variant=changed)

    def make_servable(self, variant: Variant, required: Sequence[Pass]) -> Variant:
        """The variant after the required passes that it has not gone through."""
        for one in required:
            if one.takes == variant.format:
                variant = self.make(one, variant)
        return variant

    def make(self, one: Pass, variant: Variant) -> Variant:
        """The variant after the pass; made once."""
        key = (variant.path, one.name)
        if key not in self._made:
            self._made[key] = self.apply(one, variant, self.folder / "+".join((*variant.passes, one.name)))
        return self._made[key]

    def apply(self, one: Pass, variant: Variant, folder: Path) -> Variant:
        """The changed variant in `folder`. Raises whatever the pass raises, and EcomdeployError for a wrong format."""
        if one.takes != variant.format:
            raise EcomdeployError(f"it takes {one.takes}, the model is {variant.format}")
        made = one.apply(variant, self.context(folder))
        changed = Variant(made.format, made.path, (*variant.passes, one.name))
        self._origins[changed.path] = changed if one.trains else self.origin(variant)
        return changed

    def again(self, kept: Sequence[Pass]) -> Variant:
        """The chosen variant from a verdict's passes, nothing measured."""
        variant = self.reference
        for one in kept:
            if not (one.required and one.gives == variant.format):
                variant = self.make(one, variant)
        return variant

    def origin(self, variant: Variant) -> Variant:
        """The model whose single answers the variant must repeat: the last one that came out of training."""
        return self._origins.get(variant.path, self.reference)

    def context(self, folder: Path) -> PassContext:
        """What a pass may use: of the data, inputs without answers, and what the use case gives to learn from."""
        usecase, data = self.usecase, self.data
        learn = (lambda: usecase.training_rows(data)) if isinstance(usecase, Tunable) else nothing
        examples = usecase.examples(data, EXAMPLES)
        traffic = lambda: traffic_of(usecase, data)  # noqa: E731
        calibration = calibration_of(usecase, data)
        return PassContext(
            usecase, examples, folder, calibration, learn, self.progress, traffic, self.hardware
        )

    def weigh(
        self, changed: Variant, before: Variant, title: str, question: TimingQuestion = FIGURE
    ) -> Trial:
        """Measure a changed variant against the one before it. Raises EcomdeployError when its answers differ."""
        self.agree(changed)
        comparison = self.compare(before, changed, title, question)
        trained, after = self.evaluation(self.reference), self.evaluation(changed)
        sign = 1.0 if trained.higher_is_better else -1.0
        return Trial(
            variant=changed,
            before=self.take_figures(before, comparison.before),
            after=self.take_figures(changed, comparison.after),
            drop=bootstrap(sign * (trained.values - after.values), trained.groups),
            comparison=comparison,
            complaint=self.complaint(after),
        )

    def compare(
        self, before: Variant, after: Variant, title: str, question: TimingQuestion = FIGURE
    ) -> Comparison:
        """Both variants in turns on real requests."""
        examples = self.usecase.examples(self.data, EXAMPLES)
        question = question.within(turns_of(self.usecase))
        as_served = partial(pad_as_served, self.usecase)
        with self.progress.track(f"measuring {title}", question.looks[-1], "turns") as advance:
            runs, batch = (self.run(before), self.run(after)), self.usecase.max_batch
            found = compare(*runs, examples, batch, advance, self.clock(), question, as_served)
        self._compared[before.path, after.path] = found
        return found

    def gain(self, variant: Variant, required: Sequence[Pass]) -> Comparison | None:
        """The variant against the model with only the required passes; None where it is that model."""
        floor = self.make_servable(self.reference, required)
        if floor.path == variant.path:
            return None
        measured = self._compared.get((floor.path, variant.path))
        return measured or self.compare(floor, variant, "all passes together")

    def clock(self) -> Callable[[], int]:
        """What a run costs, in nanoseconds: a GPU's work is not in this process' processor time."""
        on_gpu = self.hardware != CPU and at_hand(self.hardware)
        return time.perf_counter_ns if on_gpu else time.process_time_ns

    def agree(self, variant: Variant) -> None:
        """Raises EcomdeployError when the variant answers in another shape than the signature's, or a golden request
        unlike the model that came out of training."""
        signature, examples = self.usecase.signature(), self.usecase.examples(self.data, EXAMPLES)
        if decoding_of(self.usecase) is None:
            check_declared(variant, signature)
        check_shapes(self.run(variant), signature, examples, self.usecase.max_batch)
        requests, _ = self.golden(variant)
        wanted = answers(self.usecase, self.run(self.origin(variant)), self.data, requests)
        got_of = answers(self.usecase, self.run(variant), self.data, requests)
        for (request, want), (_, got) in zip(wanted, got_of, strict=True):
            if found := differences(want, got, self.usecase.tolerance):
                raise EcomdeployError(f"it answers {json.dumps(request)[:80]} otherwise: {found[0]}")
        if company := depend_on_others(self.usecase, self.run(variant), self.data):
            raise EcomdeployError(f"its answer depends on the requests that share the call: {company}")

    def golden(self, variant: Variant) -> tuple[Sequence[Mapping[str, Any]], Mapping[str, Any]]:
        """The golden requests of a pack of this variant, and how far their answers are from turning where that matters.

        Raises BadInput for a language model whose weights are not at hand, EcomdeployError when no answer lasts.
        """
        arithmetic = self.runtime(variant).arithmetic
        if arithmetic == Runtime.arithmetic:
            return self.usecase.golden(self.data), {}
        if arithmetic not in self._golden:
            self._golden[arithmetic] = lasting_golden_of(self.usecase, self.weights, self.data, arithmetic)
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
        least = agreement_of(self.usecase)
        if shared is None or shared >= least:
            return broken_guards(self.usecase, falls(trained, after))
        return f"it keeps {shared:.3f} of what the trained model ranks; least: {least:g}"

    def take_figures(self, variant: Variant, speed: Speed) -> Measured:
        """Figures of a variant."""
        evaluation = self.evaluation(variant)
        trained = self.evaluation(self.reference)
        shared, fallen = agreement(trained, evaluation), as_figures(falls(trained, evaluation))
        return Measured(
            metric=float(evaluation.values.mean()),
            p50_ms=round(speed.p50_ms, 4),
            p99_ms=round(speed.p99_ms, 4),
            rows_per_cpu_s=round(speed.rows_per_cpu_s, 1),
            size_mb=round(variant.size_mb, 4),
            hardware=self.runtime(variant).where(),
            peak_mb=round(self.peak_of(variant), 1),
            more={**evaluation.more, **fallen, **({} if shared is None else {"agreement": round(shared, 4)})},
        )

    def peak_of(self, variant: Variant) -> float:
        """Peak memory in MB, measured once."""
        if variant.path not in self._peaks:
            examples = self.usecase.examples(self.data, self.usecase.max_batch)
            self._peaks[variant.path] = self.peak(variant, self.usecase, examples)
        return self._peaks[variant.path]


def through_the_gate(trials: Trials, passes: Sequence[Pass], limits: GateSpec) -> Judged:
    """Every pass in order, each measured against what was kept before it; the table tells of all."""
    variant, verdicts, figures = trials.reference, [], []
    reference: Measured | None = None
    required = [one for one in passes if one.required]
    for one in passes:
        if one.required and one.gives == variant.format:
            continue
        seen: list[Trial] = []

        def attempt(current: Variant, one: Pass = one, seen: list[Trial] = seen) -> Trial:
            seen.append(trials.attempt(one, current, required))
            return seen[-1]

        as_trained = variant == trials.reference and (
            one.required or all(each.takes != variant.format for each in required)
        )
        variant, verdict = judge(one, variant, trials.metric_drop(limits), attempt)
        verdicts.append(verdict)
        if seen and as_trained and reference is None:
            reference = seen[0].before
        if verdict.kept and verdict.measured:
            figures.append(verdict.measured)
    if reference is None:
        speed = trials.compare(trials.reference, variant, "the model").before
        reference = trials.take_figures(trials.reference, speed)
    chosen = figures[-1] if figures else reference
    show(trials.progress, trials.evaluation(trials.reference).metric, reference, verdicts)
    check_limits(chosen, limits)
    evaluation = trials.evaluation(variant)
    interval = bootstrap(evaluation.values, evaluation.groups)
    gain = trials.gain(variant, required)
    return Judged(variant, tuple(verdicts), reference, chosen, interval, evaluation, gain)


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
