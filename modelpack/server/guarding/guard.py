"""The guard's own life: look, and look again, until the rollout has ended or has to go back.

It never moves anything on: that is the leader's. It puts all traffic back on the old release when an alarm rings or the
leader has been silent for the declared time, and says so on the Lease before it does.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from modelpack.server import log
from modelpack.server.guarding.alarms import AlarmRule, look, read_rules
from modelpack.server.guarding.cluster import InCluster, Refused, RolloutObjects
from modelpack.server.guarding.prometheus import DirectMetrics, MetricSource, NotAnswered
from modelpack.server.guarding.record import (
    ALARM,
    BACK,
    SILENCE,
    StepsRecord,
    read_record,
    write_record,
)

LOOK_SECONDS = 5.0
"""Between two looks, at AWS's own pace; an alarm's shortest period is 60."""
LEAST_SECONDS = 0.5
ENDED_EARLY = 143


@dataclass
class ClusterGuard:
    """One guard, of the rollout with that `id`. `rules`: the alarms; `old_rules`: where the route led before."""

    id: str
    objects: RolloutObjects
    metrics: MetricSource
    rules: Sequence[AlarmRule]
    old_rules: list[Any]
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    sleep: Callable[[float], None] = time.sleep
    _renewed: str = ""
    _heard: float = 0.0
    _said: str = ""

    def watch(self) -> str:
        """Until there is nothing left to guard; how it ended, in a word."""
        self._heard = self.clock()
        signed = False
        while True:
            pause = LOOK_SECONDS
            try:
                if not signed:
                    self.objects.sign(self.id)
                    signed = True
                lease = self.objects.lease()
                record = read_record(lease)
                if lease is None or record is None or record.id != self.id:
                    return "replaced"
                if not record.watching:
                    return self.finish(record)
                pause = max(LEAST_SECONDS, LOOK_SECONDS / record.pace)
                if why := self.judge(lease, record):
                    self.turn_back(lease, record, *why)
                    continue
            except Refused as refused:
                # another wrote first, or the API server is away: what it says then is looked at anew
                self._tell("not seen", reason=str(refused))
            self.sleep(pause)

    def judge(self, lease: Mapping[str, Any], record: StepsRecord) -> tuple[str, str, str] | None:
        """Why it has to go back: cause, alarm, reason."""
        renewed = str((lease.get("spec") or {}).get("renewTime", ""))
        if renewed != self._renewed:
            # clocks of two machines differ: what counts is when it was seen to change here
            self._renewed, self._heard = renewed, self.clock()
        silent = self.clock() - self._heard
        if silent > record.silence:
            return SILENCE, "", f"nobody led the rollout any more: not heard of for {silent:.0f} s"
        try:
            # what another release answers wrong by its own guardrails is no reason to keep it
            paced = [rule.at_pace(record.pace) for rule in self.rules if rule.is_of(record.new)]
            ringing = look(self.metrics, paced, self.now().timestamp())
        except NotAnswered as error:
            self._tell("no answer", reason=str(error))
            return None
        first = next(iter(ringing), None)
        return (ALARM, first.name, first.reason) if first else None

    def turn_back(
        self, lease: Mapping[str, Any], record: StepsRecord, cause: str, name: str, reason: str
    ) -> None:
        """Say so on the Lease, on the very version that was judged, and move the traffic."""
        at = self.now().isoformat()
        self.objects.replace_lease(write_record(lease, record.go_back(cause, name, reason, at)))
        log.say("turned back", cause=cause, alarm=name, reason=reason)

    def finish(self, record: StepsRecord) -> str:
        """See to it that traffic is where the Lease says it went: whoever wrote that may have been killed then."""
        if record.state != BACK or record.restored:
            return record.state
        self.objects.put_route(self.old_rules)
        lease = self.objects.lease()
        found = read_record(lease)
        if lease is not None and found is not None and found.id == self.id:
            self.objects.replace_lease(write_record(lease, replace(found, restored=True)))
        log.say("restored", release=record.old)
        return record.state

    def _tell(self, event: str, reason: str) -> None:
        """Once, as long as it is the same."""
        if reason != self._said:
            self._said = reason
            log.say(event, reason=reason)


def main(environment: Mapping[str, str]) -> int:
    """The program of the guard's pod: its whole task stands in its variables. 0 when there is nothing left to do."""
    try:
        guard = ClusterGuard(
            id=environment["ECOMDEPLOY_ROLLOUT"],
            objects=InCluster.read(environment),
            metrics=DirectMetrics(environment["ECOMDEPLOY_PROMETHEUS"]),
            rules=read_rules(environment["ECOMDEPLOY_ALARMS"]),
            old_rules=json.loads(environment["ECOMDEPLOY_WAY_BACK"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        log.say("refused", reason=f"a guard's variables: {type(error).__name__}: {error}")
        return 2
    # as the first process of its container it would not hear it otherwise; another guard is started then
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ENDED_EARLY))
    log.say("guarding", rollout=guard.id)
    log.say("stopped", how=guard.watch())
    return 0
