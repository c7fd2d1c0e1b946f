"""Amazon CloudWatch: metric alarms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.rehearsal.providers.aws.property_types import (
    dimensions,
    flag,
    integer,
    number,
    text,
    thing,
    unordered_list,
)
from infra.rehearsal.providers.aws.resource import (
    Reading,
    ResourceCall,
    ResourceType,
    Update,
    tagger,
)
from infra.tags import tag_map


def _put_alarm(call: ResourceCall) -> str:
    body = call.body()
    if queries := body.pop("Metrics", None):
        body["Metrics"] = [_query(one) for one in queries]
    tags = {} if call.id or not call.tags else {"Tags": call.pairs()}
    call.api.put_metric_alarm(**body, **tags)
    return str(call.inputs["name"])


def _read_alarm(call: ResourceCall) -> Reading | None:
    alarms = call.api.describe_alarms(AlarmNames=[call.id], AlarmTypes=["MetricAlarm"])["MetricAlarms"]
    if not alarms:
        return None
    alarm: dict[str, Any] = alarms[0]
    alarm["Metrics"] = [_flat(one) for one in alarm.get("Metrics") or ()]
    arn = alarm["AlarmArn"]
    tags = tag_map(call.api.list_tags_for_resource(ResourceARN=arn)["Tags"])
    return Reading(alarm, {"arn": arn}, tags)


def _query(flat: Mapping[str, Any]) -> dict[str, Any]:
    """A query in the API's words: pulumi-aws has period, statistic and unit beside the metric's own name."""
    query = {name: value for name, value in flat.items() if name != "Metric"}
    if metric := flat.get("Metric"):
        how = {name: metric[name] for name in ("Period", "Stat", "Unit") if metric.get(name)}
        which = {name: metric[name] for name in ("Namespace", "MetricName", "Dimensions") if name in metric}
        query["MetricStat"] = {"Metric": which, **how}
    return query


def _flat(query: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse."""
    told = {name: value for name, value in query.items() if value is not None and name != "MetricStat"}
    if statistic := query.get("MetricStat"):
        how = {name: value for name, value in statistic.items() if name != "Metric" and value is not None}
        told["Metric"] = {**statistic["Metric"], **how}
    return told


QUERY = {
    "id": text(required=True),
    "expression": text(),
    "label": text(),
    "period": integer(),
    "returnData": flag(default=False),
    "metric": thing(
        {
            "namespace": text(),
            "metricName": text(required=True),
            "dimensions": dimensions(),
            "period": integer(required=True),
            "stat": text(required=True),
            "unit": text(),
        }
    ),
}
SETTINGS = {
    "comparisonOperator": text(required=True),
    "evaluationPeriods": integer(required=True),
    "datapointsToAlarm": integer(),
    "metricName": text(),
    "namespace": text(),
    "dimensions": dimensions(),
    "metricQueries": unordered_list(QUERY, api="Metrics", cfn="Metrics"),
    "period": integer(),
    "statistic": text(),
    "extendedStatistic": text(),
    "threshold": number(),
    "unit": text(),
    "treatMissingData": text(default="missing"),
    "evaluateLowSampleCountPercentiles": text(
        computed=True, api="EvaluateLowSampleCountPercentile", cfn="EvaluateLowSampleCountPercentile"
    ),
    "actionsEnabled": flag(default=True),
    "alarmDescription": text(),
    "alarmActions": unordered_list(),
    "okActions": unordered_list(api="OKActions", cfn="OKActions"),
    "insufficientDataActions": unordered_list(),
}

ALARM = ResourceType(
    type="aws:cloudwatch/metricAlarm:MetricAlarm",
    service="cloudwatch",
    cloudformation="AWS::CloudWatch::Alarm",
    properties={"name": text(api="AlarmName", cfn="AlarmName"), **SETTINGS},
    outputs=("arn",),
    identity=("name",),
    name="name",
    create=_put_alarm,
    read=_read_alarm,
    changes=(Update(tuple(SETTINGS), _put_alarm),),
    delete=lambda call: call.api.delete_alarms(AlarmNames=[call.id]),
    tag=tagger("tag_resource", "untag_resource", "ResourceARN"),
)

RESOURCES = (ALARM,)
