"""What invocations leave in CloudWatch: samples of each minute by endpoint, variant and configuration, in memory.

Source: "Metrics for monitoring SageMaker AI with CloudWatch", namespace AWS/SageMaker, and "Auto-Rollback
Configuration and Monitoring": by variant, and by variant and EndpointConfigName, which tells two fleets apart
(documented). A server's own metrics would come as anybody's do, by PutMetricData.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field

from infra.rehearsal.cloud.aws.pace import MINUTE, CloudClock
from infra.rehearsal.cloud.aws.watching.statistics import MetricSamples, merge

NAMESPACE = "AWS/SageMaker"
UNITS = {
    "Invocations": "None",
    "Invocation4XXErrors": "None",
    "Invocation5XXErrors": "None",
    "InvocationModelErrors": "None",
    "InvocationsPerInstance": "None",
    "ModelLatency": "Microseconds",
    "OverheadLatency": "Microseconds",
}
KEPT, KEPT_ON_DISK = 1500, 60
"""Minutes (of AWS's) that are kept of a series, a day and an hour, and the last of them on disk; CloudWatch keeps 15
days."""
Dimensions = frozenset[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Served:
    """Who answered. `instances`: of the variant."""

    region: str
    endpoint: str
    variant: str
    configuration: str = ""
    instances: int = 1


Series = tuple[str, str, str, str]
"""Region, endpoint, variant, configuration."""


@dataclass
class Minute:
    """What came of one series in one of its minutes."""

    requests: int = 0
    client_errors: int = 0
    server_errors: int = 0
    model_errors: int = 0
    per_instance: MetricSamples = field(default_factory=MetricSamples)
    latency: MetricSamples = field(default_factory=MetricSamples)
    overhead: MetricSamples = field(default_factory=MetricSamples)

    def add(self, status: int, instances: int, seconds: float, overhead: float) -> None:
        self.requests += 1
        self.client_errors += 400 <= status < 500
        self.server_errors += status >= 500
        self.model_errors += not 200 <= status < 300
        self.per_instance.add(1 / max(1, instances))
        self.latency.add(seconds * 1e6)
        self.overhead.add(overhead * 1e6)

    def samples(self, metric: str) -> MetricSamples:
        """Those of a metric; of a count each request sent 1 or 0."""
        kept = {
            "InvocationsPerInstance": self.per_instance,
            "ModelLatency": self.latency,
            "OverheadLatency": self.overhead,
        }
        if metric in kept:
            return kept[metric]
        ones = {
            "Invocations": self.requests,
            "Invocation4XXErrors": self.client_errors,
            "Invocation5XXErrors": self.server_errors,
            "InvocationModelErrors": self.model_errors,
        }[metric]
        found = MetricSamples()
        for value, count in ((0, self.requests - ones), (1, ones)):
            if count:
                found.add(value, count)
        return found


@dataclass
class InvocationMetrics:
    """Thread-safe. A few additions per request; nothing else happens in the way of an answer."""

    clock: CloudClock = field(default_factory=CloudClock)
    _series: dict[Series, dict[int, Minute]] = field(default_factory=dict)
    """Minutes by their beginning, in milliseconds since the epoch."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, by: Served, status: int, seconds: float, overhead: float = 0.0) -> None:
        """One answer: its status, the model's seconds and ours."""
        width = min(self.clock.minute, MINUTE)
        start = self.clock.wall() // width * width
        with self._lock:
            minutes = self._series.setdefault((by.region, by.endpoint, by.variant, by.configuration), {})
            if start not in minutes:
                minutes[start] = Minute()
                while len(minutes) > KEPT:
                    del minutes[next(iter(minutes))]
            minutes[start].add(status, by.instances, seconds, overhead)

    def clear(self) -> None:
        """After a reset of the account."""
        with self._lock:
            self._series.clear()

    def series(self, region: str) -> Iterator[tuple[str, Dimensions]]:
        """Every metric that there is, with its dimensions."""
        with self._lock:
            there = [key for key in self._series if key[0] == region]
        for dimensions in {given for key in there for given in _dimensions(key)}:
            for name in UNITS:
                yield name, dimensions

    def samples(
        self, region: str, name: str, dimensions: Dimensions, start: int, end: int
    ) -> list[tuple[int, MetricSamples]]:
        """What began from `start` on and before `end`, milliseconds since the epoch; copies."""
        with self._lock:
            return [
                (begun, merge([minute.samples(name)]))
                for key, minutes in self._series.items()
                if key[0] == region and dimensions in _dimensions(key)
                for begun, minute in minutes.items()
                if start <= begun < end
            ]

    def keep(self) -> dict[Series, dict[int, Minute]]:
        """The last hour of AWS's, for the snapshot; a copy."""
        with self._lock:
            return {
                key: {begun: deepcopy(minutes[begun]) for begun in list(minutes)[-KEPT_ON_DISK:]}
                for key, minutes in self._series.items()
            }

    def restore(self, kept: dict[Series, dict[int, Minute]]) -> None:
        """What `keep` gave."""
        with self._lock:
            self._series.update(kept)


def _dimensions(key: Series) -> tuple[Dimensions, ...]:
    _, endpoint, variant, configuration = key
    by_variant = frozenset({("EndpointName", endpoint), ("VariantName", variant)})
    return (
        (by_variant, by_variant | {("EndpointConfigName", configuration)}) if configuration else (by_variant,)
    )
