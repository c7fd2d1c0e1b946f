"""Samples of a metric, and what CloudWatch computes of them.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html (documented). A
percentile is the nearest rank of values kept to three digits; CloudWatch's own are estimates too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?|100)")
STATISTICS = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")


class UnknownStatistic(ValueError):
    """A statistic that is not computed here."""


@dataclass
class MetricSamples:
    """`values` has how often each value was, rounded; sum, least and most are exact."""

    count: float = 0
    total: float = 0.0
    least: float = math.inf
    most: float = -math.inf
    values: dict[float, float] = field(default_factory=dict)

    def add(self, value: float, count: float = 1) -> None:
        self.count += count
        self.total += value * count
        if value < self.least:
            self.least = value
        if value > self.most:
            self.most = value
        kept = value if value in (0, 1) else float(f"{value:.3g}")
        self.values[kept] = self.values.get(kept, 0) + count

    def merge(self, other: MetricSamples) -> None:
        self.count += other.count
        self.total += other.total
        self.least = min(self.least, other.least)
        self.most = max(self.most, other.most)
        for value, count in other.values.items():
            self.values[value] = self.values.get(value, 0) + count

    def read(self, statistic: str) -> float:
        """One statistic, "Average" or "p99.9". Raises UnknownStatistic."""
        if match := PERCENTILE.fullmatch(statistic):
            return self._percentile(float(match[1]))
        if statistic not in STATISTICS:
            raise UnknownStatistic(statistic)
        average = self.total / self.count if self.count else 0.0
        return dict(zip(STATISTICS, (self.count, average, self.total, self.least, self.most), strict=True))[
            statistic
        ]

    def _percentile(self, percent: float) -> float:
        rank, passed = max(1.0, math.ceil(percent / 100 * self.count)), 0.0
        for value in sorted(self.values):
            passed += self.values[value]
            if passed >= rank:
                return min(max(value, self.least), self.most)
        return self.most


def merge(parts: Iterable[MetricSamples]) -> MetricSamples:
    """All of them as one."""
    whole = MetricSamples()
    for part in parts:
        whole.merge(part)
    return whole


def enough_samples(statistic: str) -> float:
    """How many samples a percentile needs to mean something; 0 for what is no percentile.

    Source: "Percentile-based alarms and low data samples": 10/(1-percentile) from the median up, 10/percentile below.
    """
    match = PERCENTILE.fullmatch(statistic)
    if not match:
        return 0
    share = float(match[1]) / 100
    far = 1 - share if share >= 0.5 else share
    return round(10 / far, 6) if far else math.inf
