"""What a training job writes while it trains, from CloudWatch Logs, each line once.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/logging-cloudwatch.html: one stream for each start of each host.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from infra.aws_session import AwsSession

GROUP = "/aws/sagemaker/TrainingJobs"
MOST_LINES = 200
"""Of a stream, at one look."""


@dataclass
class TrainingLog:
    """Reads on where it stopped. Whoever may not read the log, or has none, gets no lines: it is for people only."""

    session: AwsSession
    job: str
    _read: dict[str, str] = field(default_factory=dict)

    def new_lines(self) -> list[str]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return self._look()
        except (ClientError, BotoCoreError):
            return []

    def _look(self) -> list[str]:
        api: Any = self.session.client("logs")
        found = api.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=f"{self.job}/")
        lines: list[str] = []
        for stream in found["logStreams"]:
            name = stream["logStreamName"]
            since = {"nextToken": self._read[name]} if name in self._read else {}
            answer = api.get_log_events(
                logGroupName=GROUP, logStreamName=name, startFromHead=True, limit=MOST_LINES, **since
            )
            self._read[name] = answer["nextForwardToken"]
            lines += [str(event["message"]).rstrip() for event in answer["events"]]
        return lines
