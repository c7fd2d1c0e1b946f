"""Counters and histograms in Prometheus' text format 0.0.4, small enough to cost nothing per request.

Each series is written by one thread only (the event loop, or the model's thread); reading may lag a little.
Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Histogram:
    """Counts per bucket; `bounds` are upper bounds, inclusive."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect.bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: str) -> Iterator[str]:
        comma = "," if labels else ""
        total = 0
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            total += count
            shown = "+Inf" if bound == float("inf") else f"{bound:g}"
            yield f'{name}_bucket{{{labels}{comma}le="{shown}"}} {total}'
        yield f"{name}_sum{{{labels}}} {self._sum!r}"
        yield f"{name}_count{{{labels}}} {total}"


class Counter:
    """What only grows, apart for every value of its `label`, where it has one."""

    def __init__(self, name: str, about: str, label: str = "") -> None:
        self._name, self._about, self._label = name, about, label
        self._values: dict[str, int] = {}

    def add(self, amount: int, value: str = "") -> None:
        self._values[value] = self._values.get(value, 0) + amount

    def lines(self) -> Iterator[str]:
        if not self._values:
            return
        yield from _head(self._name, "counter", self._about)
        for value, amount in sorted(self._values.items()):
            labels = f'{{{self._label}="{_escape(value)}"}}' if self._label else ""
            yield f"{self._name}{labels} {amount}"


class Metrics:
    """What `/metrics` shows."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, int], int] = {}
        self._seconds: dict[str, Histogram] = {}
        self._batch_rows = Histogram(ROWS)
        self._model_seconds = Histogram(SECONDS)
        self._counters: list[Counter] = []

    def request(self, route: str, code: int, seconds: float) -> None:
        """One answered request. `route` must be a pattern, never what a caller typed."""
        key = (route, code)
        self._requests[key] = self._requests.get(key, 0) + 1
        histogram = self._seconds.get(route)
        if histogram is None:
            histogram = self._seconds[route] = Histogram(SECONDS)
        histogram.observe(seconds)

    def model_call(self, rows: int, seconds: float) -> None:
        """One call of the model."""
        self._batch_rows.observe(rows)
        self._model_seconds.observe(seconds)

    def counter(self, name: str, about: str, label: str = "") -> Counter:
        """A further counter on the page, for a use case's own handler; shown once it was added to."""
        self._counters.append(Counter(name, about, label))
        return self._counters[-1]

    def text(self, model: str, content_digest: str, ready: bool) -> bytes:
        """The whole page."""
        lines = [
            *_head("ecomdeploy_info", "gauge", "The model served here and the content it was packed from."),
            f'ecomdeploy_info{{model="{_escape(model)}",content_digest="{_escape(content_digest)}"}} 1',
            *_head("ecomdeploy_ready", "gauge", "1 when golden requests were answered right."),
            f"ecomdeploy_ready {int(ready)}",
            *_head("ecomdeploy_requests_total", "counter", "Requests by route and status."),
        ]
        for (route, code), count in sorted(self._requests.items()):
            lines.append(f'ecomdeploy_requests_total{{route="{route}",code="{code}"}} {count}')
        lines += _head("ecomdeploy_request_seconds", "histogram", "Time from request to answer, by route.")
        for route, histogram in sorted(self._seconds.items()):
            lines += histogram.lines("ecomdeploy_request_seconds", f'route="{route}"')
        lines += _head("ecomdeploy_batch_rows", "histogram", "Rows per model call.")
        lines += self._batch_rows.lines("ecomdeploy_batch_rows", "")
        lines += _head("ecomdeploy_model_seconds", "histogram", "Time of one model call.")
        lines += self._model_seconds.lines("ecomdeploy_model_seconds", "")
        for counter in self._counters:
            lines += counter.lines()
        return ("\n".join(lines) + "\n").encode()


def _head(name: str, kind: str, about: str) -> list[str]:
    return [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
