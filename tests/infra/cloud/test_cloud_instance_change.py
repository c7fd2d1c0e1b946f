"""Another instance type for an endpoint that scales by itself: refused by SageMaker, gone about by the target."""

from __future__ import annotations

from typing import Any

import pytest

from infra.aws_session import AwsSession
from infra.targets.base import ShiftPolicy
from infra.targets.sagemaker.traffic import SageMakerTraffic
from modelpack.errors import EcomdeployError
from modelpack.progress import Silent

pytestmark = pytest.mark.usefixtures("empty")
WHERE = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/shop/variant/AllTraffic",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}


def fill(aws: Any) -> None:
    """An endpoint that scales by load and by schedule, and two configurations on another instance type."""
    aws.release("one")
    aws.endpoint("shop", "one")
    aws.configuration("two", [("one", 1.0)], "ml.c5.xlarge")
    scaling = aws("application-autoscaling")
    scaling.register_scalable_target(**WHERE, MinCapacity=1, MaxCapacity=4)
    metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
    tracking = {"TargetValue": 60.0, "PredefinedMetricSpecification": metric}
    scaling.put_scaling_policy(
        **WHERE,
        PolicyName="load",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration=tracking,
    )
    scaling.put_scheduled_action(
        **WHERE,
        ScheduledActionName="sale",
        Schedule="cron(0 8 * * ? *)",
        ScalableTargetAction={"MinCapacity": 2, "MaxCapacity": 4},
    )


def look(aws: Any) -> tuple[Any, ...]:
    scaling = aws("application-autoscaling")
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    (policy,) = scaling.describe_scaling_policies(**WHERE)["ScalingPolicies"]
    (action,) = scaling.describe_scheduled_actions(**WHERE)["ScheduledActions"]
    return (
        (target["MinCapacity"], target["MaxCapacity"]),
        (policy["PolicyName"], policy["TargetTrackingScalingPolicyConfiguration"]),
        (action["ScheduledActionName"], action["Schedule"], action["ScalableTargetAction"]),
    )


def test_scaling_is_taken_off_and_put_back_as_it_was(aws: Any) -> None:
    fill(aws)
    before, traffic = look(aws), SageMakerTraffic(AwsSession(aws.variables))
    assert traffic.shift("shop", "two", ShiftPolicy())
    assert traffic.wait("shop", "two", Silent(), 120).revision == "two"
    assert look(aws) == before


def test_scaling_is_there_again_when_the_update_fails(aws: Any) -> None:
    fill(aws)
    before, traffic = look(aws), SageMakerTraffic(AwsSession(aws.variables))
    aws.cloud.plant({"kind": "capacity", "endpoint": "shop"})
    assert traffic.shift("shop", "two", ShiftPolicy())
    with pytest.raises(EcomdeployError):
        traffic.wait("shop", "two", Silent(), 120)
    assert look(aws) == before


def test_a_refusal_of_another_kind_leaves_scaling_alone(aws: Any) -> None:
    fill(aws)
    before, traffic = look(aws), SageMakerTraffic(AwsSession(aws.variables))
    with pytest.raises(EcomdeployError, match="Could not find"):
        traffic.shift("shop", "none", ShiftPolicy())
    assert look(aws) == before
