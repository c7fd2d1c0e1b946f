"""Replicas of an endpoint by load, and more of them for the days of a sale."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pulumi

from infra.component import Component, require
from infra.spec import ScaleSpec
from infra.tags import Tags

if TYPE_CHECKING:
    from pulumi_aws import appautoscaling

NAMESPACE = "sagemaker"
DIMENSION = "sagemaker:variant:DesiredInstanceCount"
METRIC = "SageMakerVariantInvocationsPerInstance"
"""Requests per instance and minute (https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling.html)."""
SCALE_OUT_SECONDS = 60
SCALE_IN_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class AutoscalingResources:
    """What an Autoscaling is made of; `policy` is None where no load is given to aim at."""

    target: appautoscaling.Target
    policy: appautoscaling.Policy | None
    actions: tuple[appautoscaling.ScheduledAction, ...]


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A change of the range at a point in time; `schedule` in Application Auto Scaling's form, UTC."""

    name: str
    schedule: str
    min: int
    max: int


def minimum(scale: ScaleSpec, now: datetime) -> int:
    """The least number of replicas at `now`: during a sale the sale's.

    A sale's scheduled action moves the target's own range, so an `up` in the middle of it must declare that
    range, or it would take the replicas away.
    """
    return max([scale.min, *(window.min for window in scale.schedule if window.start <= now < window.end)])


def moments(scale: ScaleSpec, now: datetime) -> tuple[Moment, ...]:
    """The changes still to come, at each sale's two ends; of overlapping sales the highest minimum."""
    found = []
    for window in scale.schedule:
        for edge, at in (("begin", window.start), ("end", window.end)):
            if at > now:
                low = minimum(scale, at)
                when = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
                found.append(
                    Moment(
                        name=f"{window.name}-{edge}", schedule=f"at({when})", min=low, max=max(scale.max, low)
                    )
                )
    return tuple(found)


class Autoscaling(Component):
    """Scales one variant of a SageMaker endpoint. `endpoint`: the resource's own output."""

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        endpoint: pulumi.Input[str],
        variant: str,
        scale: ScaleSpec,
        now: datetime,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        require(
            "Autoscaling",
            {
                f"min ({scale.min}) is more than max ({scale.max})": scale.min > scale.max,
                f"target_rps: must be more than 0, got {scale.target_rps}": (scale.target_rps or 1) <= 0,
                "schedule: names must differ": len({one.name for one in scale.schedule})
                != len(scale.schedule),
                **{
                    f"schedule {one.name}: ends before it begins": one.end <= one.start
                    for one in scale.schedule
                },
            },
        )
        super().__init__(name, project_tags=project_tags, opts=opts)
        self.resources = self._create(endpoint, variant, scale, now)
        self.register_outputs({"target": self.resources.target.resource_id})

    def _create(
        self, endpoint: pulumi.Input[str], variant: str, scale: ScaleSpec, now: datetime
    ) -> AutoscalingResources:
        from pulumi_aws import appautoscaling

        low = minimum(scale, now)
        target = appautoscaling.Target(
            self.name,
            resource_id=pulumi.Output.concat("endpoint/", endpoint, "/variant/", variant),
            scalable_dimension=DIMENSION,
            service_namespace=NAMESPACE,
            min_capacity=low,
            max_capacity=max(scale.max, low),
            tags=self.tags(),
            opts=self.options(),
        )
        policy = None if scale.target_rps is None else self._policy(target, scale.target_rps)
        actions = tuple(self._action(target, moment) for moment in moments(scale, now))
        return AutoscalingResources(target=target, policy=policy, actions=actions)

    def _policy(self, target: appautoscaling.Target, target_rps: float) -> appautoscaling.Policy:
        from pulumi_aws import appautoscaling

        return appautoscaling.Policy(
            self.child("load"),
            name=self.child("load"),
            policy_type="TargetTrackingScaling",
            resource_id=target.resource_id,
            scalable_dimension=target.scalable_dimension,
            service_namespace=target.service_namespace,
            target_tracking_scaling_policy_configuration=(
                appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationArgs(
                    target_value=target_rps * 60,
                    predefined_metric_specification=(
                        appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationPredefinedMetricSpecificationArgs(
                            predefined_metric_type=METRIC
                        )
                    ),
                    scale_out_cooldown=SCALE_OUT_SECONDS,
                    scale_in_cooldown=SCALE_IN_SECONDS,
                )
            ),
            opts=self.options(),
        )

    def _action(self, target: appautoscaling.Target, moment: Moment) -> appautoscaling.ScheduledAction:
        from pulumi_aws import appautoscaling

        return appautoscaling.ScheduledAction(
            self.child(moment.name),
            name=self.child(moment.name),
            resource_id=target.resource_id,
            scalable_dimension=target.scalable_dimension,
            service_namespace=target.service_namespace,
            schedule=moment.schedule,
            timezone="UTC",
            scalable_target_action=appautoscaling.ScheduledActionScalableTargetActionArgs(
                min_capacity=moment.min, max_capacity=moment.max
            ),
            opts=self.options(),
        )
