"""Alarms on what the servers' own metrics say, as expressions that Prometheus evaluates when it is asked.

A period's value is of each release apart. An alarm rings while the last `periods` periods of a release were over its
threshold; a period with fewer than `min_requests` has no value. Periods are aligned to the clock, as CloudWatch's are.
Nothing has to be loaded into Prometheus for that: it keeps what was scraped, so also what an alarm said before can be
asked of it. Source: https://prometheus.io/docs/prometheus/latest/querying/basics/
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from modelpack.server.guarding.prometheus import MetricSource, Series, query, query_range
from modelpack.server.metric_names import SHOWN, SHOWN_WRONG

ROUTES = "/invocations|/v2/models/.+/infer"
"""Of the server's metrics: what callers ask, and no probe does."""
ASKED = f'route=~"{ROUTES}"'
RELEASE = "release"


@dataclass(frozen=True, kw_only=True)
class AlarmRule:
    """`measures`: "errors" (share of 5xx), "refusals" (share of anything but 2xx), "p99" (ms), "wrong" (share of the
    answers on the wrong side of `guardrail`); `threshold` likewise; `period` in seconds; `pods`: a regular expression
    of the pods' names, whose first group is the release's. `min_requests` are answers where a guardrail is meant."""

    name: str
    measures: str
    threshold: float
    min_requests: int
    periods: int
    namespace: str
    pods: str
    period: float = 60.0
    guardrail: str = ""

    def at_pace(self, pace: float) -> AlarmRule:
        """With periods that pass as much faster: the local cloud's rehearsal."""
        return replace(self, period=max(1.0, self.period / pace))

    def is_of(self, release: str) -> bool:
        """Whether it watches that release, alone or as one of all."""
        return not self.guardrail or self.name == alarm_of(release, self.guardrail)


@dataclass(frozen=True, kw_only=True)
class Ringing:
    """An alarm that rings, or rang: which, of which release, since when (seconds since 1970), and with which values."""

    name: str
    release: str
    at: float
    reason: str


def alarm_of(release: str, guardrail: str) -> str:
    """The name of its alarm; no endpoint's name has a dot."""
    return f"{release}.{guardrail}"


def write_rules(rules: Iterable[AlarmRule]) -> str:
    """As the guard's variable and the ConfigMap have them. A guard whose image is older than guardrails here must be
    able to read those of a service without any."""
    told = [{key: value for key, value in asdict(one).items() if value != ""} for one in rules]
    return json.dumps(told, indent=1)


def read_rules(text: str) -> tuple[AlarmRule, ...]:
    """Raises ValueError, TypeError for what is none."""
    return tuple(AlarmRule(**one) for one in json.loads(text))


def value_of(rule: AlarmRule) -> str:
    """The expression of a period's value, by release."""
    if rule.measures == "wrong":
        wrong = _by_release(rule, "increase", SHOWN_WRONG, f'guardrail="{rule.guardrail}"')
        return _share(wrong, _by_release(rule, "increase", SHOWN), rule)
    asked = _of_requests(rule)
    if rule.measures == "p99":
        return f"({_p99(rule)} and {asked} >= {rule.min_requests})"
    return _share(
        _of_requests(rule, 'code=~"5.."' if rule.measures == "errors" else 'code!~"2.."'), asked, rule
    )


def figures_of(rule: AlarmRule) -> tuple[str, str, str]:
    """The expressions of a period's requests, of its 5xx, and of its p99 in ms, each by release."""
    return _of_requests(rule), _of_requests(rule, 'code=~"5.."'), _p99(rule)


def ringing_of(rule: AlarmRule) -> str:
    """The expression that is there, by release, while the alarm rings."""
    span = f"[{_milliseconds(rule.periods * rule.period)}:{_milliseconds(rule.period)}]"
    return f"count_over_time(({value_of(rule)} > {rule.threshold:g}){span}) >= {rule.periods}"


def count_of(rule: AlarmRule, release: str, seconds: float) -> str:
    """The raw counters of one release's requests, as they were in the last `seconds`."""
    selector = f'namespace="{rule.namespace}",pod=~"{release}-predictor-.+",{ASKED}'
    return f"ecomdeploy_requests_total{{{selector}}}[{_milliseconds(seconds)}]"


