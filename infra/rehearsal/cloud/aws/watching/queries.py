"""What an alarm or GetMetricData asks of metrics, as queries: from moto's alarms and from the API's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.rehearsal.cloud.aws.watching.expressions import MetricQuery
from infra.rehearsal.cloud.aws.watching.points import MetricKey, dimensions_of

PERIOD = 60


def queries_of(alarm: Any) -> tuple[MetricQuery, ...]:
    """Those of one of moto's alarms; () for a composite alarm. Which of them it watches, `find_watched` says."""
    if alarm.rule is not None:
        return ()
    if alarm.metric_name:
        key = MetricKey(
            namespace=alarm.namespace,
            name=alarm.metric_name,
            dimensions=frozenset((one.name, one.value) for one in alarm.dimensions),
            unit=alarm.unit or "",
        )
        statistic = alarm.extended_statistic or alarm.statistic or ""
        return (MetricQuery(id="metric", metric=key, statistic=statistic, period=int(alarm.period)),)
    return tuple(_read_record(one) for one in alarm.metric_data_queries)


def find_watched(queries: tuple[MetricQuery, ...]) -> MetricQuery | None:
    """The one whose data are asked for."""
    return next((one for one in queries if one.returned), None)


def period_of(queries: tuple[MetricQuery, ...]) -> int:
    """Seconds: that of the metrics, which all have the same."""
    return max((one.period for one in queries if one.metric), default=PERIOD)


def read_query(asked: Mapping[str, Any]) -> MetricQuery:
    """A MetricDataQuery of the API."""
    wanted = asked.get("MetricStat")
    returned = bool(asked.get("ReturnData", True))
    if wanted is None:
        return MetricQuery(
            id=asked["Id"],
            label=asked.get("Label", asked["Id"]),
            expression=asked.get("Expression", ""),
            returned=returned,
        )
    metric = wanted["Metric"]
    return MetricQuery(
        id=asked["Id"],
        label=asked.get("Label", metric["MetricName"]),
        metric=key_of(metric, wanted.get("Unit", "")),
        statistic=wanted["Stat"],
        period=int(wanted["Period"]),
        returned=returned,
    )


def key_of(asked: Mapping[str, Any], unit: str) -> MetricKey:
    """The metric that parameters name."""
    return MetricKey(
        namespace=asked["Namespace"],
        name=asked["MetricName"],
        dimensions=dimensions_of(asked.get("Dimensions", ())),
        unit=unit,
    )


def _read_record(one: Any) -> MetricQuery:
    """moto's record of a query."""
    returned = one.return_data is None or str(one.return_data).lower() == "true"
    if one.metric_stat is None:
        return MetricQuery(
            id=one.id, label=one.label or one.id, expression=one.expression or "", returned=returned
        )
    metric = one.metric_stat.metric
    return MetricQuery(
        id=one.id,
        label=one.label or metric.metric_name,
        metric=MetricKey(
            namespace=metric.namespace,
            name=metric.metric_name,
            dimensions=frozenset((given.name, given.value) for given in metric.dimensions),
            unit=one.metric_stat.unit or "",
        ),
        statistic=one.metric_stat.stat,
        period=int(one.metric_stat.period),
        returned=returned,
    )
