"""The acting side of SageMaker: one object over shift.py, observe.py and invoke.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.aws_session import AwsSession
from infra.targets.base import JSON, Answer, Clock, Look, Observation, look_away
from infra.targets.guard import Guard
from infra.targets.moves import ShiftPolicy
from infra.targets.sagemaker import invoke, logs, observe, shift
from infra.targets.sagemaker.guard import CloudWatchGuard
from infra.targets.sagemaker.shadow import SeenShadow, find_current
from modelpack.progress import Progress

LOOKED_BACK = timedelta(days=1)


@dataclass
class SageMakerTraffic:
    """`infra.targets.base.Traffic` over one AWS session."""

    session: AwsSession
    clock: Clock = field(default_factory=Clock)

    @property
    def guard(self) -> Guard:
        return CloudWatchGuard(self.session.client("cloudwatch"), self._find_shadow)

    def observe(self, endpoint: str) -> Observation:
        return observe.observe(self._control, endpoint)

    def obstacles(self, revision: str) -> tuple[str, ...]:
        registry, iam = self.session.client("ecr"), self.session.client("iam")
        return observe.obstacles(self._control, registry, iam, revision)

    def find_scaling_trouble(self, revision: str) -> tuple[str, ...]:
        """Application Auto Scaling keeps what it is told, or refuses it."""
        return ()

    def prepare(self, endpoint: str, revision: str, progress: Progress, deadline: float) -> bool:
        """Nothing of a configuration runs before an endpoint is put on it."""
        return False

    def mirror(
        self,
        endpoint: str,
        revision: str,
        policy: ShiftPolicy,
        progress: Progress,
        look: Look = look_away,
    ) -> None:
        """SageMaker leads it: who comes after its bake finds the copies still going, and says whether they passed."""
        assert policy.shadow is not None, "asked only where copies are"
        began: list[datetime] = []

        def see(at: Observation) -> None:
            began.extend([at.baking] if at.copied and at.baking else [])
            look(at)

        shift.mirror(self._control, endpoint, revision, policy)
        deadline = policy.timeout + policy.shadow.bake
        args = (self._control, endpoint, revision, progress, deadline, self.clock, see)
        seen = observe.wait(*args, copied=True)
        # of one that came after the bake: all that its own variant was ever asked
        due = began[0] if began else datetime.now(UTC) - LOOKED_BACK
        look(replace(seen, due=due))

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

    def _find_shadow(self, endpoint: str) -> SeenShadow | None:
        told = observe.describe(self._control, "describe_endpoint", EndpointName=endpoint) or {}
        return find_current(endpoint, told)

    @property
    def _control(self) -> Any:
        return self.session.client("sagemaker")

    @property
    def _runtime(self) -> Any:
        """One attempt: a retry would hide the failed request that a verification is there to see."""
        return self.session.client("sagemaker-runtime", attempts=1)
