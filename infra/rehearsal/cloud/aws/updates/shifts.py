"""How an update moves traffic: the steps that a DeploymentConfig asks for.

Sources: API_TrafficRoutingConfig, API_BlueGreenUpdatePolicy, API_RollingUpdatePolicy, API_CapacitySize, and the
developer guide's pages on canary, linear, all at once and rolling deployments (documented). AWS shifts by whole
instances; here a share of the instances is that share of the requests.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DEFAULT_TYPE = "ALL_AT_ONCE"


@dataclass(frozen=True, kw_only=True)
class ShiftStep:
    """`share` of the requests goes to the new fleet, and alarms are watched for `wait` seconds of AWS's."""

    share: float
    wait: float


@dataclass(frozen=True, kw_only=True)
class ShiftPlan:
    """`termination`: how long the old fleet waits for its end after the last step; `timeout` of the whole, or None."""

    steps: tuple[ShiftStep, ...]
    termination: float
    timeout: float | None
    alarms: tuple[str, ...]


def plan(deployment: Mapping[str, Any] | None, instances: int) -> ShiftPlan:
    """The steps; without a policy all at once, at once. `instances`: how many the new fleet has."""
    asked = deployment or {}
    watched = tuple(
        one["AlarmName"] for one in (asked.get("AutoRollbackConfiguration") or {}).get("Alarms", ())
    )
    if rolling := asked.get("RollingUpdatePolicy"):
        size, wait = share_of(rolling["MaximumBatchSize"], instances), float(rolling["WaitIntervalInSeconds"])
        steps, policy = in_steps(size, wait), rolling
    else:
        policy = asked.get("BlueGreenUpdatePolicy") or {}
        steps = route(policy.get("TrafficRoutingConfiguration") or {}, instances)
    timeout = policy.get("MaximumExecutionTimeoutInSeconds")
    return ShiftPlan(
        steps=steps,
        termination=float(policy.get("TerminationWaitInSeconds", 0)),
        timeout=None if timeout is None else float(timeout),
        alarms=watched,
    )


def route(routing: Mapping[str, Any], instances: int) -> tuple[ShiftStep, ...]:
    """The steps of a blue/green update: the last of them is all of the traffic, and it bakes too."""
    wait = float(routing.get("WaitIntervalInSeconds", 0))
    match routing.get("Type", DEFAULT_TYPE):
        case "CANARY":
            first = share_of(routing.get("CanarySize"), instances)
            return (ShiftStep(share=first, wait=wait), ShiftStep(share=1.0, wait=wait))
        case "LINEAR":
            return in_steps(share_of(routing.get("LinearStepSize"), instances), wait)
        case _:
            return (ShiftStep(share=1.0, wait=wait),)


def in_steps(size: float, wait: float) -> tuple[ShiftStep, ...]:
    """Steps of one size, the last of what is left."""
    number = math.ceil(round(1 / size, 9))
    return tuple(ShiftStep(share=min(1.0, size * place), wait=wait) for place in range(1, number + 1))


def share_of(size: Mapping[str, Any] | None, instances: int) -> float:
    """The share that a CapacitySize is of so many instances; all of them without one, which UpdateEndpoint refuses."""
    if size is None:
        return 1.0
    value = float(size["Value"])
    return min(1.0, value / 100 if size["Type"] == "CAPACITY_PERCENT" else value / max(1, instances))


def smallest(counts: Sequence[int]) -> int:
    """The instances that sizes are held against: those of the smallest variant."""
    return min(counts, default=1)
