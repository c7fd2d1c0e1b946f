"""What CloudWatch refuses of questions about metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.rehearsal.cloud.aws.calls import ApiCall
from infra.rehearsal.cloud.aws.refusals.row import Found, RefusalExample, RefusalRow

if TYPE_CHECKING:
    from infra.rehearsal.cloud.aws.overlay.base import Surroundings

LIMIT = 1440
ASKED = {
    "Namespace": "AWS/SageMaker",
    "MetricName": "Invocations",
    "StartTime": "2026-11-28T00:00:00Z",
    "Period": 60,
    "Statistics": ["Sum"],
}


def _too_many(account: Surroundings, call: ApiCall) -> Found:
    """Counted in AWS's periods, whatever the pace: what works here is to work there."""
    asked = call.parameters
    count = (asked["EndTime"] - asked["StartTime"]).total_seconds() / asked["Period"]
    return {"count": int(count)} if count > LIMIT else None


ROWS = (
    RefusalRow(
        service="monitoring",
        operation="GetMetricStatistics",
        when="it is for more than 1440 datapoints",
        code="InvalidParameterCombination",
        words="You have requested up to {count} datapoints, which exceeds the limit of 1440. You may reduce the "
        "datapoints requested by increasing Period, or decreasing the time range.",
        source="https://github.com/cloud-custodian/cloud-custodian/issues/7683",
        label="recorded",
        example=RefusalExample(
            refused={**ASKED, "EndTime": "2026-11-29T00:01:00Z"},
            passes={**ASKED, "EndTime": "2026-11-29T00:00:00Z"},
        ),
        find=_too_many,
    ),
)
