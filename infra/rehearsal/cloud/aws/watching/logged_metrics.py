"""Metrics that servers write into their logs: the embedded metric format, read as CloudWatch reads a log group.

Source: "Specification: Embedded metric format", "Using the PutLogEvents API to send manually-created embedded metric
format logs" (documented): any line of JSON with `_aws` in any log group; no header, agent or filter is needed. Here the
lines are read from the files that stand for an endpoint's log group.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.rehearsal.cloud.aws.pace import MINUTE, CloudClock
from infra.rehearsal.cloud.aws.watching.invocation_metrics import Dimensions
from infra.rehearsal.cloud.aws.watching.statistics import MetricSamples, merge

KEPT = 1500
"""Minutes (of AWS's) that are kept of a series."""
MOST_DIMENSIONS, MOST_METRICS = 30, 100
"""Of a dimension set, and of one directive: the specification's limits."""
LoggedSeries = tuple[str, str, str, Dimensions]
"""Region, namespace, metric, dimensions."""


@dataclass(frozen=True, kw_only=True)
class LoggedValues:
    """One metric of one line: its values at `when`, milliseconds since the epoch."""

    namespace: str
    name: str
    dimensions: Dimensions
    when: int
    values: tuple[float, ...]


@dataclass
class LoggedMetrics:
    """What came so, by the minute. Thread-safe."""

    clock: CloudClock = field(default_factory=CloudClock)
    _series: dict[LoggedSeries, dict[int, MetricSamples]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, region: str, one: LoggedValues) -> None:
        width = min(self.clock.minute, MINUTE)
        start = one.when // width * width
        with self._lock:
            minutes = self._series.setdefault((region, one.namespace, one.name, one.dimensions), {})
            samples = minutes.setdefault(start, MetricSamples())
            for value in one.values:
                samples.add(value)
            while len(minutes) > KEPT:
                del minutes[next(iter(minutes))]

    def series(self, region: str) -> list[LoggedSeries]:
        """Every metric that there is, with its dimensions."""
        with self._lock:
            return [key for key in self._series if key[0] == region]

    def samples(self, key: LoggedSeries, start: int, end: int) -> list[tuple[int, MetricSamples]]:
        """What began from `start` on and before `end`, milliseconds since the epoch; copies."""
        with self._lock:
            found = self._series.get(key, {})
            return [(begun, merge([one])) for begun, one in found.items() if start <= begun < end]

    def clear(self) -> None:
        with self._lock:
            self._series.clear()


def read_line(line: str) -> Iterator[LoggedValues]:
    """The metrics of a line; none where it is not in the format, for CloudWatch takes it for a line of a log then."""
    if '"_aws"' not in line:
        return
    try:
        document = json.loads(line)
        about = document["_aws"]
        when, directives = int(about["Timestamp"]), about["CloudWatchMetrics"]
        for directive in directives:
            yield from read_directive(document, directive, when)
    except (ValueError, KeyError, TypeError, AttributeError):
        return


def read_directive(
    document: Mapping[str, Any], directive: Mapping[str, Any], when: int
) -> Iterator[LoggedValues]:
    """Each metric in each of its dimension sets; raises where it is not as the specification says."""
    for wanted in directive["Dimensions"]:
        if len(wanted) > MOST_DIMENSIONS:
            raise ValueError("too many dimensions")
        dimensions = frozenset((name, str(document[name])) for name in wanted)
        for metric in directive["Metrics"][:MOST_METRICS]:
            given = document[metric["Name"]]
            values = tuple(float(one) for one in (given if isinstance(given, list) else [given]))
            yield LoggedValues(
                namespace=str(directive["Namespace"]),
                name=str(metric["Name"]),
                dimensions=dimensions,
                when=when,
                values=values,
            )
