"""A use case's own guardrails: which answers are on the wrong side, counted as they are given.

`serving.json` declares them; a model without any has no code in its way. They are counted in the model's thread, once a
call, and shown in `/metrics`. Where ECOMDEPLOY_RELEASE names the release, what came in each window is also written
to the log, in CloudWatch's embedded metric format, from which CloudWatch makes metrics by itself: the container needs
neither rights nor a way to CloudWatch. Source:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelpack.server.engines.base import Arrays, Engine
from modelpack.server.http.metrics import Metrics
from modelpack.server.metric_names import ANSWERS, DIMENSION, EVERY, NAMESPACE, SECONDS, SHOWN, SHOWN_WRONG
from modelpack.server.signature import Guardrail

Wrong = NDArray[np.bool_]
Rows = Mapping[str, NDArray[Any]]


class Guardrails:
    """Counts answers, and those on the wrong side of each guardrail. `look` is called by one thread at a time."""

    def __init__(self, declared: Sequence[Guardrail], metrics: Metrics | None = None) -> None:
        self._judges: dict[str, Callable[[Rows, Rows, int], Wrong]] = {
            one.name: judge_of(one) for one in declared
        }
        self.counts: dict[str, int] = dict.fromkeys(self._judges, 0)
        self.answers = 0
        metrics = metrics or Metrics()
        self._shown = metrics.counter(SHOWN, "Answers that guardrails looked at.")
        self._shown_wrong = metrics.counter(
            SHOWN_WRONG, "Answers on the wrong side of a guardrail.", "guardrail"
        )
        self._shown.add(0)
        for name in self.counts:
            self._shown_wrong.add(0, name)

    def look(self, feeds: Rows, outputs: Rows) -> None:
        """At the answers (rows of `outputs`) to what was asked (`feeds`)."""
        rows = len(next(iter(outputs.values())))
        self.answers += rows
        self._shown.add(rows)
        for name, judge in self._judges.items():
            if found := int(np.count_nonzero(judge(feeds, outputs, rows))):
                self.counts[name] += found
                self._shown_wrong.add(found, name)

    def shares(self) -> dict[str, float]:
        """How large a part of the answers was on the wrong side, by name."""
        return {name: count / self.answers if self.answers else 0.0 for name, count in self.counts.items()}


class GuardedEngine:
    """An engine whose answers are looked at."""

    def __init__(self, engine: Engine, guardrails: Guardrails) -> None:
        self._engine, self._guardrails = engine, guardrails

    def run(self, feeds: Arrays) -> Arrays:
        outputs = self._engine.run(feeds)
        self._guardrails.look(feeds, outputs)
        return outputs


def judge_of(one: Guardrail) -> Callable[[Rows, Rows, int], Wrong]:
    """What says of each row whether it is on the wrong side."""
    if one.kind == "repeated":
        return RepeatedLists(one.output)
    if one.kind == "empty":
        return lambda feeds, outputs, rows: find_empty(outputs[one.output].reshape(rows, -1))
    if one.kind == "word":
        return lambda feeds, outputs, rows: outputs[one.output].reshape(rows) == one.word
    return lambda feeds, outputs, rows: find_outside(one, feeds, outputs, rows)


def find_outside(one: Guardrail, feeds: Rows, outputs: Rows, rows: int) -> Wrong:
    """Rows with a value below `low`, above `high`, or that is no number."""
    values = outputs[one.output].reshape(rows, -1)
    if one.relative_to:
        # an input without a value is no measure: 0/0 and x/0 are as wrong as they look
        with np.errstate(divide="ignore", invalid="ignore"):
            values = values / feeds[one.relative_to].reshape(rows, -1)
    inside = np.isfinite(values)
    if one.low is not None:
        inside &= values >= one.low
    if one.high is not None:
        inside &= values <= one.high
    wrong: Wrong = np.logical_not(inside.all(axis=1))
    return wrong


def find_empty(lists: NDArray[Any]) -> Wrong:
    """Rows that hold nothing: zeros, empty texts, what is no number."""
    there = lists.astype(bool) if lists.dtype != object else np.vectorize(bool, otypes=[bool])(lists)
    if lists.dtype.kind == "f":
        there &= ~np.isnan(lists)
    wrong: Wrong = np.logical_not(there.any(axis=1))
    return wrong


class RepeatedLists:
    """Rows with the list of the answer before, though something else was asked."""

    def __init__(self, output: str) -> None:
        self._output = output
        self._asked, self._list = b"", b""

    def __call__(self, feeds: Rows, outputs: Rows, rows: int) -> Wrong:
        lists = write_rows([outputs[self._output]], rows)
        asked = write_rows([feeds[name] for name in sorted(feeds)], rows)
        before = zip((self._list, *lists[:-1]), (self._asked, *asked[:-1]), strict=True)
        same = [
            one == last and other != question
            for (last, question), one, other in zip(before, lists, asked, strict=True)
        ]
        self._list, self._asked = lists[-1], asked[-1]
        return np.array(same, dtype=np.bool_)


def write_rows(arrays: Sequence[NDArray[Any]], rows: int) -> list[bytes]:
    """Each row of all of them as bytes, to compare."""
    if any(array.dtype == object for array in arrays):
        return [
            repr([array[row].tolist() if array.ndim > 1 else array[row] for array in arrays]).encode()
            for row in range(rows)
        ]
    parts = [[row.tobytes() for row in array.reshape(rows, -1)] for array in arrays]
    return [b"".join(each) for each in zip(*parts, strict=True)]


class MetricLog(threading.Thread):
    """Writes what came in each window to standard output; nothing where nothing came."""

    def __init__(
        self,
        guardrails: Guardrails,
        release: str,
        every: float = SECONDS,
        write: Callable[[str], object] = sys.stdout.write,
    ) -> None:
        super().__init__(name="guardrails", daemon=True)
        self._guardrails, self._release, self._every, self._write = guardrails, release, every, write
        self._ended = threading.Event()
        self._answers, self._counts = 0, dict.fromkeys(guardrails.counts, 0)

    def run(self) -> None:
        while not self._ended.wait(self._every):
            self.tell()

    def tell(self) -> None:
        """One line for what came since the last."""
        answers, counts = self._guardrails.answers, dict(self._guardrails.counts)
        new = {name: count - self._counts[name] for name, count in counts.items()}
        came, self._answers, self._counts = answers - self._answers, answers, counts
        if came:
            self._write(metric_line(self._release, {ANSWERS: came, **new}, time.time()))
            sys.stdout.flush()

    def end(self) -> None:
        """Also what came since the last window."""
        self._ended.set()
        self.tell()


def metric_line(release: str, values: Mapping[str, int], when: float) -> str:
    """Counts of a window that ended at `when` (seconds since the epoch), as one line of the log."""
    metrics = [{"Name": name, "Unit": "Count"} for name in values]
    directive = {"Namespace": NAMESPACE, "Dimensions": [[DIMENSION]], "Metrics": metrics}
    about = {"Timestamp": int(when * 1000), "CloudWatchMetrics": [directive]}
    return json.dumps({"_aws": about, DIMENSION: release, **values}, separators=(",", ":")) + "\n"


def window_of(environment: Mapping[str, str]) -> float:
    """Seconds; the usual where the variable holds none."""
    try:
        found = float(environment.get(EVERY, SECONDS))
    except ValueError:
        return SECONDS
    return found if 0.01 <= found <= 60 else SECONDS
