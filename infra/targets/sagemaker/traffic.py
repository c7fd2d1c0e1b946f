"""The acting side of SageMaker: one object over shift.py, observe.py and invoke.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from infra.aws_session import AwsSession
from infra.targets.base import JSON, Answer, Clock, Look, Observation, look_away
from infra.targets.guard import Guard
from infra.targets.moves import ShiftPolicy
from infra.targets.sagemaker import invoke, logs, observe, shift
from infra.targets.sagemaker.guard import CloudWatchGuard
from modelpack.progress import Progress


@dataclass
class SageMakerTraffic:
    """`infra.targets.base.Traffic` over one AWS session."""

    session: AwsSession
    clock: Clock = field(default_factory=Clock)

    @property
    def guard(self) -> Guard:
        return CloudWatchGuard(self.session.client("cloudwatch"))

    def observe(self, endpoint: str) -> Observation:
        return observe.observe(self._control, endpoint)

    def obstacles(self, revision: str) -> tuple[str, ...]:
        registry, iam = self.session.client("ecr"), self.session.client("iam")
        return observe.obstacles(self._control, registry, iam, revision)

    def prepare(self, endpoint: str, revision: str, progress: Progress, deadline: float) -> bool:
        """Nothing of a configuration runs before an endpoint is put on it."""
        return False

    def shift(self, endpoint: str, revision: str, policy: ShiftPolicy) -> bool:
        return shift.shift(self._control, endpoint, revision, policy)

    def wait(
        self, endpoint: str, revision: str, progress: Progress, deadline: float, look: Look = look_away
    ) -> Observation:
        return observe.wait(self._control, endpoint, revision, progress, deadline, self.clock, look)

    def resize(self, endpoint: str, replicas: int, progress: Progress, deadline: float) -> bool:
        if not shift.resize(self._control, endpoint, replicas):
            return False
        observe.await_size(self._control, endpoint, replicas, progress, deadline, self.clock)
        return True

    def invoke(
        self, endpoint: str, body: bytes, content_type: str = JSON, release: str | None = None
    ) -> Answer:
        variant = observe.variant_of(self._control, endpoint, release) if release else ""
        return invoke.invoke(self._runtime, endpoint, body, content_type, self.clock, variant)

    def stream(self, endpoint: str, body: bytes, content_type: str = JSON) -> Iterator[bytes]:
        return invoke.stream(self._runtime, endpoint, body, content_type)

    def logs(self, endpoint: str, lines: int) -> list[str]:
        return logs.tail(self.session.client("logs"), endpoint, lines)

    def logs_to_keep(self, revision: str, lines: int) -> list[str]:
        """None: CloudWatch keeps them."""
        return []

    @property
    def _control(self) -> Any:
        return self.session.client("sagemaker")

    @property
    def _runtime(self) -> Any:
        """One attempt: a retry would hide the failed request that a verification is there to see."""
        return self.session.client("sagemaker-runtime", attempts=1)
