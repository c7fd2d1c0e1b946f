"""A quota of AWS's: what is about to be made against it, and what the account has of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True)
class QuotaDemand:
    """What is to be made beside what there is. `service`, `name`: as Service Quotas calls them ("sagemaker",
    "ml.g6.xlarge for endpoint usage"); `code`: "" where only the name is known; `amount`: in the quota's own unit;
    `growth`: as many more as an autoscaler may want later; `zone`: where the quota is one of each zone's; `why`: what
    needs it, in words."""

    service: str
    name: str
    code: str = ""
    amount: int
    growth: int = 0
    zone: str = ""
    why: str


@dataclass(frozen=True, kw_only=True)
class QuotaReading:
    """A demand beside what the account has; `code` and `name` are what Service Quotas says."""

    demand: QuotaDemand
    name: str
    code: str
    limit: float
    used: int

    @property
    def free(self) -> int:
        return max(0, int(self.limit) - self.used)

    @property
    def is_short(self) -> bool:
        """Whether AWS will refuse."""
        return self.free < self.demand.amount

    @property
    def hinders_growth(self) -> bool:
        """Whether AWS will refuse some of what an autoscaler asks for later."""
        return self.free < self.demand.amount + self.demand.growth

    def describe(self) -> str:
        """In words: "0 of 1 ml.g6.xlarge for endpoint usage: quota L-0A1B2C3D is 0, 0 in use; ..."."""
        wanted = self.demand.amount if self.is_short else self.demand.amount + self.demand.growth
        place = f" in {self.demand.zone}" if self.demand.zone else ""
        return (
            f"{self.free} of {wanted} {self.name}{place}: quota {self.code} is {self.limit:g}, {self.used} in use; "
            f"{self.demand.why}"
        )

    @property
    def enough(self) -> int:
        """The value to ask AWS for."""
        return self.used + self.demand.amount + self.demand.growth

    def document(self) -> dict[str, Any]:
        """What `--json` prints (docs/json.md)."""
        return {
            "service": self.demand.service,
            "name": self.name,
            "code": self.code,
            "zone": self.demand.zone or None,
            "limit": self.limit,
            "used": self.used,
            "needed": self.demand.amount,
            "growth": self.demand.growth,
        }


class Quotas(Protocol):
    def read(self, demands: Sequence[QuotaDemand]) -> Sequence[QuotaReading | None]:
        """What the account has, in the order of the demands; None where Service Quotas has no such quota.

        Raises CloudRefused, EcomdeployError: the cloud did not say."""
        ...


@dataclass
class FakeQuotas:
    """The fake: `limits` and `used` by the quota's name; what has no limit has `otherwise`, None: it is not known.
    `asked`: all demands."""

    limits: Mapping[str, float] = field(default_factory=dict)
    used: Mapping[str, int] = field(default_factory=dict)
    otherwise: float | None = 100_000
    refuse: Exception | None = None
    asked: list[QuotaDemand] = field(default_factory=list)

    def read(self, demands: Sequence[QuotaDemand]) -> Sequence[QuotaReading | None]:
        self.asked += demands
        if self.refuse:
            raise self.refuse
        return [self._read(one) for one in demands]

    def _read(self, demand: QuotaDemand) -> QuotaReading | None:
        limit = self.limits.get(demand.name, self.otherwise)
        if limit is None:
            return None
        code, used = demand.code or "L-FAKE0000", self.used.get(demand.name, 0)
        return QuotaReading(demand=demand, name=demand.name, code=code, limit=limit, used=used)
