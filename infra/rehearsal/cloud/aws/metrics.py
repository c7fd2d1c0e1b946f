"""What invocations leave in CloudWatch: summed up per variant and minute in memory, written when somebody asks.

Source: "Metrics for monitoring SageMaker AI with CloudWatch", namespace AWS/SageMaker (documented).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

NAMESPACE = "AWS/SageMaker"
Series = tuple[str, str, str]
"""Region, endpoint, variant."""


@dataclass
class Sum:
    """One variant's minute. Latencies in microseconds, the unit of ModelLatency."""

    count: int = 0
    client_errors: int = 0
    server_errors: int = 0
    total: float = 0.0
    least: float = float("inf")
    most: float = 0.0

    def add(self, status: int, microseconds: float) -> None:
        self.count += 1
        self.client_errors += 400 <= status < 500
        self.server_errors += status >= 500
        self.total += microseconds
        self.least = min(self.least, microseconds)
        self.most = max(self.most, microseconds)


@dataclass
class InvocationMetrics:
    """Thread-safe. A few additions per request; nothing else happens in the way of an answer."""

    _sums: dict[tuple[Series, int], Sum] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, series: Series, status: int, seconds: float) -> None:
        key = (series, int(time.time()) // 60)
        with self._lock:
            found = self._sums.get(key)
            if found is None:
                found = self._sums[key] = Sum()
            found.add(status, seconds * 1e6)

    def clear(self) -> None:
        """After a reset of the account: what nobody asked for yet is gone with it."""
        with self._lock:
            self._sums = {}

    def take(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """What came together since the last time: region and PutMetricData's MetricData."""
        with self._lock:
            sums, self._sums = self._sums, {}
        for ((region, endpoint, variant), minute), found in sums.items():
            dimensions = [
                {"Name": "EndpointName", "Value": endpoint},
                {"Name": "VariantName", "Value": variant},
            ]
            # moto keeps times without a zone, in UTC.
            when = datetime.fromtimestamp(minute * 60, UTC).replace(tzinfo=None)
            common = {"Dimensions": dimensions, "Timestamp": when}
            yield region, [{**common, **datum} for datum in _data(found)]


def _data(found: Sum) -> Iterator[dict[str, Any]]:
    for name, value in (
        ("Invocations", found.count),
        ("Invocation4XXErrors", found.client_errors),
        ("Invocation5XXErrors", found.server_errors),
    ):
        # AWS averages the error counts over requests, so each carries the number of requests as its sample count.
        yield {"MetricName": name, "Unit": "None", "StatisticValues": _statistics(found.count, value, 0, 1)}
    latency = _statistics(found.count, found.total, found.least, found.most)
    yield {"MetricName": "ModelLatency", "Unit": "Microseconds", "StatisticValues": latency}


def _statistics(count: int, total: float, least: float, most: float) -> dict[str, float]:
    return {"SampleCount": count, "Sum": total, "Minimum": least, "Maximum": most}
