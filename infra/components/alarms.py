"""CloudWatch alarms on an endpoint: the share of failed requests, and the model's p99 latency.

Metrics: https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi

from infra.component import Component, require
from infra.spec import AlarmSpec
from infra.tags import Tags

if TYPE_CHECKING:
    from pulumi_aws import cloudwatch

NAMESPACE = "AWS/SageMaker"
PERIOD_SECONDS = 60
PERIODS = 2
"""Two bad minutes in a row: one lost request of ten must not turn a release back."""


@dataclass(frozen=True, kw_only=True)
class AlarmsResources:
    """What an Alarms is made of; None where the spec sets no limit."""

    error_rate: cloudwatch.MetricAlarm | None
    p99: cloudwatch.MetricAlarm | None


def alarm_names(endpoint: str, alarms: AlarmSpec) -> tuple[str, ...]:
    """The alarms' names, known without a stack: a deployment names them as its guardrail."""
    limits = {"error-rate": alarms.error_rate, "p99": alarms.p99_ms}
    return tuple(f"{endpoint}-{name}" for name, limit in limits.items() if limit is not None)


class Alarms(Component):
    """Alarms of one variant. No data counts as good: a quiet endpoint is not a broken one."""

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        endpoint: str,
        variant: str,
        alarms: AlarmSpec,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        require(
            "Alarms",
            {
                f"error_rate: expected a share between 0 and 1, got {alarms.error_rate}": alarms.error_rate
                is not None
                and not 0 < alarms.error_rate <= 1,
                f"p99_ms: must be more than 0, got {alarms.p99_ms}": alarms.p99_ms is not None
                and alarms.p99_ms <= 0,
            },
        )
        super().__init__(name, project_tags=project_tags, opts=opts)
        dimensions = {"EndpointName": endpoint, "VariantName": variant}
        self.resources = AlarmsResources(
            error_rate=self._alarm(
                "error-rate",
                alarms.error_rate,
                name=f"{endpoint}-error-rate",
                alarm_description=f"More than {alarms.error_rate or 0:.2%} of requests to {endpoint} fail",
                # Each request sends 1 (a 5xx) or 0, so the average is the share that failed.
                metric_name="Invocation5XXErrors",
                statistic="Average",
                dimensions=dimensions,
            ),
            p99=self._alarm(
                "p99",
                # ModelLatency is in microseconds.
                alarms.p99_ms and alarms.p99_ms * 1000,
                name=f"{endpoint}-p99",
                alarm_description=f"One in a hundred answers of {endpoint} takes more than {alarms.p99_ms or 0:g} ms",
                metric_name="ModelLatency",
                extended_statistic="p99",
                dimensions=dimensions,
            ),
        )
        self.names = alarm_names(endpoint, alarms)
        self.register_outputs({"names": list(self.names)})

    def _alarm(self, suffix: str, limit: float | None, **more: Any) -> cloudwatch.MetricAlarm | None:
        from pulumi_aws import cloudwatch

        if limit is None:
            return None
        return cloudwatch.MetricAlarm(
            self.child(suffix),
            namespace=NAMESPACE,
            comparison_operator="GreaterThanThreshold",
            threshold=limit,
            period=PERIOD_SECONDS,
            evaluation_periods=PERIODS,
            treat_missing_data="notBreaching",
            tags=self.tags(suffix),
            opts=self.options(),
            **more,
        )
