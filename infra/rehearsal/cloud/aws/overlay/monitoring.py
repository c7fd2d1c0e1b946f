"""CloudWatch over moto: alarms that evaluate, metrics of live traffic, percentiles.

moto keeps alarms and what PutMetricData sent; its own reading of metrics adds series up over other dimensions and knows
no percentiles, so metrics are read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from infra.rehearsal.cloud.addresses import ACCOUNT
from infra.rehearsal.cloud.aws.overlay.base import ApiCall, ApiError, HttpResponse, Overlay, emulates
from infra.rehearsal.cloud.aws.watching.alarms import AlarmHistory, AlarmWatch
from infra.rehearsal.cloud.aws.watching.expressions import BadExpression, Line, MathRun, MetricQuery
from infra.rehearsal.cloud.aws.watching.judgement import INSUFFICIENT
from infra.rehearsal.cloud.aws.watching.log_reader import LogReader
from infra.rehearsal.cloud.aws.watching.notices import LeftState
from infra.rehearsal.cloud.aws.watching.points import (
    MetricKey,
    Points,
    milliseconds,
    moment,
)
from infra.rehearsal.cloud.aws.watching.queries import key_of, period_of, read_query
from infra.rehearsal.cloud.aws.watching.reasons import NEW
from infra.rehearsal.cloud.aws.watching.statistics import MetricSamples, UnknownStatistic

if TYPE_CHECKING:
    from infra.rehearsal.cloud.aws.overlay.base import Surroundings

PAGE = 500
RECORDS = 100


class CloudWatch(Overlay):
    """Its alarms' history survives in `account.state["monitoring"]`, alarms and sent metrics in moto's own state."""

    def __init__(self, account: Surroundings) -> None:
        super().__init__(account)
        history: AlarmHistory = account.state.setdefault("monitoring", AlarmHistory())
        self.points = Points(account.invocations.metrics, account.invocations.logged)
        self.watch = AlarmWatch(account, history)
        account.background("alarms", self.watch.run)
        account.background("metrics in logs", LogReader(account).run)

    def close(self) -> None:
        self.watch.closed = True

    # ---- alarms ----

    @emulates("PutMetricAlarm", "documented", "API_PutMetricAlarm")
    def put_metric_alarm(self, call: ApiCall) -> HttpResponse:
        """INSUFFICIENT_DATA at first; a change of an alarm leaves its state. On one metric, or on metric math."""
        alarms, name = self._alarms(call), call.parameters["AlarmName"]
        old = alarms.get(name)
        answer = self.moto(call)
        if (new := alarms.get(name)) is None or new is old:
            return answer
        if old is None:
            new.state_value, new.state_reason, new.state_reason_data = INSUFFICIENT, NEW, ""
        else:
            new.state_value, new.state_reason = old.state_value, old.state_reason
            new.state_reason_data, new.history = old.state_reason_data, old.history
            new.state_updated_timestamp = old.state_updated_timestamp
        new.state_transitioned_timestamp = getattr(
            old, "state_transitioned_timestamp", new.state_updated_timestamp
        )
        self.watch.forget(call.region, name)
        what = "created" if old is None else "updated"
        data = {"version": "1.0", "type": "Create" if old is None else "Update"}
        self.watch.history.add(call.region, name, "ConfigurationUpdate", f'Alarm "{name}" {what}', data)
        return answer

    @emulates("SetAlarmState", "documented", "API_SetAlarmState")
    def set_alarm_state(self, call: ApiCall) -> HttpResponse:
        """Until the next look at the alarm; its actions are carried out."""
        alarm = self._alarms(call).get(call.parameters["AlarmName"])
        old = LeftState.before(call.region, alarm) if alarm else None
        answer = self.moto(call)
        if old and answer.ok:
            self.watch.tell(old, alarm)
        return answer

    @emulates("DescribeAlarmHistory", "documented", "API_DescribeAlarmHistory")
    def describe_alarm_history(self, call: ApiCall) -> Mapping[str, Any]:
        """Changes of configuration and state, and actions, by name, kind and time; the last 500 of the account."""
        asked = call.parameters
        found = [item for item in self.watch.history.of(call.region) if _fits(item, asked)]
        if asked.get("ScanBy", "TimestampDescending") == "TimestampDescending":
            found.reverse()
        return _page(found, "AlarmHistoryItems", int(asked.get("MaxRecords", RECORDS)), asked)

    # ---- metrics ----

    @emulates("GetMetricStatistics", "documented", "API_GetMetricStatistics")
    def get_metric_statistics(self, call: ApiCall) -> Mapping[str, Any]:
        """Also percentiles, of exactly the dimensions asked for; periods last as the pace makes them."""
        asked = call.parameters
        plain, extended = asked.get("Statistics", ()), asked.get("ExtendedStatistics", ())
        if not plain and not extended:
            raise ApiError(
                "InvalidParameterCombination", "Must specify either Statistics or ExtendedStatistics"
            )
        if asked["StartTime"] >= asked["EndTime"]:
            raise ApiError(
                "InvalidParameterValue", "The parameter StartTime must be less than the parameter EndTime."
            )
        metric = key_of(asked, asked.get("Unit", ""))
        points = [
            {
                "Timestamp": moment(begun),
                **{name: _read(sample, name) for name in plain},
                **(
                    {"ExtendedStatistics": {name: _read(sample, name) for name in extended}}
                    if extended
                    else {}
                ),
            }
            for begun, sample in self._by_period(
                call.region, metric, asked["StartTime"], asked["EndTime"], int(asked["Period"])
            ).items()
        ]
        return {"Label": metric.name, "Datapoints": points}

    @emulates("GetMetricData", "documented", "API_GetMetricData")
    def get_metric_data(self, call: ApiCall) -> Mapping[str, Any]:
        """The same for several metrics at once, and what math makes of them; no Metrics Insights."""
        asked = call.parameters
        if asked["StartTime"] >= asked["EndTime"]:
            raise ApiError("ValidationError", "The parameter EndTime must be greater than StartTime.")
        queries = tuple(read_query(one) for one in asked["MetricDataQueries"])
        width = self.account.clock.period(period_of(queries))
        end = milliseconds(asked["EndTime"])
        times = range(milliseconds(asked["StartTime"]) // width * width, end, width)
        run = MathRun(queries, lambda query: self._line(call.region, query, asked), times)
        latest = asked.get("ScanBy", "TimestampDescending") == "TimestampDescending"
        results = []
        for query in filter(lambda one: one.returned, queries):
            try:
                line = run.line(query)
            except BadExpression as problem:
                raise ApiError("ValidationError", f"Error in expression '{query.id}': {problem}") from None
            begun = sorted(line, reverse=latest)
            results.append(
                {
                    "Id": query.id,
                    "Label": query.label,
                    "Timestamps": [moment(at) for at in begun],
                    "Values": [line[at] for at in begun],
                    "StatusCode": "Complete",
                }
            )
        return {"MetricDataResults": results}

    def _line(self, region: str, query: MetricQuery, asked: Mapping[str, Any]) -> Line:
        assert query.metric is not None, "only metrics are read"
        found = self._by_period(region, query.metric, asked["StartTime"], asked["EndTime"], query.period)
        return {at: _read(sample, query.statistic) for at, sample in found.items()}

    @emulates("ListMetrics", "documented", "API_ListMetrics")
    def list_metrics(self, call: ApiCall) -> Mapping[str, Any]:
        """Those of live traffic and those that were sent, by namespace, name and dimensions, in pages of 500."""
        asked = call.parameters
        found = [_show(key) for key in self.points.metrics(call.region) if _matches(key, asked)]
        return _page(found, "Metrics", PAGE, asked)

    def _by_period(
        self, region: str, metric: MetricKey, start: datetime, end: datetime, period: int
    ) -> dict[int, MetricSamples]:
        """Periods begin where they would, had they been counted since 1970."""
        width = self.account.clock.period(period)
        begin = milliseconds(start) // width * width
        return self.points.by_period(region, metric, begin, milliseconds(end), width)

    def _alarms(self, call: ApiCall) -> dict[str, Any]:
        from moto.cloudwatch.models import cloudwatch_backends

        alarms: dict[str, Any] = cloudwatch_backends[ACCOUNT][call.region].alarms
        return alarms


def _read(sample: MetricSamples, statistic: str) -> float:
    try:
        return float(sample.read(statistic))
    except UnknownStatistic:
        what = f"The value {statistic} for parameter Stat is not supported by the local cloud."
        raise ApiError("InvalidParameterValue", what) from None


def _matches(key: MetricKey, asked: Mapping[str, Any]) -> bool:
    """As ListMetrics filters: a dimension without a value is any of that name, and there may be others."""
    there = dict(key.dimensions)
    return (
        asked.get("Namespace", key.namespace) == key.namespace
        and asked.get("MetricName", key.name) == key.name
        and all(
            one["Name"] in there and one.get("Value", there[one["Name"]]) == there[one["Name"]]
            for one in asked.get("Dimensions", ())
        )
    )


def _show(key: MetricKey) -> dict[str, Any]:
    dimensions = [{"Name": name, "Value": value} for name, value in sorted(key.dimensions)]
    return {"Namespace": key.namespace, "MetricName": key.name, "Dimensions": dimensions}


def _fits(item: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    return (
        asked.get("AlarmName", item["AlarmName"]) == item["AlarmName"]
        and asked.get("HistoryItemType", item["HistoryItemType"]) == item["HistoryItemType"]
        and not ("StartDate" in asked and milliseconds(item["Timestamp"]) < milliseconds(asked["StartDate"]))
        and not ("EndDate" in asked and milliseconds(item["Timestamp"]) > milliseconds(asked["EndDate"]))
    )


def _page(found: list[Any], field: str, size: int, asked: Mapping[str, Any]) -> dict[str, Any]:
    token = asked.get("NextToken", "0")
    if not token.isdecimal():
        raise ApiError("InvalidNextToken", "The next token specified is invalid.")
    begin = int(token)
    page: dict[str, Any] = {field: found[begin : begin + size]}
    if begin + size < len(found):
        page["NextToken"] = str(begin + size)
    return page
