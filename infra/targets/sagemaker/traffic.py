"""The acting side of SageMaker: one object over shift.py, observe.py and invoke.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from infra.aws_session import AwsSession
from infra.targets.base import Answer, Clock, Observation, ShiftPolicy
from infra.targets.sagemaker import invoke, observe, shift
from modelpack.progress import Progress


@dataclass
class SageMakerTraffic:
    """`infra.targets.base.Traffic` over one AWS session."""

    session: AwsSession
    clock: Clock = field(default_factory=Clock)

    @property
    def _control(self) -> Any:
        return self.session.client("sagemaker")

    def observe(self, endpoint: str) -> Observation | None:
        return observe.observe(self._control, endpoint)

    def obstacles(self, configuration: str) -> tuple[str, ...]:
        return observe.obstacles(self._control, self.session.client("ecr"), configuration)

    def shift(self, endpoint: str, configuration: str, policy: ShiftPolicy) -> bool:
        return shift.shift(self._control, endpoint, configuration, policy)

    def wait(self, endpoint: str, configuration: str, progress: Progress, deadline: float) -> Observation:
        return observe.wait(self._control, endpoint, configuration, progress, deadline, self.clock)

    def invoke(self, endpoint: str, body: bytes, content_type: str = "application/json") -> Answer:
        # One attempt: a retry would hide the failed request that a verification is there to see.
        runtime = self.session.client("sagemaker-runtime", attempts=1)
        return invoke.invoke(runtime, endpoint, body, content_type, self.clock)

    def stream(self, endpoint: str, body: bytes, content_type: str = "application/json") -> Iterator[bytes]:
        runtime = self.session.client("sagemaker-runtime", attempts=1)
        return invoke.stream(runtime, endpoint, body, content_type)
