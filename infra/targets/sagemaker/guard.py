"""CloudWatch beside an endpoint: what its alarms say and said, and how many requests a configuration was asked.

Sources: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html,
API_DescribeAlarmHistory, API_SetAlarmState, API_GetMetricStatistics, API_GetMetricData; the dimension
EndpointConfigName, which tells the fleets of an update apart: https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-configuration.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

from infra.aws_session import refusals
from infra.spec import ALARM_PERIOD
from infra.targets.guard import AlarmState, Figures
from infra.targets.sagemaker.names import VARIANT
from infra.targets.sagemaker.shadow import SeenShadow

ALARM = "ALARM"
WATCHED = {
    "requests": ("Invocations", "Sum"),
    "errors": ("Invocation5XXErrors", "Sum"),
    "latency": ("ModelLatency", "p99"),
}
"""What is measured of a configuration. ModelLatency is in microseconds."""


@dataclass(frozen=True)
class CloudWatchGuard:
    """`infra.targets.guard.Guard` over boto's CloudWatch client. `find_shadow`: the release that gets copies of an
    endpoint's requests, if one does: it is counted by its variant, and what serves by another configuration."""

    api: Any
    find_shadow: Callable[[str], SeenShadow | None] = lambda endpoint: None

    def states(self, names: Sequence[str]) -> tuple[AlarmState, ...]:
        if not names:
            return ()
        with refusals(f"asking CloudWatch about {', '.join(names)}"):
            told = self.api.describe_alarms(AlarmNames=list(names))["MetricAlarms"]
        return tuple(
            AlarmState(
                name=one["AlarmName"],
                ringing=one["StateValue"] == ALARM,
                reason=one.get("StateReason", ""),
                at=one.get("StateUpdatedTimestamp"),
            )
            for one in told
        )

    def find_rung(self, names: Sequence[str], since: datetime) -> tuple[AlarmState, ...]:
        return tuple(found for name in names if (found := self._last_ring(name, since)))

    def count_requests(self, endpoint: str, revision: str, since: datetime) -> int:
        until = datetime.now(UTC) + timedelta(seconds=ALARM_PERIOD)
        (dimensions, *_) = places_of(endpoint, revision, self.find_shadow(endpoint))
        with refusals(f"asking CloudWatch how many requests {revision} was asked"):
            told = self.api.get_metric_statistics(
                Namespace="AWS/SageMaker",
                MetricName="Invocations",
                Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
                StartTime=since,
                EndTime=until,
                Period=period_of(until - since),
                Statistics=["Sum"],
            )
        return sum(round(float(point["Sum"])) for point in told["Datapoints"])

    def measure(
        self, endpoint: str, revisions: Sequence[str], since: datetime
    ) -> Mapping[str, tuple[Figures, ...]]:
        until = datetime.now(UTC) + timedelta(seconds=ALARM_PERIOD)
        shadow = self.find_shadow(endpoint)
        places = [(one, place) for one in revisions for place in places_of(endpoint, one, shadow)]
        asked = {
            f"{what}{number}": query(place, *WATCHED[what], period_of(until - since))
            for number, (_, place) in enumerate(places)
            for what in WATCHED
        }
        told: dict[str, dict[datetime, float]] = {name: {} for name in asked}
        with refusals(f"asking CloudWatch what came to {endpoint}"):
            pages = self.api.get_paginator("get_metric_data").paginate(
                MetricDataQueries=[{"Id": name, **one} for name, one in asked.items()],
                StartTime=since,
                EndTime=until,
            )
            for result in (one for page in pages for one in page["MetricDataResults"]):
                told[result["Id"]] |= dict(zip(result["Timestamps"], result["Values"], strict=True))
        found: dict[str, dict[datetime, Figures]] = {revision: {} for revision in revisions}
        for number, (revision, _) in enumerate(places):
            for at, count in told[f"requests{number}"].items():
                one = Figures(
                    at=at,
                    requests=round(count),
                    errors=round(told[f"errors{number}"].get(at, 0)),
                    p99_ms=None if (p99 := told[f"latency{number}"].get(at)) is None else p99 / 1000,
                )
                before = found[revision].get(at)
                found[revision][at] = one if before is None else before.beside(one)
        return {revision: tuple(by[at] for at in sorted(by)) for revision, by in found.items()}

    def ring(self, names: Sequence[str], reason: str) -> bool:
        for one in self.states(names):
            with refusals(f"ringing {one.name}"):
                self.api.set_alarm_state(AlarmName=one.name, StateValue=ALARM, StateReason=reason)
            return True
        return False

    def _last_ring(self, name: str, since: datetime) -> AlarmState | None:
        """The newest change into ALARM; the history keeps the alarm's words in its data."""
        with refusals(f"asking CloudWatch what {name} did"):
            pages = self.api.get_paginator("describe_alarm_history").paginate(
                AlarmName=name,
                HistoryItemType="StateUpdate",
                StartDate=since,
                EndDate=datetime.now(UTC) + timedelta(seconds=ALARM_PERIOD),
            )
            items = [item for page in pages for item in page["AlarmHistoryItems"]]
        for item in sorted(items, key=lambda one: one["Timestamp"], reverse=True):
            state = json.loads(item["HistoryData"]).get("newState", {})
            if state.get("stateValue") == ALARM:
                return AlarmState(
                    name=name, ringing=True, reason=state.get("stateReason", ""), at=item["Timestamp"]
                )
        return None


def places_of(endpoint: str, revision: str, shadow: SeenShadow | None) -> tuple[dict[str, str], ...]:
    """By which dimensions what came to a revision is counted, the one that counts now first."""
    own = {"EndpointName": endpoint, "VariantName": VARIANT, "EndpointConfigName": revision}
    if shadow is None or revision not in (shadow.old, shadow.new):
        return (own,)
    if revision == shadow.new:
        copies = {"EndpointName": endpoint, "VariantName": shadow.variant}
        return (own,) if shadow.left else (copies,)
    return ({**own, "EndpointConfigName": shadow.configuration}, own)


def query(dimensions: Mapping[str, str], metric: str, statistic: str, period: int) -> dict[str, Any]:
    """One metric of what has these dimensions, for GetMetricData."""
    return {
        "MetricStat": {
            "Metric": {
                "Namespace": "AWS/SageMaker",
                "MetricName": metric,
                "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
            },
            "Period": period,
            "Stat": statistic,
        }
    }


def period_of(span: timedelta) -> int:
    """Seconds: an answer has at most 1440 datapoints, and those of a minute are kept for 15 days."""
    period = ALARM_PERIOD * ceil(span / timedelta(minutes=1440))
    return period if span < timedelta(days=15) else 300 * ceil(period / 300)
