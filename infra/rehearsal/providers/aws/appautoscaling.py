"""Application Auto Scaling: scalable target, scaling policy, scheduled action."""

from __future__ import annotations

from typing import Any

from infra.rehearsal.providers.aws.property_types import (
    flag,
    integer,
    number,
    numbertext,
    text,
    thing,
    unordered_list,
)
from infra.rehearsal.providers.aws.resource import Reading, ResourceCall, ResourceType, Update

SERVICE = "application-autoscaling"
SOURCE = "internal/service/appautoscaling/"
WHERE = ("serviceNamespace", "resourceId", "scalableDimension")


def _where() -> dict[str, Any]:
    return {name: text(required=True) for name in WHERE}


def _put_target(call: ResourceCall) -> str:
    tags = {} if call.id or not call.tags else {"Tags": call.tags}
    call.api.register_scalable_target(**call.body(), **tags)
    return str(call.inputs["resourceId"])


def _read_target(call: ResourceCall) -> Reading | None:
    targets = call.api.describe_scalable_targets(
        ServiceNamespace=call.inputs["serviceNamespace"],
        ResourceIds=[call.inputs["resourceId"]],
        ScalableDimension=call.inputs["scalableDimension"],
    )["ScalableTargets"]
    if not targets:
        return None
    # The tags go with the registration and are kept as written: moto has no tag calls for this service.
    return Reading(targets[0], {"arn": targets[0]["ScalableTargetARN"]}, None)


TARGET = ResourceType(
    type="aws:appautoscaling/target:Target",
    service=SERVICE,
    cloudformation="AWS::ApplicationAutoScaling::ScalableTarget",
    properties={
        **_where(),
        "minCapacity": integer(required=True),
        "maxCapacity": integer(required=True),
        "roleArn": text(computed=True, api="RoleARN", cfn="RoleARN"),
    },
    outputs=("arn",),
    identity=WHERE,
    find=lambda call: [call.inputs["resourceId"]],
    create=_put_target,
    read=_read_target,
    changes=(Update(("minCapacity", "maxCapacity", "roleArn"), _put_target),),
    delete=lambda call: call.api.deregister_scalable_target(**call.body(*WHERE)),
    tag=lambda call, add, drop: None,
    gone=("ObjectNotFoundException",),
)


def _put_policy(call: ResourceCall) -> str:
    call.api.put_scaling_policy(**call.body())
    return str(call.inputs["name"])


def _read_policy(call: ResourceCall) -> Reading | None:
    policies = call.api.describe_scaling_policies(**call.body(*WHERE), PolicyNames=[call.inputs["name"]])
    # AWS gives those of that name; moto all of the target.
    for policy in (one for one in policies["ScalingPolicies"] if one["PolicyName"] == call.inputs["name"]):
        alarms = [alarm["AlarmARN"] for alarm in policy.get("Alarms") or ()]
        return Reading(policy, {"arn": policy["PolicyARN"], "alarmArns": alarms})
    return None


PUT = ("policyType", "targetTrackingScalingPolicyConfiguration", "stepScalingPolicyConfiguration")
POLICY = ResourceType(
    type="aws:appautoscaling/policy:Policy",
    service=SERVICE,
    cloudformation="AWS::ApplicationAutoScaling::ScalingPolicy",
    properties={
        "name": text(api="PolicyName", cfn="PolicyName"),
        **_where(),
        "policyType": text(default="StepScaling"),
        "targetTrackingScalingPolicyConfiguration": thing(
            {
                "targetValue": number(required=True),
                "disableScaleIn": flag(default=False),
                "scaleInCooldown": integer(),
                "scaleOutCooldown": integer(),
                "predefinedMetricSpecification": thing(
                    {"predefinedMetricType": text(required=True), "resourceLabel": text()}
                ),
            }
        ),
        "stepScalingPolicyConfiguration": thing(
            {
                "adjustmentType": text(required=True),
                "cooldown": integer(),
                "metricAggregationType": text(),
                "minAdjustmentMagnitude": integer(),
                "stepAdjustments": unordered_list(
                    {
                        "metricIntervalLowerBound": numbertext(),
                        "metricIntervalUpperBound": numbertext(),
                        "scalingAdjustment": integer(required=True),
                    }
                ),
            }
        ),
    },
    outputs=("arn", "alarmArns"),
    # moto numbers the policy anew at each put; AWS keeps the ARN.
    volatile={"arn": PUT},
    identity=("name", *WHERE),
    name="name",
    find=lambda call: [call.inputs["name"]],
    create=_put_policy,
    read=_read_policy,
    changes=(Update(PUT, _put_policy),),
    delete=lambda call: call.api.delete_scaling_policy(**call.body("name", *WHERE)),
    gone=("ObjectNotFoundException",),
)

TIMES = ("startTime", "endTime")


def _put_action(call: ResourceCall) -> str:
    body = call.body(without=TIMES)
    body |= {name[:1].upper() + name[1:]: call.inputs[name] for name in TIMES if call.inputs.get(name)}
    call.api.put_scheduled_action(**body)
    return _action_id(call)


def _action_id(call: ResourceCall) -> str:
    return "-".join((call.inputs["name"], call.inputs["serviceNamespace"], call.inputs["resourceId"]))


def _read_action(call: ResourceCall) -> Reading | None:
    actions = call.api.describe_scheduled_actions(
        **call.body(*WHERE), ScheduledActionNames=[call.inputs["name"]]
    )["ScheduledActions"]
    for action in actions:
        times = {
            name[:1].upper() + name[1:]: _write_moment(
                action.get(name[:1].upper() + name[1:]), call.inputs.get(name)
            )
            for name in TIMES
        }
        return Reading({**action, **times}, {"arn": action["ScheduledActionARN"]})
    return None


def _write_moment(moment: Any, given: str | None) -> str | None:
    """The API's moment in the program's words when both are the same instant, else in UTC."""
    from datetime import UTC, datetime

    if moment is None:
        return None
    if given and datetime.fromisoformat(given).timestamp() == moment.timestamp():
        return given
    return str(moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))


def _schedule(path: str) -> Any:
    return text(replaces=True, required=True, source=SOURCE + path)


ACTION = ResourceType(
    type="aws:appautoscaling/scheduledAction:ScheduledAction",
    service=SERVICE,
    properties={
        "name": text(api="ScheduledActionName", replaces=True, source=SOURCE + "scheduled_action.go"),
        **{name: _schedule("scheduled_action.go") for name in WHERE},
        "schedule": text(required=True),
        "scalableTargetAction": thing({"minCapacity": integer(), "maxCapacity": integer()}, required=True),
        "startTime": text(),
        "endTime": text(),
        "timezone": text(default="UTC"),
    },
    outputs=("arn",),
    identity=("name", *WHERE),
    name="name",
    find=lambda call: [_action_id(call)],
    create=_put_action,
    read=_read_action,
    changes=(Update(("schedule", "scalableTargetAction", "startTime", "endTime", "timezone"), _put_action),),
    delete=lambda call: call.api.delete_scheduled_action(**call.body("name", *WHERE)),
    gone=("ObjectNotFoundException",),
)

RESOURCES = (TARGET, POLICY, ACTION)
