"""What a training container writes, as CloudWatch Logs has it: one group for all jobs, a stream for each host.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/logging-cloudwatch.html.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from infra.rehearsal.cloud.addresses import ACCOUNT
from infra.rehearsal.cloud.aws.training.job import TrainingJob

GROUP = "/aws/sagemaker/TrainingJobs"
MOST_LINES = 2_000
"""At a time: more are left out."""
LONGEST = 10_000


class WrittenLog:
    """The log of one start of a container: what is new in its file goes to the stream."""

    def __init__(self, job: TrainingJob, file: Path) -> None:
        self.region, self.file, self.read = job.region, file, 0
        self.stream = f"{job.name}/algo-1-{int(time.time())}"

    def new_lines(self) -> list[str]:
        """Whole lines since the last look."""
        try:
            with self.file.open("rb") as opened:
                opened.seek(self.read)
                whole = opened.read().rpartition(b"\n")[0]
        except OSError:
            return []
        self.read += len(whole) + 1 if whole else 0
        lines = whole.decode("utf-8", "replace").splitlines()
        return [line[:LONGEST] for line in lines if line.strip()][:MOST_LINES]

    def write(self, lines: list[str]) -> None:
        """To the stream. The caller holds the account's lock."""
        from moto.logs.models import logs_backends

        backend: Any = logs_backends[ACCOUNT][self.region]
        if GROUP not in backend.groups:
            backend.create_log_group(GROUP, {})
        if self.stream not in backend.groups[GROUP].streams:
            backend.create_log_stream(GROUP, self.stream)
        at = int(time.time() * 1000)
        backend.put_log_events(GROUP, self.stream, [{"timestamp": at, "message": line} for line in lines])
