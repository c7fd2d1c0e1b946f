"""Amazon CloudWatch: metric alarms."""

from __future__ import annotations

from typing import Any

from infra.rehearsal.providers.aws.property_types import (
    dimensions,
    flag,
    integer,
    number,
    text,
    unordered_list,
)
from infra.rehearsal.providers.aws.resource import (
    Reading,
    ResourceCall,
    ResourceType,
    Update,
    tag_map,
    tagger,
)


def _put_alarm(call: ResourceCall) -> str:
    body = call.body()
    tags = {} if call.id or not call.tags else {"Tags": call.pairs()}
    call.api.put_metric_alarm(**body, **tags)
    return str(call.inputs["name"])


def _read_alarm(call: ResourceCall) -> Reading | None:
    alarms = call.api.describe_alarms(AlarmNames=[call.id], AlarmTypes=["MetricAlarm"])["MetricAlarms"]
    if not alarms:
        return None
    alarm: dict[str, Any] = alarms[0]
    arn = alarm["AlarmArn"]
    tags = tag_map(call.api.list_tags_for_resource(ResourceARN=arn)["Tags"])
    return Reading(alarm, {"arn": arn}, tags)


SETTINGS = {
    "comparisonOperator": text(required=True),
    "evaluationPeriods": integer(required=True),
    "datapointsToAlarm": integer(),
    "metricName": text(),
    "namespace": text(),
    "dimensions": dimensions(),
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
