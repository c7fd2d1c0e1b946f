"""Watching a new release while it takes traffic step by step: what is told, what it is asked, whether it has passed.

The place moves the traffic and turns it back by itself when an alarm rings, also when nobody looks on. What it does not
do is done here: the release is asked itself as soon as it has a share, and one that nobody else has asked anything has
not passed, for its alarms had nothing to ring by.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import cycle, islice

from infra.targets.base import Observation, Traffic
from infra.targets.guard import AlarmState
from infra.targets.moves import ShiftPolicy
from modelpack.errors import EcomdeployError, Unhealthy
from modelpack.progress import Progress
from stacks.records.release import OPEN, Release, State
from stacks.rollout.recorder import Recorder
from stacks.verify import differences

ENOUGH, MOST = 3, 20
"""Right answers of its own that a release owes in each step, and how often a look asks for them: with a share of a
tenth, one answer of ten is its own."""
BY_HAND = "another release was asked for (ecomdeploy)"
"""Why an alarm rings that turns back what is under way."""


@dataclass
class BakeWatch:
    """Looks on while traffic moves to `release`, whose name at the place is `revision`. `since`: when that began.

    `apart`: it is asked at its own door, whatever its share; `right`: its own right answers in each bake, by its share
    then; `asked`: requests of ours that it answered, likewise; `before`: those that it was asked before it had any
    share, which may be counted late, with those of the first bake; `passed`: bakes so far.
    """

    traffic: Traffic
    endpoint: str
    release: Release
    revision: str
    policy: ShiftPolicy
    since: datetime
    now: Callable[[], datetime]
    progress: Progress
    recorder: Recorder
    apart: bool = False
    right: dict[int, int] = field(default_factory=dict)
    asked: dict[int, int] = field(default_factory=dict)
    before: int = 0
    passed: int = 0

    def look(self, seen: Observation) -> None:
        """One look. A cloud that does not answer one is asked again at the next: the traffic moves meanwhile.

        Raises Unhealthy: the release has answered wrong, or a bake that is over is not passed.
        """
        if seen.destination != self.revision or not (seen.moving or seen.due):
            return
        try:
            if self.recorder.record.release == self.release.number:  # else it is the way back
                self.tell(seen)
            if (self.policy.bake or seen.copied) and seen.baking and (seen.share or self.apart):
                self.ask(seen)
            if seen.due:
                self.pass_bake(seen, seen.due)
        except Unhealthy:
            raise
        except EcomdeployError as error:
            if seen.due:  # it waits for our word, and there is none
                raise Unhealthy(f"nobody can say that it is good: {error}", hint=error.hint) from error
            self.progress.note(f"not seen this time: {error}")

    def tell(self, seen: Observation) -> None:
        """How far it is, to whoever looks on."""
        bake, alarms = self.settings_of(seen)
        states, left, ends = self.traffic.guard.states(alarms), "", None
        stage = f"{seen.share} % of the traffic on release {self.release.number}"
        if seen.copied:
            stage = f"{seen.copied} % of the requests copied to release {self.release.number}"
        if seen.baking:
            ends = seen.baking + timedelta(seconds=bake)
            stage = f"{stage}, watched"
            left = f", {max(0, round((ends - self.now()).total_seconds()))} s of {bake} left"
        quiet = ", ".join(f"{one.name} {'rings' if one.ringing else 'quiet'}" for one in states)
        self.recorder.look(seen, states, f"{stage}{left}; {quiet or 'no alarms'}", ends)

    def settings_of(self, seen: Observation) -> tuple[int, tuple[str, ...]]:
        """How long what is seen bakes, and by which alarms."""
        if seen.copied and self.policy.shadow:
            return self.policy.shadow.bake, self.policy.shadow.alarms
        return self.policy.bake, self.policy.alarms

    def ask(self, seen: Observation) -> None:
        """Golden requests through the route (or at its own door), until enough of the answers are the release's own.

        What fails without telling whose it is, the alarms are there for. Raises Unhealthy: one of its own is wrong.
        """
        golden, share = self.release.pack.golden, seen.share
        for one in islice(cycle(golden), MOST if golden else 0):
            if self.right.get(share, 0) >= ENOUGH:
                return
            own = self.revision if self.apart else None
            answer = self.traffic.invoke(self.endpoint, json.dumps(one["request"]).encode(), release=own)
            if not self.apart and answer.content_digest != self.release.pack.content_digest:
                continue
            self.asked[share] = self.asked.get(share, 0) + 1
            if wrong := differences(one["answer"], answer, self.release):
                raise Unhealthy(f"{describe_part(seen)} it answered wrong: {wrong[0]}")
            self.right[share] = self.right.get(share, 0) + 1

    def pass_bake(self, seen: Observation, since: datetime) -> None:
        """Where the place goes on at our word alone: right answers of its own, quiet alarms, and enough to judge by.

        Raises Unhealthy: not so.
        """
        _, alarms = self.settings_of(seen)
        if ringing := [str(one) for one in self.traffic.guard.states(alarms) if one.ringing]:
            raise Unhealthy(f"{describe_part(seen)} {ringing[0]}")
        ours = self.asked.get(seen.share, 0) + (0 if self.passed else self.before)
        if lacking := self.lacks_requests(since, ours):
            raise Unhealthy(f"{describe_part(seen)} {lacking}")
        self.passed += 1

    def judge(self) -> tuple[str, ...]:
        """What is against it, now that it has all of the traffic; empty: it has passed."""
        if not self.policy.bake:
            return ()
        if ringing := tuple(str(one) for one in self.traffic.guard.states(self.policy.alarms) if one.ringing):
            return ringing
        if rung := list_rung(self.traffic, self.policy.alarms, self.since):
            return rung
        lacking = self.lacks_requests(self.since, self.before + sum(self.asked.values()))
        return (lacking,) if lacking else ()

    def lacks_requests(self, since: datetime, ours: int) -> str:
        """What is missing to judge it by since then, in words; `ours`: requests that do not count."""
        if not self.policy.requests:
            return ""
        counted = self.traffic.guard.count_requests(self.endpoint, self.revision, since)
        came = max(0, counted - ours)
        if came >= self.policy.requests:
            return ""
        least = f"at least {self.policy.requests} (rollout.alarms: min_requests)"
        return (
            f"nobody can say that it is good: {came} requests came to it in its bakes, and it takes {least}; "
            "no_data: good does without"
        )


def describe_part(seen: Observation) -> str:
    """What the new release has of what callers ask, in words."""
    copies = f"with copies of {seen.copied} % of the requests"
    return copies if seen.copied else f"with {seen.share} % of the traffic"


def list_rung(traffic: Traffic, alarms: Sequence[str], since: datetime) -> tuple[str, ...]:
    """The alarms that have rung since then by themselves, with their values, in words."""
    return tuple(str(one) for one in traffic.guard.find_rung(alarms, since) if one.reason != BY_HAND)


def refuse_ringing(traffic: Traffic, alarms: Sequence[str]) -> None:
    """An alarm that rings before anything moves would turn the move back at once.

    Raises:
        EcomdeployError: one does.
    """
    ringing: list[AlarmState] = [one for one in traffic.guard.states(alarms) if one.ringing]
    if ringing:
        hint = "wait until it is quiet, or strategy: all-at-once, which no alarm watches"
        raise EcomdeployError(
            f"nothing was moved, for {ringing[0].name} rings: {ringing[0].reason}", hint=hint
        )


def began_at(release: Release) -> datetime | None:
    """When an earlier run, which did not end it, began to move traffic to this release; None: none did."""
    if release.state not in OPEN:
        return None
    first = next((each.at for each in release.timeline if each.state is State.SHIFTING and each.at), None)
    return datetime.fromisoformat(first) if first else None
