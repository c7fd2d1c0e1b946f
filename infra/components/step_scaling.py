"""Replicas by steps: the further the load is above what was written, the more are added at once, and taken below.

Each direction is one alarm and one policy that it sets off
(https://docs.aws.amazon.com/autoscaling/application/userguide/application-auto-scaling-step-scaling-policies.html).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import pulumi

from infra.component import Component, require
from infra.spec import ScaleStep
from infra.tags import Tags

if TYPE_CHECKING:
    from pulumi_aws import appautoscaling, cloudwatch

Way = Literal["out", "in"]
MINUTE = 60
COOLDOWN = {"out": 60, "in": 300}
MINUTES = {"out": 1, "in": 5}
"""How long the load must be there: an idle minute is no reason to take a server away."""


@dataclass(frozen=True, kw_only=True)
class Adjustment:
    """So many replicas more (or, below 0, less) from `low` to `high`, both measured from the alarm's threshold in
    requests per minute; None: without end."""

    replicas: int
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Direction:
    """One alarm and its steps; `threshold`: requests per minute and instance."""

    name: Way
    threshold: float
    adjustments: tuple[Adjustment, ...]


@dataclass(frozen=True, kw_only=True)
class StepScalingResources:
    """What a StepScaling is made of, by direction ("out", "in")."""

    policies: Mapping[Way, appautoscaling.Policy]
    alarms: Mapping[Way, cloudwatch.MetricAlarm]


def list_directions(steps: Sequence[ScaleStep]) -> tuple[Direction, ...]:
    """The steps, sorted, as AWS writes them."""
    above = sorted((one.over, one.add) for one in steps if one.over is not None and one.add is not None)
    below = sorted(
        ((one.under, one.remove) for one in steps if one.under is not None and one.remove is not None),
        reverse=True,
    )
    found = []
    if above:
        first = above[0][0]
        edges = [(load - first) * MINUTE for load, _ in above]
        steps_out = [
            Adjustment(replicas=add, low=low, high=high)
            for (_, add), (low, high) in zip(above, pairwise([*edges, None]), strict=True)
        ]
        found.append(Direction(name="out", threshold=first * MINUTE, adjustments=tuple(steps_out)))
    if below:
        first = below[0][0]
        edges = [(load - first) * MINUTE for load, _ in below]
        steps_in = [
            Adjustment(replicas=-remove, low=low, high=high)
            for (_, remove), (high, low) in zip(below, pairwise([*edges, None]), strict=True)
        ]
        found.append(Direction(name="in", threshold=first * MINUTE, adjustments=tuple(steps_in)))
    return tuple(found)


class StepScaling(Component):
    """Scales a variant that is registered as `target`. `endpoint`: the resource's own output."""

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        endpoint: pulumi.Input[str],
        variant: str,
        target: appautoscaling.Target,
        steps: Sequence[ScaleStep],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        require("StepScaling", {"steps: needs at least one": not steps})
        super().__init__(name, project_tags=project_tags, opts=opts)
        self.resources = self._create(endpoint, variant, target, list_directions(steps))
        self.register_outputs({})

    def _create(
        self,
        endpoint: pulumi.Input[str],
        variant: str,
        target: appautoscaling.Target,
        directions: Sequence[Direction],
    ) -> StepScalingResources:
        policies = {one.name: self._policy(target, one) for one in directions}
        alarms = {one.name: self._alarm(endpoint, variant, one, policies[one.name]) for one in directions}
        return StepScalingResources(policies=policies, alarms=alarms)

    def _policy(self, target: appautoscaling.Target, direction: Direction) -> appautoscaling.Policy:
        from pulumi_aws import appautoscaling

        return appautoscaling.Policy(
            self.child(direction.name),
            name=self.child(direction.name),
            policy_type="StepScaling",
            resource_id=target.resource_id,
            scalable_dimension=target.scalable_dimension,
            service_namespace=target.service_namespace,
            step_scaling_policy_configuration=appautoscaling.PolicyStepScalingPolicyConfigurationArgs(
                adjustment_type="ChangeInCapacity",
                metric_aggregation_type="Average",
                cooldown=COOLDOWN[direction.name],
                step_adjustments=[
                    appautoscaling.PolicyStepScalingPolicyConfigurationStepAdjustmentArgs(
                        scaling_adjustment=one.replicas,
                        metric_interval_lower_bound=None if one.low is None else f"{one.low:g}",
                        metric_interval_upper_bound=None if one.high is None else f"{one.high:g}",
                    )
                    for one in direction.adjustments
                ],
            ),
            opts=self.options(),
        )

    def _alarm(
        self, endpoint: pulumi.Input[str], variant: str, direction: Direction, policy: appautoscaling.Policy
    ) -> cloudwatch.MetricAlarm:
        from pulumi_aws import cloudwatch

        word = "more" if direction.name == "out" else "less"
        return cloudwatch.MetricAlarm(
            self.child(f"{direction.name}-load"),
            name=pulumi.Output.concat(endpoint, "-scale-", direction.name),
            alarm_description=f"{word} than {direction.threshold:g} requests a minute and instance",
            namespace="AWS/SageMaker",
            metric_name="InvocationsPerInstance",
            dimensions={"EndpointName": endpoint, "VariantName": variant},
            statistic="Sum",
            period=MINUTE,
            evaluation_periods=MINUTES[direction.name],
            comparison_operator="GreaterThanThreshold" if direction.name == "out" else "LessThanThreshold",
            threshold=direction.threshold,
            # Where nobody asks there is no datapoint, and servers to spare.
            treat_missing_data="notBreaching" if direction.name == "out" else "breaching",
            alarm_actions=[policy.arn],
            tags=self.tags(f"{direction.name}-load"),
            opts=self.options(),
        )
