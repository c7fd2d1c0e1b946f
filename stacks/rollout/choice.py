"""`strategy: auto`: how traffic moves, by what the account has room for.

A whole second fleet beside the one that serves (a surge: blue-green) is the safest, for the old servers stay through
the bake. Where there is no room for it, servers are replaced step by step (rolling), as many at a time as fit. Nothing
is replaced in place, with no server more than serve: SageMaker's rolling update too starts a batch before it ends one
(https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-rolling.html).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from stacks.spec import RolloutSpec

SMALLEST, LARGEST = 5, 50
"""Percent of the servers that a batch may be."""


@dataclass(frozen=True)
class ChosenStrategy:
    """The settings to go by, and why, in words."""

    rollout: RolloutSpec
    why: str


def choose(rollout: RolloutSpec, replicas: int, free: int | None) -> ChosenStrategy:
    """`replicas`: that serve now; `free`: as many more the account may have, None where that is not known."""
    surge = replace(rollout, strategy="blue-green")
    if free is None:
        return ChosenStrategy(surge, "strategy auto: blue-green, for the quota is not known")
    if free >= replicas:
        why = f"strategy auto: blue-green, for there is room for {free} beside the {replicas} that serve"
        return ChosenStrategy(surge, why)
    most = min(LARGEST, rollout.rolling.batch)
    batch = next((share for share in range(most, SMALLEST - 1, -1) if count(replicas, share) <= free), None)
    if batch is None:
        room = f"there is room for {free} beside the {replicas} that serve"
        return ChosenStrategy(
            surge, f"strategy auto: none fits, for {room}, and nothing is replaced in place"
        )
    step = replace(rollout, strategy="rolling", rolling=replace(rollout.rolling, batch=batch))
    why = (
        f"strategy auto: rolling by {count(replicas, batch)} of {replicas}, for there is room for {free} more and "
        f"blue-green takes {replicas}"
    )
    return ChosenStrategy(step, why)


def count(replicas: int, share: int) -> int:
    """How many servers a batch of so many percent is."""
    return max(1, ceil(replicas * share / 100))
