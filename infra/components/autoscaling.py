"""Replicas of an endpoint by load, and more of them for the days of a sale."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pulumi

from infra.component import Component, require
from infra.recurring import is_running, write_cron
from infra.spec import BusyHours, ScaleSpec
from infra.tags import Tags

if TYPE_CHECKING:
    from pulumi_aws import appautoscaling

NAMESPACE = "sagemaker"
DIMENSION = "sagemaker:variant:DesiredInstanceCount"
METRIC = "SageMakerVariantInvocationsPerInstance"
"""Requests per instance and minute (https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling.html)."""
CONCURRENCY = "SageMakerVariantConcurrentRequestsPerModelHighResolution"
"""Requests under way or waiting, per instance, every ten seconds (the same guide)."""
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
    """A change of the range at a point in time, or each week; `schedule` in Application Auto Scaling's form."""

    name: str
    schedule: str
    min: int
    max: int
    time_zone: str = "UTC"


def minimum(scale: ScaleSpec, now: datetime) -> int:
    """The least number of replicas at `now`: during a sale the sale's.

    A sale's scheduled action moves the target's own range, so an `up` in the middle of it must declare that
    range, or it would take the replicas away.
    """
    windows = (window.min for window in scale.schedule if window.start <= now < window.end)
    return max([scale.min, *windows, *(one.min for one in scale.recurring if is_running(one, now))])


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
    return (*found, *(moment for hours in scale.recurring for moment in weekly(scale, hours)))


def weekly(scale: ScaleSpec, hours: BusyHours) -> tuple[Moment, ...]:
    """Both ends; no other schedule runs then (stacks/reading/schedule_rules.py)."""
    begin, end = write_cron(hours)
    most, zone = max(scale.max, hours.min), hours.time_zone
    return (
        Moment(name=f"{hours.name}-begin", schedule=begin, min=hours.min, max=most, time_zone=zone),
        Moment(name=f"{hours.name}-end", schedule=end, min=scale.min, max=scale.max, time_zone=zone),
    )


def find_aim(scale: ScaleSpec) -> tuple[str, float] | None:
    """The metric to hold, and the value to hold it at; None where no load is given to aim at."""
    if scale.target_rps is not None:
        return METRIC, scale.target_rps * 60
    return None if scale.target_concurrency is None else (CONCURRENCY, scale.target_concurrency)


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
        names = [*(one.name for one in scale.schedule), *(one.name for one in scale.recurring)]
        require(
            "Autoscaling",
            {
                f"min ({scale.min}) is more than max ({scale.max})": scale.min > scale.max,
                f"target_rps: must be more than 0, got {scale.target_rps}": (scale.target_rps or 1) <= 0,
                "target_rps, target_concurrency and steps: give one of them": sum(
                    map(bool, (scale.target_rps, scale.target_concurrency, scale.steps))
                )
                > 1,
                "schedule: names must differ": len(names) != len(set(names)),
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
        policy = self._policy(target, *aim) if (aim := find_aim(scale)) else None
        actions = tuple(self._action(target, moment) for moment in moments(scale, now))
        return AutoscalingResources(target=target, policy=policy, actions=actions)

    def _policy(self, target: appautoscaling.Target, metric: str, value: float) -> appautoscaling.Policy:
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
                    target_value=value,
                    predefined_metric_specification=(
                        appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationPredefinedMetricSpecificationArgs(
                            predefined_metric_type=metric
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
            timezone=moment.time_zone,
            scalable_target_action=appautoscaling.ScheduledActionScalableTargetActionArgs(
                min_capacity=moment.min, max_capacity=moment.max
            ),
            opts=self.options(),
        )
