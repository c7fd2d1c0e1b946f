"""What a change of an alarm's state sets off: notices to SNS topics, told in the alarm's history.

Source: "Alarm actions" (documented); the form of the notice is recorded from published notifications.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from infra.rehearsal.cloud.addresses import ACCOUNT
from infra.rehearsal.cloud.aws.watching.reasons import stamp

ACTIONS = {"OK": "ok_actions", "ALARM": "alarm_actions", "INSUFFICIENT_DATA": "insufficient_data_actions"}


@dataclass(frozen=True, kw_only=True)
class LeftState:
    """The state that an alarm leaves."""

    region: str
    state: str
    reason: str
    data: str

    @classmethod
    def before(cls, region: str, alarm: Any) -> LeftState:
        return cls(
            region=region,
            state=alarm.state_value,
            reason=alarm.state_reason,
            data=alarm.state_reason_data or "{}",
        )

    def as_data(self, alarm: Any) -> dict[str, Any]:
        """HistoryData of a StateUpdate."""
        return {
            "version": "1.0",
            "oldState": _state(self.state, self.reason, self.data),
            "newState": _state(alarm.state_value, alarm.state_reason, alarm.state_reason_data or "{}"),
        }


def notify(old: LeftState, alarm: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Carry out the actions of the alarm's new state; the history's summary and data of each."""
    if not alarm.actions_enabled:
        return
    for action in getattr(alarm, ACTIONS[alarm.state_value]) or ():
        failure = (
            _publish(action, old, alarm) if ":sns:" in action else "only topics of SNS are acted upon here"
        )
        done = "Failed to execute" if failure else "Successfully executed"
        told = {"actionState": "Failed" if failure else "Succeeded", "notificationResource": action}
        if failure:
            told["error"] = failure
        yield f"{done} action {action}", told


def _publish(topic: str, old: LeftState, alarm: Any) -> str:
    """Why the notice could not be published; "" when it was."""
    from moto.sns.models import sns_backends

    region = topic.split(":")[3]
    subject = f'{alarm.state_value}: "{alarm.name}" in {old.region}'
    try:
        sns_backends[ACCOUNT][region].publish(
            json.dumps(notice(old, alarm)), arn=topic, subject=subject[:100]
        )
    except Exception as error:  # a topic that is not there, or a subscriber who cannot be reached
        return str(error) or type(error).__name__
    return ""


def notice(old: LeftState, alarm: Any) -> dict[str, Any]:
    """The message of a notification."""
    return {
        "AlarmName": alarm.name,
        "AlarmDescription": alarm.description,
        "AWSAccountId": ACCOUNT,
        "AlarmConfigurationUpdatedTimestamp": stamp(alarm.configuration_updated_timestamp),
        "NewStateValue": alarm.state_value,
        "NewStateReason": alarm.state_reason,
        "StateChangeTime": stamp(alarm.state_updated_timestamp),
        "Region": old.region,
        "AlarmArn": alarm.alarm_arn,
        "OldStateValue": old.state,
        "OKActions": alarm.ok_actions or [],
        "AlarmActions": alarm.alarm_actions or [],
        "InsufficientDataActions": alarm.insufficient_data_actions or [],
        "Trigger": {
            "MetricName": alarm.metric_name,
            "Namespace": alarm.namespace,
            "StatisticType": "ExtendedStatistic" if alarm.extended_statistic else "Statistic",
            "Statistic": alarm.extended_statistic or (alarm.statistic or "").upper(),
            "Unit": alarm.unit,
            "Dimensions": [{"value": one.value, "name": one.name} for one in alarm.dimensions],
            "Period": alarm.period,
            "EvaluationPeriods": alarm.evaluation_periods,
            "DatapointsToAlarm": alarm.datapoints_to_alarm or alarm.evaluation_periods,
            "ComparisonOperator": alarm.comparison_operator,
            "Threshold": alarm.threshold,
            "TreatMissingData": alarm.treat_missing_data or "missing",
            "EvaluateLowSampleCountPercentile": alarm.evaluate_low_sample_count_percentile or "",
        },
    }


def _state(value: str, reason: str, data: str) -> dict[str, Any]:
    return {"stateValue": value, "stateReason": reason, "stateReasonData": json.loads(data or "{}")}