def look(metrics: MetricSource, rules: Iterable[AlarmRule], at: float) -> list[Ringing]:
    """Those that ring at that moment. Raises NotAnswered."""
    return [
        tell(metrics, rule, one.labels.get(RELEASE, ""), at)
        for rule in rules
        for one in query(metrics, ringing_of(rule), at)
    ]


def look_back(metrics: MetricSource, rules: Iterable[AlarmRule], since: float, until: float) -> list[Ringing]:
    """Those that rang between two moments, each as it was when it last did. Raises NotAnswered."""
    found = []
    for rule in rules:
        told = query_range(metrics, ringing_of(rule), since, until, rule.period / 2)
        last = max(((one.points[-1][0], one.labels.get(RELEASE, "")) for one in told), default=None)
        if last:
            found.append(tell(metrics, rule, last[1], last[0]))
    return found


def tell(metrics: MetricSource, rule: AlarmRule, release: str, at: float) -> Ringing:
    """An alarm that rings at that moment, with the values it rings for."""
    last = at - at % rule.period
    first = last - (rule.periods - 1) * rule.period
    told = query_range(metrics, value_of(rule), first, last, rule.period)
    values = next((one.points for one in told if one.labels.get(RELEASE, "") == release), ())
    return Ringing(name=rule.name, release=release, at=at, reason=describe(rule, release, values))


def describe(rule: AlarmRule, release: str, values: Sequence[tuple[float, float]]) -> str:
    """In CloudWatch's own way of saying it."""
    shown = ", ".join(f"{value:.3g}" for _, value in values)
    unit = " ms" if rule.measures == "p99" else ""
    of = f"{rule.periods} out of the last {rule.periods} datapoints [{shown}]"
    return f"Threshold Crossed: {of} of {release} were greater than the threshold ({rule.threshold:g}{unit})"


def count(series: Iterable[Series], since: float) -> int:
    """By how much counters grew after that moment: exactly, of raw samples. One that was not there before began at 0,
    and one that fell began anew."""
    grown = 0.0
    for one in series:
        before = [value for at, value in one.points if at <= since]
        last = before[-1] if before else 0.0
        for _, value in [point for point in one.points if point[0] > since]:
            grown += value - last if value >= last else value
            last = value
    return round(grown)


def rules_file(name: str, rules: Iterable[AlarmRule]) -> Mapping[str, object]:
    """The same alarms as a group of Prometheus's own rules, so that Alertmanager tells of them outside of rollouts.

    Source: https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/
    """
    alerts = [
        {
            "alert": rule.name,
            "expr": ringing_of(rule),
            "labels": {"severity": "critical", "service": name},
            "annotations": {
                "summary": f"{rule.name}: release {{{{ $labels.release }}}} is over {rule.threshold:g}"
            },
        }
        for rule in rules
    ]
    return {"groups": [{"name": name, "interval": "30s", "rules": alerts}]}


def _share(bad: str, all_of_them: str, rule: AlarmRule) -> str:
    """Also 0, where there is none that is bad."""
    return f"({bad} or 0 * {all_of_them}) / ({all_of_them} >= {rule.min_requests})"


def _of_requests(rule: AlarmRule, *more: str) -> str:
    return _by_release(rule, "increase", "ecomdeploy_requests_total", ASKED, *more)


def _p99(rule: AlarmRule) -> str:
    buckets = _by_release(rule, "rate", "ecomdeploy_request_seconds_bucket", ASKED, also="le")
    return f"1000 * histogram_quantile(0.99, {buckets})"


def _by_release(rule: AlarmRule, how: str, metric: str, *more: str, also: str = "") -> str:
    selectors = ",".join((f'namespace="{rule.namespace}"', f'pod=~"{rule.pods}"', *more))
    inner = f"{how}({metric}{{{selectors}}}[{_milliseconds(rule.period)}])"
    by = f"{RELEASE}, {also}" if also else RELEASE
    return f'sum by ({by}) (label_replace({inner}, "{RELEASE}", "$1", "pod", "{rule.pods}"))'


def _milliseconds(seconds: float) -> str:
    return f"{round(1000 * seconds)}ms"
