"""CloudWatch alarms: the share of failed requests, the model's p99 latency, the model's own errors, the use case's own
guardrails. On all that an endpoint answers, or on what one release answers alone (`ReleaseAlarms`): the dimension
EndpointConfigName tells the fleets of an update apart, and with it a tenth of the traffic is judged by itself
(https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-configuration.html).

Each is a line of metric math over a minute, so that a minute with few requests says nothing: one failed request of two
is no reason to turn a release back. Metrics: https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html;
the functions: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pulumi

from infra.component import Component, require
from infra.spec import ALARM_PERIOD, AlarmSpec
from infra.tags import Tags
from modelpack.server.metric_names import ANSWERS, DIMENSION
from modelpack.server.metric_names import NAMESPACE as SERVER

if TYPE_CHECKING:
    from pulumi_aws import cloudwatch, sns

NAMESPACE = "AWS/SageMaker"
SHARE = "IF(requests >= {least}, errors / requests, 0)"
LATENCY = "IF(requests >= {least}, latency, 0)"
REQUESTS = ("requests", "Invocations", "Sum")
LOOKED_AT = ("requests", ANSWERS, "Sum")
"""Of guardrails: the answers that the server looked at (modelpack/server/guardrails.py)."""


@dataclass(frozen=True)
class Watched:
    """One alarm: what is summed up (id, metric, statistic) beside the requests, the line of metric math, the limit;
    `counted` are the requests, and `by_server` tells that the server's own metrics are meant."""

    suffix: str
    metric: tuple[str, str, str]
    expression: str
    limit: float
    description: str
    counted: tuple[str, str, str] = REQUESTS
    by_server: bool = False


def list_watched(endpoint: str, alarms: AlarmSpec) -> tuple[Watched, ...]:
    """The alarms that a spec asks for."""
    found = []
    if alarms.error_rate is not None:
        what = f"More than {alarms.error_rate:.2%} of requests to {endpoint} fail"
        errors = ("errors", "Invocation5XXErrors", "Sum")
        found.append(Watched("error-rate", errors, SHARE, alarms.error_rate, what))
    if alarms.p99_ms is not None:
        what = f"One in a hundred answers of {endpoint} takes more than {alarms.p99_ms:g} ms"
        # ModelLatency is in microseconds.
        found.append(Watched("p99", ("latency", "ModelLatency", "p99"), LATENCY, alarms.p99_ms * 1000, what))
    if alarms.model_error_rate is not None:
        what = f"The model of {endpoint} answers more than {alarms.model_error_rate:.2%} with an error"
        errors = ("errors", "InvocationModelErrors", "Sum")
        found.append(Watched("model-errors", errors, SHARE, alarms.model_error_rate, what))
    return tuple(found)


def list_guardrails(endpoint: str, limits: Mapping[str, float]) -> tuple[Watched, ...]:
    """The alarms on a use case's guardrails, by their limits."""
    return tuple(
        Watched(
            suffix=name.replace("_", "-"),
            metric=("errors", name, "Sum"),
            expression=SHARE,
            limit=limit,
            description=f"More than {limit:.2%} of the answers of {endpoint} are on the wrong side of {name}",
            counted=LOOKED_AT,
            by_server=True,
        )
        for name, limit in sorted(limits.items())
    )


def alarm_names(prefix: str, watched: Sequence[Watched]) -> tuple[str, ...]:
    """The alarms' names, known without a stack: a deployment names them as its guardrail."""
    return tuple(f"{prefix}-{one.suffix}" for one in watched)


@dataclass(frozen=True, kw_only=True)
class AlarmsResources:
    """What an Alarms is made of. `topic`: None unless the spec wants one of the service's own."""

    alarms: Mapping[str, cloudwatch.MetricAlarm]
    topic: sns.Topic | None


