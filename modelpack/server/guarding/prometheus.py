"""Prometheus asked by its HTTP API: what an expression is now, and what it was.

Source: https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

QUERY, RANGE = "/api/v1/query", "/api/v1/query_range"
FORM = "application/x-www-form-urlencoded"
SECONDS = 10.0
MOST_POINTS = 11_000
"""Of one series in one answer."""


class NotAnswered(Exception):
    """Prometheus did not answer, or not what was asked; `str()` says why."""


@dataclass(frozen=True)
class Series:
    """One series: its labels, and what it was, as (seconds since 1970, value), the newest last; no NaN."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


class MetricSource(Protocol):
    """Asks one Prometheus. Raises NotAnswered."""

    def ask(self, path: str, form: Mapping[str, str]) -> bytes:
        """The body of its answer to a POST."""
        ...


@dataclass(frozen=True)
class DirectMetrics:
    """By its own address."""

    url: str

    def ask(self, path: str, form: Mapping[str, str]) -> bytes:
        asked = Request(f"{self.url.rstrip('/')}{path}", urlencode(form).encode(), {"Content-Type": FORM})  # noqa: S310 - the address is the user's own
        try:
            # a proxy of the user's is for what lies outside
            with build_opener(ProxyHandler({})).open(asked, timeout=SECONDS) as answer:
                found: bytes = answer.read()
                return found
        except HTTPError as refused:
            return refused.read()  # says why, in JSON
        except (OSError, ValueError) as error:
            raise NotAnswered(f"Prometheus at {self.url}: {getattr(error, 'reason', error)}") from None


@dataclass
class FakeMetrics:
    """The fake: the `result` of each path, and what was asked."""

    results: dict[str, list[Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    away: str = ""

    def ask(self, path: str, form: Mapping[str, str]) -> bytes:
        if self.away:
            raise NotAnswered(self.away)
        self.asked.append(form["query"])
        found = self.results.get(form["query"], self.results.get(path, []))
        return json.dumps({"status": "success", "data": {"result": found}}).encode()


def query(metrics: MetricSource, expression: str, at: float) -> list[Series]:
    """What an expression is at that moment: of an instant vector one point each, of a range vector all samples."""
    return read(metrics.ask(QUERY, {"query": expression, "time": f"{at:.3f}"}))


def query_range(
    metrics: MetricSource, expression: str, start: float, end: float, step: float
) -> list[Series]:
    """What it was from `start` to `end`, every `step` seconds (more, where that would be too many points)."""
    wide = max(step, (end - start) / MOST_POINTS)
    form = {
        "query": expression,
        "start": f"{start:.3f}",
        "end": f"{max(end, start):.3f}",
        "step": f"{wide:.3f}",
    }
    return read(metrics.ask(RANGE, form))


def read(body: bytes) -> list[Series]:
    """An answer's series. Raises NotAnswered."""
    try:
        told = json.loads(body)
        if told.get("status") != "success":
            raise NotAnswered(f"Prometheus refuses: {told.get('error', told)}")
        return [one for found in told["data"]["result"] if (one := _series(found)).points]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise NotAnswered(f"that is no Prometheus: {body[:100]!r}") from error


def _series(found: Mapping[str, Any]) -> Series:
    points = found.get("values") or [found["value"]]
    numbers = [(float(at), float(value)) for at, value in points]
    return Series(dict(found.get("metric") or {}), [one for one in numbers if not math.isnan(one[1])])
