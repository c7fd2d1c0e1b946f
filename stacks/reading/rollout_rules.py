"""Rules of `rollout`: a bake is watched, an alarm can ring in it, and it ends within what the place allows.

They read the plain document, as those of rules.py do. Only the strategy that is asked for is held to them, so that an
environment may keep the settings of another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from infra.spec import ALARM_PERIOD, METRIC_DELAY, AlarmSpec
from infra.targets.base import Target
from stacks.reading.document import Value
from stacks.reading.shorthand import BAKED
from stacks.spec import RolloutSpec

LONGEST_MOVE = 28_800
"""Seconds: MaximumExecutionTimeoutInSeconds of
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_BlueGreenUpdatePolicy.html"""
ALARMS = ("error_rate", "p99_ms", "model_error_rate")
TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}")
Found = Iterator[tuple[Value, str, str]]


def rollout(document: Value, target: Target | None = None) -> Found:
    """What is wrong with how traffic is to move, and with what watches it there."""
    slow, most = document.at("rollout", "alarms", "p99_ms"), target.slowest_ms if target else float("inf")
    if slow and target and number(slow, 0) >= most:
        what = f"no alarm of {target.name} can ring there: of what takes longer than {most:g} ms nobody knows how long"
        yield slow, what, f"less than {most:g}"
    block = document.at("rollout")
    topic = document.at("rollout", "alarms", "topic")
    if topic and isinstance(topic.data, str) and topic.data != "own" and not TOPIC.fullmatch(topic.data):
        yield (
            topic,
            f"expected own or the ARN of an SNS topic, got {topic.data!r}",
            "own makes one for the service",
        )
    chosen = document.at("rollout", "strategy")
    spec = RolloutSpec()
    name = chosen.data if chosen and isinstance(chosen.data, str) else spec.strategy
    if (
        block is None
        or chosen is None
        or name not in ("blue-green", "canary", "linear", "rolling", "auto", "shadow")
    ):
        return
    alarms = read_alarms(document)
    if not alarms.watches:
        where = document.at("rollout", "alarms") or chosen
        yield where, f"nothing watches the bakes of {name}", "alarms: {error_rate: 0.01}"
        return
    then = document.at("rollout", "shadow", "then")
    after = then.data if name == "shadow" and then and isinstance(then.data, str) else ""
    steps = document.at("rollout", "canary", "steps")
    if "canary" in (name, after) and steps and isinstance(steps.data, list):
        shares = [each.data for each in steps.data if isinstance(each.data, int)]
        if shares != sorted(set(shares)):
            yield steps, "each step must be more than the one before", "like [10, 50]"
    both = ("blue-green", "rolling") if name == "auto" else (name, after)
    for one in (each for each in both if each in BAKED):
        yield from bakes(document, one, chosen, alarms)


def bakes(document: Value, name: str, chosen: Value, alarms: AlarmSpec) -> Found:
    """The bake of one step, and all of them together."""
    given = document.at("rollout", name, "bake")
    bake = number(given, getattr(RolloutSpec(), name.replace("-", "_")).bake)
    at, least = given or chosen, alarms.seconds_to_ring
    if 0 < bake < least:
        took = f"{alarms.periods} x {ALARM_PERIOD} s, and {METRIC_DELAY} s until the last is there"
        yield (
            at,
            f"no alarm can ring within {write(bake)}: it takes {write(least)} ({took})",
            f"bake: {write(least)}",
        )
    steps = count_steps(document, name)
    whole = bake * steps + 60 * number(document.at("rollout", "deadline_minutes"), 30)
    if whole > LONGEST_MOVE:
        what = f"{steps} bakes of {write(bake)} and deadline_minutes are {write(whole)} together"
        yield at, f"{what}: at most {write(LONGEST_MOVE)}", "shorter bakes or larger steps"


def read_alarms(document: Value) -> AlarmSpec:
    """What is asked for, where it has the right type: what has not is told elsewhere."""
    default, given = AlarmSpec(), document.at("rollout", "alarms")
    plain = given.plain() if given and isinstance(given.data, dict) else {}
    limits: dict[str, Any] = {key: plain[key] for key in ALARMS if key in plain}
    periods = plain.get("periods")
    return replace(default, **limits, periods=periods if type(periods) is int else default.periods)


def count_steps(document: Value, name: str) -> int:
    """In how many steps everything has moved."""
    if name == "canary":
        steps = document.at("rollout", "canary", "steps")
        return 1 + (len(steps.data) if steps and isinstance(steps.data, list) and steps.data else 1)
    share = {
        "linear": number(document.at("rollout", "linear", "step"), RolloutSpec().linear.step),
        "rolling": number(document.at("rollout", "rolling", "batch"), RolloutSpec().rolling.batch),
    }.get(name, 100)
    return -(-100 // int(share)) if share >= 1 else 1


def number(at: Value | None, default: float) -> float:
    data = at.data if at else default
    return data if isinstance(data, int | float) and not isinstance(data, bool) else default


def write(seconds: float) -> str:
    """As in the file: `5m`, `90s`."""
    return f"{seconds / 60:g}m" if seconds % 60 == 0 and seconds else f"{seconds:g}s"
