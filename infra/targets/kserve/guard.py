"""Prometheus beside a service: what its alarms say and said, and how many requests a release was asked.

Source: https://prometheus.io/docs/prometheus/latest/querying/api/; what an alarm is: server/guarding/alarms.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar
from urllib.parse import urlencode

from infra.kubernetes.base import KubernetesApi
from infra.targets.guard import AlarmState, Figures
from infra.targets.kserve.alarms import RULES, endpoint_of, map_name
from infra.targets.kserve.lease import RolloutLease, WentBack
from infra.targets.kserve.names import ClusterPlace
from modelpack.errors import BadInput, EcomdeployError, Unhealthy
from modelpack.server.guarding.alarms import (
    RELEASE,
    AlarmRule,
    Ringing,
    count,
    count_of,
    figures_of,
    look,
    look_back,
    read_rules,
)
from modelpack.server.guarding.prometheus import (
    FORM,
    SECONDS,
    DirectMetrics,
    MetricSource,
    NotAnswered,
    Series,
    query,
    query_range,
)
from modelpack.server.guarding.record import ALARM, BACK, HAND

EARLIER = 300
"""Seconds before a count begins, of which samples are asked for: the last of them is where it begins."""
TurnBack = Callable[[str, str, str], object]
Answered = TypeVar("Answered")


@dataclass(frozen=True)
class ProxiedMetrics:
    """By the API server's proxy to a Service ("NAMESPACE/SERVICE:PORT")."""

    api: KubernetesApi
    service: str

    def ask(self, path: str, form: Mapping[str, str]) -> bytes:
        namespace, _, service = self.service.partition("/")
        where = f"/api/v1/namespaces/{namespace}/services/{service}/proxy{path}"
        headers = {"Host": f"{service.partition(':')[0]}.{namespace}.svc", "Content-Type": FORM}
        with self.api.forward(where, urlencode(form).encode(), headers, SECONDS) as answer:
            return b"".join(answer.parts)


def find_metrics(api: KubernetesApi, prometheus: str) -> MetricSource:
    """The Prometheus that an environment names. Raises BadInput where it names none."""
    if not prometheus:
        raise BadInput(
            "alarms are asked of Prometheus, and there is none here",
            hint="local cloud: apt-get install prometheus, then ecomdeploy cloud kubernetes stop;"
            " cloud: cluster: prometheus: NAMESPACE/SERVICE:PORT in its environment",
        )
    return DirectMetrics(prometheus) if "://" in prometheus else ProxiedMetrics(api, prometheus)


@dataclass(frozen=True)
class PrometheusGuard:
    """`infra.targets.guard.Guard` over Prometheus. `turn_back`: puts an endpoint's traffic back (endpoint, cause,
    reason)."""

    api: KubernetesApi
    place: ClusterPlace
    turn_back: TurnBack
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def states(self, names: Sequence[str]) -> tuple[AlarmState, ...]:
        rules = self._rules(names)
        if not rules:
            return ()
        ringing = {one.name: one for one in self._ask(lambda metrics: look(metrics, rules, self._moment()))}
        return tuple(
            tell_state(ringing[rule.name])
            if rule.name in ringing
            else AlarmState(name=rule.name, ringing=False)
            for rule in rules
        )

    def find_rung(self, names: Sequence[str], since: datetime) -> tuple[AlarmState, ...]:
        rules = self._rules(names)
        if not rules:
            return ()
        if written := self._find_written(names, since):
            return tuple(written)
        past = self._ask(lambda metrics: look_back(metrics, rules, since.timestamp(), self._moment()))
        return tuple(tell_state(one) for one in past)

    def count_requests(self, endpoint: str, revision: str, since: datetime) -> int:
        rules = self._of(endpoint)
        if not rules:
            return 0
        until = self._moment()
        span = until - since.timestamp() + EARLIER
        expression = count_of(rules[0], revision, span)
        return self._ask(lambda metrics: count(query(metrics, expression, until), since.timestamp()))

    def measure(
        self, endpoint: str, revisions: Sequence[str], since: datetime
    ) -> Mapping[str, tuple[Figures, ...]]:
        rules = self._of(endpoint)
        if not rules:
            return {}
        step = rules[0].period
        first = since.timestamp() - since.timestamp() % step + step
        asked, errors, slow = (
            self._ask(partial(query_range, expression=one, start=first, end=self._moment(), step=step))
            for one in figures_of(rules[0])
        )
        return {
            name: tuple(
                Figures(
                    # a period's value is known at its end
                    at=datetime.fromtimestamp(at - step, UTC),
                    requests=round(value),
                    errors=round(find_points(errors, name).get(at, 0)),
                    p99_ms=find_points(slow, name).get(at),
                )
                for at, value in find_points(asked, name).items()
                if value >= 0.5
            )
            for name in revisions
        }

    def ring(self, names: Sequence[str], reason: str) -> bool:
        """There is nothing to ring: what an alarm would do is done."""
        for name in names[:1]:
            try:
                self.turn_back(endpoint_of(name), HAND, reason)
            except (WentBack, Unhealthy):
                return False
            return True
        return False

    def _find_written(self, names: Sequence[str], since: datetime) -> list[AlarmState]:
        """What the guard in the cluster wrote down, which outlives Prometheus's own memory."""
        if not names:
            return []
        record = RolloutLease(self.api, self.place.namespace, endpoint_of(names[0])).read()
        if record is None or record.state != BACK or record.cause != ALARM or record.name not in names:
            return []
        at = datetime.fromisoformat(record.at)
        return (
            [AlarmState(name=record.name, ringing=True, reason=record.reason, at=at)] if at >= since else []
        )

    def _rules(self, names: Sequence[str]) -> list[AlarmRule]:
        return [rule for rule in self._of(endpoint_of(names[0])) if rule.name in names] if names else []

    def _of(self, endpoint: str) -> list[AlarmRule]:
        """Its alarms as they were declared, at the pace that time passes here."""
        found = self.api.get("v1", "ConfigMap", map_name(endpoint), self.place.namespace)
        text = ((found or {}).get("data") or {}).get(RULES, "[]")
        try:
            return [rule.at_pace(self.place.pace) for rule in read_rules(text)]
        except (ValueError, TypeError) as error:
            raise EcomdeployError(
                f"ConfigMap {map_name(endpoint)}: {error}", hint="ecomdeploy up writes it anew"
            ) from None

    def _ask(self, question: Callable[[MetricSource], Answered]) -> Answered:
        metrics = find_metrics(self.api, self.place.prometheus)
        try:
            return question(metrics)
        except NotAnswered as error:
            raise EcomdeployError(str(error), hint="alarms are asked of Prometheus") from None

    def _moment(self) -> float:
        return self.now().timestamp()


def find_points(series: Sequence[Series], release: str) -> Mapping[float, float]:
    """One release's values by their moments."""
    return next((dict(one.points) for one in series if one.labels.get(RELEASE) == release), {})


def tell_state(one: Ringing) -> AlarmState:
    at = datetime.fromtimestamp(one.at, UTC)
    return AlarmState(name=one.name, ringing=True, reason=one.reason, at=at)
