"""The gate: a pass is kept only when it pays, and every verdict carries its reason.

A pass *harms* when the task metric may have fallen, against the trained model, by more than `metric_drop`: the
upper end of the paired interval counts, not the mean. It is *too good* when the metric certainly rises by more than
that: a pass shrinks a model, it does not teach it, so such a gain came from the held-out data. It *pays* when one
request or a full batch takes measurably less processor time, or the files are measurably smaller, and nothing else is
measurably worse. Timing goes on until that `is_settled` or it is at its last look; what is open then is dropped
as inconclusive. The rules below are pure; `judge` applies a pass, has it measured, and asks them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from modelpack.errors import EcomdeployError, first_line
from modelpack.formats.variant import Measured, Variant
from modelpack.gate.timing import Comparison, Ratio
from modelpack.inputs.spec import GateSpec
from modelpack.passes.base import Inapplicable
from modelpack.usecases.metrics import Interval

MARGIN = 1.15
"""A ratio of processor times within this factor is noise on a shared machine."""
SMALLER = 0.9
"""Files that shrink at least to this share are a gain."""
EDGE = 0.2
"""Of the limit: a metric this near to it is called close."""


@dataclass(frozen=True)
class Verdict:
    """Whether a pass stays, why, and its figures (none when it crashed)."""

    name: str
    kept: bool
    reason: str
    measured: Measured | None
    drop: Interval | None = None
    """How much the metric fell against the trained model, with its interval."""
    turns: int | None = None
    """How many turns the timing took to settle it."""

    def as_data(self) -> dict[str, Any]:
        """As the record writes it."""
        figures = self.measured.as_data() if self.measured else dict.fromkeys(FIGURES)
        drop = self.drop.as_data() if self.drop else None
        return {
            "name": self.name,
            "kept": self.kept,
            "reason": self.reason,
            "drop": drop,
            "turns": self.turns,
            **figures,
        }


FIGURES = ("metric", "p50_ms", "p99_ms", "rows_per_cpu_s", "size_mb", "hardware", "peak_mb")


class GatedPass(Protocol):
    """What the gate needs to know of a pass."""

    @property
    def name(self) -> str: ...
    @property
    def required(self) -> bool: ...


@dataclass(frozen=True)
class Trial:
    """A changed variant and what was found: its figures, those of the variant before it, and how they compare.

    `drop` is how much the metric fell against the trained model (above 0: worse), with its interval; `complaint`
    what the use case holds against its answers, empty when nothing.
    """

    variant: Variant
    before: Measured
    after: Measured
    drop: Interval
    comparison: Comparison
    complaint: str = ""


def judge(
    candidate: GatedPass, variant: Variant, metric_drop: float, attempt: Callable[[Variant], Trial]
) -> tuple[Variant, Verdict]:
    """The variant to go on with, and the verdict. `attempt` applies and measures the pass; when it raises, the pass
    is dropped with the cause. Raises EcomdeployError when a required pass fails or harms."""
    try:
        trial = attempt(variant)
    except Exception as error:
        reason = why_not(error)
        if candidate.required:
            hint = "the model cannot be served without it"
            raise EcomdeployError(f"the pass {candidate.name!r} {reason}", hint=hint) from error
        return variant, Verdict(candidate.name, False, reason, None)
    harmed = harm(trial.drop, metric_drop) or trial.complaint
    if candidate.required and harmed:
        raise EcomdeployError(f"the pass {candidate.name!r} is needed to serve, but {harmed}")
    if candidate.required:
        kept, reason = True, f"needed to serve; {gains(trial)}"
    else:
        kept, reason = (False, harmed) if harmed else pays(trial)
    reason = f"{reason}; {room(trial.drop, metric_drop)}" if kept else reason
    verdict = Verdict(candidate.name, kept, reason, trial.after, trial.drop, trial.comparison.turns)
    return (trial.variant if kept else variant), verdict


def why_not(error: Exception) -> str:
    """A pass that finds nothing to work on did not fail."""
    return f"does not apply: {error}" if isinstance(error, Inapplicable) else f"failed: {in_words(error)}"


def in_words(error: Exception) -> str:
    """An error's first line, with its type where it is not one of ours."""
    first = first_line(error)
    return first if isinstance(error, EcomdeployError) else f"{type(error).__name__}: {first}"


def harm(drop: Interval, metric_drop: float) -> str:
    """Why the metric forbids it, and how far it is beyond the limit; empty when it does not."""
    if drop.high > metric_drop:
        return (
            f"the metric may fall by {drop.high:.4f} (mean {drop.value:+.4f}); allowed: {metric_drop:g}, "
            f"{drop.high - metric_drop:.4f} less{edge(drop.high, metric_drop)}"
        )
    if drop.high < -metric_drop:
        return (
            f"too good to be true: the metric rises by at least {-drop.high:.4f} (mean {-drop.value:+.4f}), as if it "
            "had seen the held-out data; what learns belongs in training"
        )
    return ""


