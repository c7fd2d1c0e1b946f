"""Datapoints: the samples of a metric by period, whoever sent them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from infra.rehearsal.cloud.addresses import ACCOUNT
from infra.rehearsal.cloud.aws.watching.invocation_metrics import (
    NAMESPACE,
    UNITS,
    Dimensions,
    InvocationMetrics,
)
from infra.rehearsal.cloud.aws.watching.logged_metrics import LoggedMetrics
from infra.rehearsal.cloud.aws.watching.statistics import MetricSamples, merge


@dataclass(frozen=True, kw_only=True)
class MetricKey:
    """Which metric. Its dimensions are all of them: CloudWatch adds nothing up over others."""

    namespace: str
    name: str
    dimensions: Dimensions
    unit: str = ""


def dimensions_of(asked: Sequence[Mapping[str, str]]) -> Dimensions:
    """From the API's list of names and values."""
    return frozenset((one["Name"], one.get("Value", "")) for one in asked)


@dataclass(frozen=True)
class Points:
    """Reads what invocations left, what servers wrote into their logs and, under the account's lock, what PutMetricData
    left with moto."""

    invocations: InvocationMetrics
    logged: LoggedMetrics = field(default_factory=LoggedMetrics)

    def by_period(
        self, region: str, metric: MetricKey, start: int, end: int, width: int
    ) -> dict[int, MetricSamples]:
        """By the period's beginning; periods of `width` from `start` on. All in milliseconds since the epoch."""
        groups: defaultdict[int, list[MetricSamples]] = defaultdict(list)
        for when, sample in self._samples(region, metric, start, end):
            groups[start + (when - start) // width * width].append(sample)
        return {begun: merge(groups[begun]) for begun in sorted(groups)}

    def metrics(self, region: str) -> Iterator[MetricKey]:
        """Every metric that there is, once."""
        found = {
            MetricKey(namespace=NAMESPACE, name=name, dimensions=dimensions)
            for name, dimensions in self.invocations.series(region)
        }
        for _, namespace, name, dimensions in self.logged.series(region):
            found.add(MetricKey(namespace=namespace, name=name, dimensions=dimensions))
        for datum in _custom(region):
            found.add(MetricKey(namespace=datum.namespace, name=datum.name, dimensions=_dimensions(datum)))
        yield from sorted(found, key=lambda key: (key.namespace, key.name, sorted(key.dimensions)))

    def _samples(
        self, region: str, metric: MetricKey, start: int, end: int
    ) -> Iterator[tuple[int, MetricSamples]]:
        if metric.namespace == NAMESPACE and metric.name in UNITS:
            if metric.unit in ("", UNITS[metric.name]):
                yield from self.invocations.samples(region, metric.name, metric.dimensions, start, end)
            return
        key = (region, metric.namespace, metric.name, metric.dimensions)
        yield from self.logged.samples(key, start, end)
        for datum in _custom(region):
            when = milliseconds(datum.timestamp)
            if (
                start <= when < end
                and (datum.namespace, datum.name) == (metric.namespace, metric.name)
                and _dimensions(datum) == metric.dimensions
                and metric.unit in ("", datum.unit)
            ):
                yield when, _read_datum(datum)


def milliseconds(when: datetime) -> int:
    """Since the epoch; moto keeps times without a zone, in UTC."""
    return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)


def moment(at: int) -> datetime:
    """The time so many milliseconds after the epoch."""
    return datetime.fromtimestamp(at / 1000, UTC)


def _custom(region: str) -> list[Any]:
    from moto.cloudwatch.models import cloudwatch_backends

    return list(cloudwatch_backends[ACCOUNT][region].metric_data)


def _dimensions(datum: Any) -> Dimensions:
    return frozenset((one.name, one.value) for one in datum.dimensions)


def _read_datum(datum: Any) -> MetricSamples:
    """One of moto's data; of a statistic set nothing but its ends and its mean are known."""
    found = MetricSamples()
    if hasattr(datum, "value"):
        found.add(datum.value)
        return found
    if datum.sample_count:
        mean = datum.sum / datum.sample_count
        found = MetricSamples(datum.sample_count, datum.sum, datum.min, datum.max, {mean: datum.sample_count})
    return found