class Alarms(Component):
    """Alarms of one variant, whichever release answers. No data is no alarm: a quiet endpoint is not a broken one, and
    whether a bake without data is passed, the rollout decides (`AlarmSpec.no_data`)."""

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
        check_limits(alarms)
        super().__init__(name, project_tags=project_tags, opts=opts)
        topic = self._topic(endpoint) if alarms.topic == "own" else None
        self.told: list[pulumi.Input[str]] = [topic.arn] if topic else [alarms.topic] if alarms.topic else []
        watched = list_watched(endpoint, alarms)
        dimensions = {"EndpointName": endpoint, "VariantName": variant}
        self.resources = AlarmsResources(
            alarms=declare_alarms(self, endpoint, watched, dimensions, alarms, self.told), topic=topic
        )
        self.names = alarm_names(endpoint, watched)
        self.register_outputs({"names": list(self.names)})

    def _topic(self, endpoint: str) -> sns.Topic:
        from pulumi_aws import sns

        return sns.Topic(
            self.child("topic"), name=f"{endpoint}-alarms", tags=self.tags("topic"), opts=self.options()
        )


@dataclass(frozen=True, kw_only=True)
class ReleaseAlarmsResources:
    """What a ReleaseAlarms is made of."""

    alarms: Mapping[str, cloudwatch.MetricAlarm]


class ReleaseAlarms(Component):
    """The same alarms on what one release answers alone, and those of its guardrails. `configuration`: the name of the
    endpoint configuration that tells it from others of the variant, "" where it has the variant to itself;
    `counted_as`: by what name its servers know it; `limits`: of its guardrails, by name; `told`: ARNs of topics."""

    type_name: ClassVar[str] = "ReleaseAlarms"

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        prefix: str,
        endpoint: str,
        variant: str,
        counted_as: str,
        configuration: str = "",
        alarms: AlarmSpec,
        limits: Mapping[str, float],
        told: Sequence[pulumi.Input[str]] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        check_limits(alarms)
        super().__init__(name, project_tags=project_tags, opts=opts)
        watched = (*list_watched(endpoint, alarms), *list_guardrails(endpoint, limits))
        dimensions = {"EndpointName": endpoint, "VariantName": variant}
        dimensions |= {DIMENSION: configuration} if configuration else {}
        made = declare_alarms(self, prefix, watched, dimensions, alarms, list(told), counted_as)
        self.resources = ReleaseAlarmsResources(alarms=made)
        self.names = alarm_names(prefix, watched)
        self.register_outputs({"names": list(self.names)})


def check_limits(alarms: AlarmSpec) -> None:
    """Raises BadInput."""
    rate, p99 = alarms.error_rate, alarms.p99_ms
    require(
        "Alarms",
        {
            f"error_rate: expected a share between 0 and 1, got {rate}": rate is not None
            and not 0 < rate <= 1,
            f"p99_ms: must be more than 0, got {p99}": p99 is not None and p99 <= 0,
        },
    )


def declare_alarms(
    component: Component,
    prefix: str,
    watched: Sequence[Watched],
    dimensions: Mapping[str, str],
    alarms: AlarmSpec,
    told: list[pulumi.Input[str]],
    counted_as: str = "",
) -> dict[str, cloudwatch.MetricAlarm]:
    """One alarm for each, by its suffix. What the server counts has the release's name for its only dimension."""
    from pulumi_aws import cloudwatch

    made = {}
    for one in watched:
        where = (SERVER, {DIMENSION: counted_as}) if one.by_server else (NAMESPACE, dict(dimensions))
        math = cloudwatch.MetricAlarmMetricQueryArgs(
            id="watched",
            expression=one.expression.format(least=alarms.min_requests),
            label=one.suffix,
            return_data=True,
        )
        made[one.suffix] = cloudwatch.MetricAlarm(
            component.child(one.suffix),
            name=f"{prefix}-{one.suffix}",
            alarm_description=one.description,
            metric_queries=[math, query(one.counted, *where), query(one.metric, *where)],
            comparison_operator="GreaterThanThreshold",
            threshold=one.limit,
            evaluation_periods=alarms.periods,
            treat_missing_data="notBreaching",
            alarm_actions=told or None,
            ok_actions=told or None,
            tags=component.tags(one.suffix),
            opts=component.options(),
        )
    return made


def query(wanted: tuple[str, str, str], namespace: str, dimensions: dict[str, str]) -> Any:
    """Id, metric and statistic, as an alarm asks for it."""
    from pulumi_aws import cloudwatch

    name, metric, statistic = wanted
    return cloudwatch.MetricAlarmMetricQueryArgs(
        id=name,
        return_data=False,
        metric=cloudwatch.MetricAlarmMetricQueryMetricArgs(
            namespace=namespace,
            metric_name=metric,
            dimensions=dimensions,
            period=ALARM_PERIOD,
            stat=statistic,
        ),
    )
