"""What an endpoint's servers wrote: CloudWatch Logs, one stream for each instance of a variant.

Sources: https://docs.aws.amazon.com/sagemaker/latest/dg/logging-cloudwatch.html, and API_DescribeLogStreams and
API_GetLogEvents of CloudWatch Logs.
"""

from __future__ import annotations

from typing import Any

from infra.aws_session import refusals
from infra.targets.sagemaker.names import log_group

STREAMS = 20
"""How many of the streams that were written to last are read."""


def tail(api: Any, endpoint: str, lines: int) -> list[str]:
    """The last lines of all of them, by time. Raises CloudRefused (credentials), EcomdeployError (no such group)."""
    group = log_group(endpoint)
    with refusals(f"reading {group}"):
        streams = api.describe_log_streams(
            logGroupName=group, orderBy="LastEventTime", descending=True, limit=STREAMS
        )["logStreams"]
        events = [
            event
            for stream in streams
            for event in api.get_log_events(
                logGroupName=group, logStreamName=stream["logStreamName"], limit=lines, startFromHead=False
            )["events"]
        ]
    events.sort(key=lambda event: int(event["timestamp"]))
    return [str(event["message"]).rstrip() for event in events[-lines:]]