def room(drop: Interval, metric_drop: float) -> str:
    """How far the metric is from what would forbid it."""
    if drop.high <= 0:
        return "the metric does not fall"
    left = metric_drop - drop.high
    return (
        f"the metric may fall by {drop.high:.4f}, {left:.4f} within the limit{edge(drop.high, metric_drop)}"
    )


def edge(high: float, metric_drop: float) -> str:
    """Words where a decision is so close that another machine may come to the other one; else empty."""
    close = abs(high - metric_drop) < EDGE * metric_drop
    return " (close: another machine may decide otherwise)" if close else ""


def is_settled(latency: Ratio, throughput: Ratio, is_smaller: bool) -> bool:
    """Whether more turns would only confirm what `pays` says of these: slower on one side; or on neither, and a gain
    in size, or certainly one in speed, or certainly none."""
    sides = (latency, throughput)
    if any(slower(ratio) for ratio in sides):
        return True
    if any(unclear(ratio) for ratio in sides):
        return False
    return is_smaller or any(faster(ratio) for ratio in sides) or all(ratio.high <= MARGIN for ratio in sides)


def slower(ratio: Ratio) -> bool:
    return ratio.high < 1 / MARGIN


def unclear(ratio: Ratio) -> bool:
    """It may be slower or not."""
    return ratio.low < 1 / MARGIN <= ratio.high


def faster(ratio: Ratio) -> bool:
    return ratio.low > MARGIN


def smaller(before_mb: float, after_mb: float) -> bool:
    return after_mb <= SMALLER * before_mb


def pays(trial: Trial) -> tuple[bool, str]:
    """Whether speed and size speak for it, and the reason in words."""
    sides = {"one request": trial.comparison.latency, "a full batch": trial.comparison.throughput}
    worse = [f"{words} {factor(ratio)}" for words, ratio in sides.items() if slower(ratio)]
    may_be_worse = [f"{words} {with_interval(ratio)}" for words, ratio in sides.items() if unclear(ratio)]
    if worse:
        return False, f"slower: {' and '.join(worse)}"
    if may_be_worse:
        return (
            False,
            f"inconclusive timing after {trial.comparison.turns} turns: {' and '.join(may_be_worse)}",
        )
    if any(faster(ratio) for ratio in sides.values()) or smaller(trial.before.size_mb, trial.after.size_mb):
        return True, gains(trial)
    return False, f"does not pay: {gains(trial)}"


def gains(trial: Trial) -> str:
    """Speed and size in words."""
    return (
        f"one request {factor(trial.comparison.latency)}, a full batch {factor(trial.comparison.throughput)}, "
        f"{megabytes(trial.before.size_mb)} -> {megabytes(trial.after.size_mb)} MB"
    )


def megabytes(size: float) -> str:
    """A size for people: small models need more places."""
    return f"{size:.1f}" if size >= 1 else f"{size:.3f}"


def factor(ratio: Ratio) -> str:
    """A ratio for people: "2.1x"."""
    return f"{ratio.median:.2f}x"


def with_interval(ratio: Ratio) -> str:
    """A ratio with its interval."""
    return f"{ratio.median:.2f}x [{ratio.low:.2f}, {ratio.high:.2f}]"


def limits_broken(chosen: Measured, limits: GateSpec) -> list[str]:
    """The user's own limits that these figures break, in words."""
    return [
        f"{words} is {value:.2f} {unit}, over pack.gate.{key}: {limit:g}"
        for key, words, value, limit, unit in (
            ("p99_ms", "p99 of one request", chosen.p99_ms, limits.p99_ms, "ms"),
            ("size_mb", "the model", chosen.size_mb, limits.size_mb, "MB"),
        )
        if limit is not None and value > limit
    ]


def beyond(chosen: Measured, limits: GateSpec) -> float:
    """The largest factor by which a figure is over the user's limit for it; 1 where none is."""
    pairs = ((chosen.p99_ms, limits.p99_ms), (chosen.size_mb, limits.size_mb))
    return max([1.0, *(value / limit for value, limit in pairs if limit is not None)])


def check_limits(chosen: Measured, limits: GateSpec) -> None:
    """Raises EcomdeployError when what was chosen breaks the user's own limits."""
    if broken := limits_broken(chosen, limits):
        raise EcomdeployError("; ".join(broken), hint="raise the limit, or choose other passes")


COLUMNS = ("model", "metric", "p50 ms", "p99 ms", "rows / CPU s", "MB", "verdict")


def table_row(name: str, measured: Measured | None, verdict: str) -> tuple[str, ...]:
    """One line of the gate's table, matching `COLUMNS`."""
    if measured is None:
        return (name, "-", "-", "-", "-", "-", verdict)
    return (
        name,
        f"{measured.metric:.4f}",
        f"{measured.p50_ms:.2f}",
        f"{measured.p99_ms:.2f}",
        f"{measured.rows_per_cpu_s:,.0f}",
        f"{measured.size_mb:.2f}",
        verdict,
    )
