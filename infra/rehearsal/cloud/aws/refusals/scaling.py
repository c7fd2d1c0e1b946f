"""What Application Auto Scaling refuses of endpoint variants."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from infra.rehearsal.cloud.addresses import ACCOUNT
from infra.rehearsal.cloud.aws.calls import ApiCall
from infra.rehearsal.cloud.aws.refusals.row import ExampleCall, Found, RefusalExample, refusal_row
from infra.rehearsal.cloud.aws.refusals.sagemaker_finders import hosting, instance_types
from infra.rehearsal.cloud.aws.refusals.sagemaker_requests import (
    GUIDE,
    SERVING,
    UPDATE,
    configuration,
    endpoint,
    model,
    target,
)

if TYPE_CHECKING:
    from infra.rehearsal.cloud.aws.overlay.base import Surroundings

API = "https://docs.aws.amazon.com/autoscaling/application/APIReference/API_"
SERVICE = "application-autoscaling"
BURSTABLE = ("t2", "t3", "t3a", "t4g")
NO_TARGET = (
    "No scalable target registered for service namespace: {namespace}, resource ID: {resource}, scalable dimension: "
    "{dimension}"
)
NO_POLICY = (
    "No scaling policy found for service namespace: {namespace}, resource ID: {resource}, scalable dimension: "
    "{dimension}, policy name: {policy}"
)
WHERE = {key: value for key, value in target("shop").parameters.items() if not key.endswith("Capacity")}
POLICY = {
    **WHERE,
    "PolicyName": "load",
    "PolicyType": "TargetTrackingScaling",
    "TargetTrackingScalingPolicyConfiguration": {
        "TargetValue": 60.0,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
    },
}
ACTION = {
    **WHERE,
    "ScheduledActionName": "sale",
    "Schedule": "cron(0 8 * * ? *)",
    "ScalableTargetAction": {"MinCapacity": 2, "MaxCapacity": 4},
}


def backend(region: str) -> Any:
    """moto's Application Auto Scaling of a region."""
    from moto.applicationautoscaling.models import applicationautoscaling_backends

    return applicationautoscaling_backends[ACCOUNT][region]


def _of(call: ApiCall) -> dict[str, str]:
    asked = call.parameters
    return {
        "namespace": asked["ServiceNamespace"],
        "resource": asked["ResourceId"],
        "dimension": asked["ScalableDimension"],
    }


def _no_target(account: Surroundings, call: ApiCall) -> Found:
    where = _of(call)
    there = backend(call.region).targets.get(where["dimension"], {})
    return None if where["resource"] in there else where


def _no_policy(account: Surroundings, call: ApiCall) -> Found:
    where, name = _of(call), call.parameters["PolicyName"]
    there = any(
        (one.policy_name, one.resource_id, one.scalable_dimension)
        == (name, where["resource"], where["dimension"])
        for one in backend(call.region).policies.values()
    )
    return None if there else {**where, "policy": name}


def _no_action(account: Surroundings, call: ApiCall) -> Found:
    where, name = _of(call), call.parameters["ScheduledActionName"]
    there = any(
        (one.scheduled_action_name, one.resource_id) == (name, where["resource"])
        for one in backend(call.region).scheduled_actions
    )
    return None if there else {**where, "action": name}


def _second_tracking(account: Surroundings, call: ApiCall) -> Found:
    asked = call.parameters
    metric = _metric(asked.get("TargetTrackingScalingPolicyConfiguration") or {})
    for one in backend(call.region).policies.values():
        other = _metric(one.target_tracking_scaling_policy_configuration or {})
        same = (one.resource_id, other) == (asked["ResourceId"], metric)
        if metric and same and one.policy_name != asked["PolicyName"]:
            return {}
    return None


def _metric(tracking: Any) -> str:
    return str((tracking.get("PredefinedMetricSpecification") or {}).get("PredefinedMetricType", ""))


def _variant(call: ApiCall) -> tuple[str, str] | None:
    """Endpoint and variant that a sagemaker resource id names."""
    parts = str(call.parameters["ResourceId"]).split("/")
    named = call.parameters["ServiceNamespace"] == "sagemaker" and len(parts) == 4 and parts[0] == "endpoint"
    return (parts[1], parts[3]) if named else None


def _no_endpoint(account: Surroundings, call: ApiCall) -> Found:
    where = _variant(call)
    if where and (call.region, where[0]) not in hosting(account).endpoints:
        return {"resource": call.parameters["ResourceId"]}
    return None


def _burstable(account: Surroundings, call: ApiCall) -> Found:
    where = _variant(call)
    there = hosting(account).endpoints.get((call.region, where[0])) if where else None
    if where and there:
        of = there.pending.configuration if there.pending else there.configuration
        instance = instance_types(account, call.region, of).get(where[1], "")
        if instance and instance.split(".")[1] in BURSTABLE:
            return {"instance": instance}
    return None


def _below_one(account: Surroundings, call: ApiCall) -> Found:
    return {} if _variant(call) and call.parameters.get("MinCapacity") == 0 else None


