"""An endpoint on its way from one configuration to another: both fleets serve, alarms are watched, and it may go back.

Sources: API_UpdateEndpoint, API_DescribeEndpoint, API_ProductionVariantStatus and the developer guide's "Deployment
guardrails" (documented): every step bakes, and so does the old fleet's last wait; an alarm in ALARM sends all of the
traffic back, and the endpoint ends InService on its old configuration. A move survives the daemon: what was reached is
begun again, its bake whole.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from infra.rehearsal.cloud.addresses import ACCOUNT
from infra.rehearsal.cloud.aws.hosting import Endpoint, Fleet, PendingDeployment
from infra.rehearsal.cloud.aws.overlay.base import now
from infra.rehearsal.cloud.aws.sagemaker_runtime.invocations import Servers
from infra.rehearsal.cloud.aws.updates.shifts import ShiftPlan, plan, smallest
from infra.rehearsal.cloud.aws.watching.judgement import ALARM
from infra.rehearsal.cloud.servers.host import ServerFailed

if TYPE_CHECKING:
    from infra.rehearsal.cloud.aws.overlay.base import Surroundings

LOOK_SECONDS = 0.1
"""How often a bake looks at its alarms."""


class MovedOn(Exception):
    """There is nothing left to move: the endpoint or the account is gone, or the daemon ends."""


class TurnedBack(Exception):
    """Why an update must go back."""


class Moves:
    """Each move runs in a thread of its own; state changes under the account's lock."""

    def __init__(self, account: Surroundings, fleet: Fleet) -> None:
        self.account = account
        self.fleet = fleet
        self.invocations = account.invocations

    def begin(self, endpoint: Endpoint) -> None:
        """Move an endpoint to its pending configuration, in the background."""
        self.account.background(f"move {endpoint.name}", lambda: self._move(endpoint))

    def restore(self) -> None:
        """After a start: every endpoint that served serves again, interrupted moves go on, or back."""
        for endpoint in tuple(self.fleet.hosting.endpoints.values()):
            if endpoint.status == "Deleting":
                self.fleet.end(endpoint)
                continue
            if endpoint.variants and endpoint.status != "Failed":
                self.fleet.restore(endpoint)
            if endpoint.status == "RollingBack":
                with self.account.lock:
                    self.fleet.settle(endpoint, "InService")
            elif endpoint.status == "UpdateRollbackFailed":
                self._restore_mix(endpoint)
            elif endpoint.pending:
                endpoint.pending = replace(endpoint.pending, stage="Creating", share=0.0)
                self.begin(endpoint)

    # ---- background ----

    def _move(self, endpoint: Endpoint) -> None:
        pending = endpoint.pending
        assert pending is not None, "set before the move begins"
        began = time.monotonic()
        try:
            fresh = self.fleet.strike_and_start(endpoint, pending)
        except ServerFailed as failed:
            self._give_up(endpoint, failed.what)
            return
        wrong = any(way.wrong for way in fresh)
        pending = replace(
            pending, variants=tuple(replace(variant, wrong=wrong) for variant in pending.variants)
        )
        fresh = tuple(replace(way, new=True) for way in fresh)
        if not endpoint.variants:
            self._finish(endpoint, pending, fresh)
            return
        made = plan(pending.deployment, smallest([one.count for one in pending.variants if not one.shadow]))
        # Only waits are shortened here: what servers took to start counts as it is.
        limit = None
        if made.timeout is not None:
            limit = self.account.clock.now() + made.timeout - (time.monotonic() - began)
        try:
            self._shift(endpoint, pending, fresh, made, limit)
        except TurnedBack as why:
            self._turn_back(endpoint, str(why))
        except MovedOn:
            self.account.background("stop", lambda: self.fleet.stop_servers(self._new(endpoint) or fresh))

    def _shift(
        self,
        endpoint: Endpoint,
        pending: PendingDeployment,
        fresh: Servers,
        made: ShiftPlan,
        limit: float | None,
    ) -> None:
        """Step by step. Raises TurnedBack, MovedOn."""
        self._tell(endpoint, pending, "Creating", pending.step, 0.0, fresh)
        self._bake(endpoint, 0, made, limit)
        for number, step in enumerate(made.steps):
            if number < pending.step:
                continue
            self._tell(endpoint, pending, "ActivatingTraffic", number, step.share, fresh)
            self._tell(endpoint, pending, "Baking", number, step.share, fresh)
            self._bake(endpoint, step.wait, made, limit)
        self._bake(endpoint, made.termination, made, limit)
        self._finish(endpoint, pending, fresh)

    def _tell(
        self,
        endpoint: Endpoint,
        pending: PendingDeployment,
        stage: str,
        step: int,
        share: float,
        fresh: Servers,
    ) -> None:
        """From now on so much of the traffic is the new fleet's, and whoever asks is told."""
        with self.account.lock:
            if not self.fleet.current(endpoint):
                raise MovedOn
            route = self.invocations.route(endpoint.key)
            there = route if any(way.new for way in route) else (*route, *fresh)
            self.invocations.flip(endpoint.key, mix(there, share))
            endpoint.pending = replace(pending, stage=stage, step=step, share=share, since=now())
            self.account.changed.set()

    def _bake(self, endpoint: Endpoint, seconds: float, made: ShiftPlan, limit: float | None) -> None:
        """Watch the alarms for so many seconds of AWS's. Raises TurnedBack, MovedOn."""
        clock = self.account.clock
        end = clock.now() + seconds
        while True:
            moment = clock.now()
            with self.account.lock:
                if not self.fleet.current(endpoint) or self.account.ending.is_set():
                    raise MovedOn
                started = endpoint.pending.started if endpoint.pending else now()
                ringing = self._find_ringing(endpoint.region, made.alarms, started)
            if ringing:
                raise TurnedBack(f"alarm {ringing} went into ALARM; the update was rolled back")
            if moment >= end:
                return
            if limit is not None and moment > limit:
                raise TurnedBack(f"the update took longer than its {made.timeout:g} s and was rolled back")
            left = end - moment if limit is None else min(end, limit) - moment
            if self.account.ending.wait(min(max(clock.shorten(left), 0.001), LOOK_SECONDS)):
                raise MovedOn

    def _find_ringing(self, region: str, names: tuple[str, ...], since: datetime) -> str | None:
        """The first of the alarms that is in state ALARM, or was since then, once those that are due were looked at."""
        if not names:
            return None
        from moto.cloudwatch.models import cloudwatch_backends

        from infra.rehearsal.cloud.aws.overlay.monitoring import CloudWatch

        monitoring = self.account.overlay("monitoring")
        assert isinstance(monitoring, CloudWatch), "an overlay of ours"
        monitoring.watch.look()
        alarms = cloudwatch_backends[ACCOUNT][region].alarms
        for name in names:
            ringing = name in alarms and alarms[name].state_value == ALARM
            if ringing or monitoring.watch.history.rang(region, name, since):
                return name
        return None

    def _finish(self, endpoint: Endpoint, pending: PendingDeployment, fresh: Servers) -> None:
        """The new fleet serves alone, the old one ends."""
        with self.account.lock:
            if not self.fleet.current(endpoint):
                self.account.background("stop", lambda: self.fleet.stop_servers(fresh))
                return
            there = self.invocations.route(endpoint.key)
            old = tuple(way for way in there if not way.new)
            new = tuple(way for way in there if way.new) or fresh  # some may have been replaced since
            route = tuple(replace(way, new=False, weight=way.full) for way in new)
            self.invocations.flip(endpoint.key, route)
            endpoint.configuration, endpoint.variants = pending.configuration, pending.variants
            endpoint.deployment = pending.deployment or endpoint.deployment
            endpoint.failure = ""
            self.fleet.settle(endpoint, "InService")
        self.fleet.stop_servers(old)

    def _give_up(self, endpoint: Endpoint, why: str) -> None:
        """No new fleet came up: an update ends InService on the old configuration, a creation ends Failed."""
        with self.account.lock:
            if not self.fleet.current(endpoint):
                return
            endpoint.failure = why
            if endpoint.status == "Updating":
                endpoint.status = "RollingBack"
            self.fleet.settle(endpoint, "InService" if endpoint.variants else "Failed")

    def _turn_back(self, endpoint: Endpoint, why: str) -> None:
        """All of the traffic to the old fleet; where that cannot serve, the mix stays: UpdateRollbackFailed."""
        with self.account.lock:
            if not self.fleet.current(endpoint) or endpoint.pending is None:
                return
            endpoint.status, endpoint.failure, endpoint.modified = "RollingBack", why, now()
            self.account.changed.set()
        if cause := self._find_hindrance(endpoint):
            with self.account.lock:
                if self.fleet.current(endpoint):
                    endpoint.failure = f"{why}; the rollback failed: {cause}"
                    endpoint.status, endpoint.modified = "UpdateRollbackFailed", now()
                    self.account.changed.set()
            return
        with self.account.lock:
            route = self.invocations.route(endpoint.key)
            new = tuple(way for way in route if way.new)
            old = tuple(replace(way, weight=way.full) for way in route if not way.new)
            self.invocations.flip(endpoint.key, old)
        self.fleet.stop_servers(new)
        with self.account.lock:
            if self.fleet.current(endpoint) and endpoint.status == "RollingBack":
                self.fleet.settle(endpoint, "InService")

    def _find_hindrance(self, endpoint: Endpoint) -> str:
        """Why the old fleet cannot take all of the traffic; "" when it can."""
        if self.account.faults.strike("no-way-back", endpoint=endpoint.name):
            return "the old fleet could not be brought back (planted fault)"
        for way in self.invocations.route(endpoint.key):
            if not way.new and not self.account.host.ready(way.server):
                try:
                    self.fleet.renew(endpoint, way)
                except ServerFailed as failed:
                    return failed.what
        return ""

    def _new(self, endpoint: Endpoint) -> Servers:
        return tuple(way for way in self.invocations.route(endpoint.key) if way.new)

    def _restore_mix(self, endpoint: Endpoint) -> None:
        """A rollback failed: both fleets serve, in the shares they had."""
        if (pending := endpoint.pending) is None:
            return
        try:
            fresh = self.fleet.start(pending.variants, endpoint, pending.configuration)
        except ServerFailed as failed:
            with self.account.lock:
                endpoint.failure = failed.what
            return
        with self.account.lock:
            route = (*self.invocations.route(endpoint.key), *(replace(way, new=True) for way in fresh))
            self.invocations.flip(endpoint.key, mix(route, pending.share))


def mix(route: Servers, share: float) -> Servers:
    """The route with `share` of the requests for the new fleet and the rest for the old one. A shadow gets its copies
    of what its own fleet is asked."""
    asked = [way for way in route if not way.shadow]
    totals = {new: sum(way.full for way in asked if way.new == new) or 1.0 for new in (False, True)}
    parts = {True: share, False: 1 - share}
    return tuple(
        way if way.shadow else replace(way, weight=parts[way.new] * way.full / totals[way.new])
        for way in route
    )