def _upside_down(account: Surroundings, call: ApiCall) -> Found:
    where, asked = _of(call), call.parameters
    there = backend(call.region).targets.get(where["dimension"], {}).get(where["resource"])
    least = asked.get("MinCapacity", there.min_capacity if there else None)
    most = asked.get("MaxCapacity", there.max_capacity if there else None)
    return {} if least is not None and most is not None and least > most else None


def _no_range(account: Surroundings, call: ApiCall) -> Found:
    if _no_target(account, call) is None:
        return None
    return None if {"MinCapacity", "MaxCapacity"} <= set(call.parameters) else {}


_row = partial(refusal_row, SERVICE)


REGISTER = target("shop").parameters
ON_T2 = (model("one"), configuration("one", "one", "ml.t2.medium"), endpoint("shop", "one"))
ON_M5 = (configuration("two", "one"), ExampleCall("sagemaker", "UpdateEndpoint", UPDATE))
SCALED = (*SERVING, target("shop"))

ROWS = (
    _row(
        "RegisterScalableTarget",
        "there is no such endpoint",
        "ValidationException",
        "The resource {resource} does not exist.",
        f"{GUIDE}endpoint-auto-scaling-add-policy.html",
        "documented",
        RefusalExample(refused=REGISTER, between=SERVING),
        _no_endpoint,
    ),
    _row(
        "RegisterScalableTarget",
        "the variant runs on a burstable instance",
        "ValidationException",
        "Automatic scaling is not supported for burstable instance type {instance}.",
        f"{GUIDE}endpoint-auto-scaling-add-console.html",
        "documented",
        RefusalExample(before=ON_T2, refused=REGISTER, between=ON_M5),
        _burstable,
    ),
    _row(
        "RegisterScalableTarget",
        "the least number of instances is 0",
        "ValidationException",
        "Minimum capacity must be at least 1 for an endpoint variant.",
        f"{GUIDE}endpoint-auto-scaling-add-policy.html",
        "documented",
        RefusalExample(before=SERVING, refused={**REGISTER, "MinCapacity": 0}, passes=REGISTER),
        _below_one,
    ),
    _row(
        "RegisterScalableTarget",
        "the least is more than the most",
        "ValidationException",
        "Maximum capacity cannot be less than minimum capacity",
        f"{API}RegisterScalableTarget.html",
        "documented",
        RefusalExample(before=SERVING, refused={**REGISTER, "MinCapacity": 3}, passes=REGISTER),
        _upside_down,
    ),
    _row(
        "RegisterScalableTarget",
        "a new target has no range",
        "ValidationException",
        "Both MinCapacity and MaxCapacity must be given for a new scalable target",
        f"{API}RegisterScalableTarget.html",
        "documented",
        RefusalExample(before=SERVING, refused=WHERE, passes=REGISTER),
        _no_range,
    ),
    _row(
        "DeregisterScalableTarget",
        "it is not registered",
        "ObjectNotFoundException",
        NO_TARGET,
        f"{API}DeregisterScalableTarget.html",
        "documented",
        RefusalExample(before=SERVING, refused=WHERE, between=(target("shop"),)),
        _no_target,
    ),
    _row(
        "PutScalingPolicy",
        "nothing is registered that it could scale",
        "ObjectNotFoundException",
        NO_TARGET,
        "https://github.com/ansible/ansible/issues/40237",
        "recorded",
        RefusalExample(before=SERVING, refused=POLICY, between=(target("shop"),)),
        _no_target,
    ),
    _row(
        "PutScalingPolicy",
        "another policy tracks the same metric of the same target",
        "ValidationException",
        "Only one TargetTrackingScaling policy for a given metric specification is allowed.",
        f"{API}PutScalingPolicy.html",
        "documented",
        RefusalExample(
            before=(*SCALED, ExampleCall(SERVICE, "PutScalingPolicy", POLICY)),
            refused={**POLICY, "PolicyName": "load-too"},
            passes=POLICY,
        ),
        _second_tracking,
    ),
    _row(
        "DeleteScalingPolicy",
        "there is no such policy",
        "ObjectNotFoundException",
        NO_POLICY,
        f"{API}DeleteScalingPolicy.html",
        "documented",
        RefusalExample(
            before=SCALED,
            refused={**WHERE, "PolicyName": "load"},
            between=(ExampleCall(SERVICE, "PutScalingPolicy", POLICY),),
        ),
        _no_policy,
    ),
    _row(
        "PutScheduledAction",
        "nothing is registered that it could scale",
        "ObjectNotFoundException",
        NO_TARGET,
        f"{API}PutScheduledAction.html",
        "documented",
        RefusalExample(before=SERVING, refused=ACTION, between=(target("shop"),)),
        _no_target,
    ),
    _row(
        "DeleteScheduledAction",
        "there is no such action",
        "ObjectNotFoundException",
        "No scheduled action found for service namespace: {namespace}, resource ID: {resource}, scalable dimension: "
        "{dimension}, scheduled action name: {action}",
        f"{API}DeleteScheduledAction.html",
        "documented",
        RefusalExample(
            before=SCALED,
            refused={**WHERE, "ScheduledActionName": "sale"},
            between=(ExampleCall(SERVICE, "PutScheduledAction", ACTION),),
        ),
        _no_action,
    ),
)
