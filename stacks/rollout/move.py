"""How traffic moves from one release to the next, watched until it is there or back.

The target makes new servers ready, moves the traffic by the strategy (infra/targets/moves.py) and drains the old
ones; it may also go back by itself and call that success. So where the endpoint *ends* decides, then the answers do,
and then whether the bakes had anything to judge by (bakes.py). Where a release runs before it has any traffic, it is
asked then: one that answers wrong gets none.

The target goes on without us: a killed run left the endpoint on its way, or at its end, or back. The next one waits for
what still moves, finds in the alarms' history what turned it back, and does not try that release again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from infra.targets.base import Observation, Phase, Traffic
from infra.targets.guard import AlarmState
from infra.targets.moves import ShiftPolicy
from modelpack.errors import CloudRefused, EcomdeployError, Unhealthy
from modelpack.progress import Progress
from stacks.records.release import Release
from stacks.rollout.bakes import BY_HAND, BakeWatch, began_at, list_rung, refuse_ringing
from stacks.rollout.events import EventKind, RolloutRecord
from stacks.rollout.recorder import Recorder
from stacks.verify import check_answers, verify


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """One endpoint, the revisions it may be put on (by release key), and how it moves. `alarms`: all that it has, by
    name, whether or not they watch this move; `release_alarms`: by release key, on what that one answers alone;
    `shadows`, `shadow_alarms`: by release key, by what name its copies are made ready, and what watches them;
    `patience`: seconds that a move may take which another run began."""

    traffic: Traffic
    endpoint: str
    revisions: Mapping[str, str]
    policy: ShiftPolicy
    progress: Progress
    alarms: tuple[str, ...] = ()
    release_alarms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shadows: Mapping[str, str] = field(default_factory=dict)
    shadow_alarms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    patience: float = 0
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    recorder: Recorder | None = None
    """Of the rollout to the new release; the way back is a part of it."""

    def without_alarms(self) -> Rollout:
        """The way back: no alarm may stop it, for it is the release that is left that makes them ring."""
        patience = max(self.patience, self.policy.deadline)
        return replace(self, policy=self.policy.at_once(), patience=patience)

    def roll(self, old: Release | None, new: Release) -> None:
        """Put the traffic on `new` and verify it; on any difference put it back on `old` and verify that.

        Raises:
            Unhealthy: `new` did not verify. The message says why, and whether `old` serves.
            CloudRefused: the cloud had no servers for `new`. `old` serves.
        """
        self.progress.step(f"Shifting traffic to release {new.number}")
        recorder = self.recorder or Recorder(self.record_of(old, new), self.progress, now=self.now)
        watched = replace(self, recorder=recorder, policy=self.policy_for(new))
        recorder.tell(EventKind.BEGUN, f"traffic moves to release {new.number}: {self.policy}")
        try:
            watched.go(old, new)
        except KeyboardInterrupt:
            recorder.tell(EventKind.LEFT, self.describe_left(old, new))
            raise
        except EcomdeployError as error:
            kind, share = (EventKind.LEFT, None) if self.may_be_on(new) else (EventKind.ENDED, 0)
            recorder.tell(kind, str(error), share)
            raise
        else:
            recorder.tell(EventKind.ENDED, f"release {new.number} serves, verified", 100)
        finally:
            recorder.close()

    def policy_for(self, new: Release) -> ShiftPolicy:
        """The policy with what is the new release's own: its alarms, and where its copies are made."""
        policy = self.policy.beside(self.release_alarms.get(new.key, ()))
        if policy.shadow is None:
            return policy
        own = self.shadow_alarms.get(new.key) or self.release_alarms.get(new.key, ())
        alarms = (*policy.shadow.alarms, *own)
        return replace(
            policy, shadow=replace(policy.shadow, alarms=alarms, place=self.shadows.get(new.key, ""))
        )

    def go(self, old: Release | None, new: Release) -> None:
        """What `roll` does, but for recording how it begins and ends."""
        try:
            wrong = (self if old else self.without_alarms()).arrive(new)
        except CloudRefused as refused:
            if old is None or self.without_alarms().arrive(old):
                raise
            raise CloudRefused(f"{refused}. Release {old.number} serves", hint=refused.hint) from refused
        if not wrong:
            return
        what = f"release {new.number} did not verify: {'; '.join(wrong)}"
        if old is None:
            raise Unhealthy(what)
        self.progress.step(f"Putting traffic back on release {old.number}")
        if self.recorder:
            words = f"traffic goes back to release {old.number}: {'; '.join(wrong)}"
            self.recorder.tell(EventKind.BACK, words, alarms=self.find_rung(self.recorder.began))
        if still := self.without_alarms().arrive(old):
            what += f". Release {old.number} does not either: {'; '.join(still)}"
            raise Unhealthy(what, hint="ecomdeploy status")
        raise Unhealthy(f"{what}. Release {old.number} serves", hint="ecomdeploy releases")

    def find_rung(self, since: datetime) -> tuple[AlarmState, ...]:
        """The alarms that have rung since then: one may have turned the move back between two looks."""
        try:
            return self.traffic.guard.find_rung(self.policy.watched, since)
        except EcomdeployError:
            return ()

    def record_of(self, old: Release | None, new: Release) -> RolloutRecord:
        """The record of this rollout, of which nothing has been seen yet."""
        return RolloutRecord(
            service=new.service,
            environment=new.environment,
            release=new.number,
            replaced=old.number if old else None,
            strategy=str(self.policy.strategy),
            shares=self.policy.shares,
            bake=self.policy.bake,
            copied=self.policy.shadow.share if self.policy.shadow else 0,
            copied_bake=self.policy.shadow.bake if self.policy.shadow else 0,
        )

    def describe_left(self, old: Release | None, new: Release) -> str:
        """Which release serves, now that nobody looks on any more; what to type."""
        try:
            seen = self.traffic.observe(self.endpoint)
        except EcomdeployError as error:
            return f"which release serves cannot be seen: {error}; ecomdeploy status"
        revision, before = self.revisions.get(new.key), f"release {old.number}" if old else "nothing"
        if (seen.moving or seen.copied) and seen.destination == revision:
            shares = (
                f"{before} serves, and release {new.number} gets copies of {seen.copied} % of the requests"
                if seen.copied
                else f"{before} serves {100 - seen.share} % of the traffic, release {new.number} {seen.share} %"
            )
            return f"{shares}: ecomdeploy status tells how it goes on, up ends it, rollback turns it back"
        if seen.revision == revision:
            return f"release {new.number} serves, not verified yet: ecomdeploy up does that and ends it"
        return f"{before} serves: ecomdeploy up goes on with release {new.number}"

    def may_be_on(self, release: Release) -> bool:
        """Whether the endpoint is on a release, goes there, or cannot be seen not to. Such a one stays on its way: it
        keeps what it runs on, and the next run takes it up."""
        try:
            seen = self.traffic.observe(self.endpoint)
        except EcomdeployError:
            return True
        there = self.revisions.get(release.key) in (seen.revision, seen.destination)
        return there or seen.phase is Phase.DEGRADED

    def arrive(self, release: Release) -> tuple[str, ...]:
        """Bring the endpoint onto a release, from wherever a killed run left it. Returns what is wrong then.

        Raises:
            EcomdeployError: an alarm rings that is to watch the move, so nothing was moved.
        """
        revision = self.revisions.get(release.key)
        if revision is None:
            return (f"nothing is provisioned for release {release.number}",)
        before = began_at(release)
        watch = self.watch(release, revision, before or self.now())
        try:
            seen = self.await_settled(revision, watch)
            if seen.phase is Phase.ABSENT:
                return ("there is no endpoint",)
            elsewhere = seen.revision != revision or seen.phase is Phase.DEGRADED or seen.copied > 0
            if elsewhere and before and seen.turned_back:
                self.progress.note(seen.turned_back)
            if elsewhere and before and (rung := list_rung(self.traffic, self.policy.watched, before)):
                return (f"it was turned back while nobody looked on: {'; '.join(rung)}",)
            if elsewhere and (obstacles := self.traffic.obstacles(revision)):
                return obstacles
            deadline = self.policy.deadline
            watch.apart = self.traffic.prepare(self.endpoint, revision, self.progress, deadline)
            if watch.apart and (wrong := check_answers(self.traffic, self.endpoint, release, revision)):
                return wrong
            if elsewhere:
                watch.since = before if before and seen.copied else self.now()
                watch.before = len(release.pack.golden) if watch.apart else 0
                self.move(revision, watch)
        except Unhealthy as error:
            return (str(error), *list_rung(self.traffic, self.policy.watched, watch.since))
        # before more of our own requests are counted
        against = watch.judge() if elsewhere or before else ()
        return verify(self.traffic, self.endpoint, revision, release) or against

    def move(self, revision: str, watch: BakeWatch) -> None:
        """Begin, and look on to the end."""
        refuse_ringing(self.traffic, self.policy.watched)
        if self.policy.shadow:
            self.traffic.mirror(self.endpoint, revision, self.policy, self.progress, watch.look)
        self.traffic.shift(self.endpoint, revision, self.policy)
        self.traffic.wait(self.endpoint, revision, self.progress, self.policy.deadline, watch.look)

    def watch(self, release: Release, revision: str, since: datetime) -> BakeWatch:
        return BakeWatch(
            traffic=self.traffic,
            endpoint=self.endpoint,
            release=release,
            revision=revision,
            policy=self.policy,
            since=since,
            now=self.now,
            progress=self.progress,
            recorder=self.recorder or Recorder(replace(self.record_of(None, release), release=0)),
        )

    def await_settled(self, revision: str, watch: BakeWatch) -> Observation:
        """Where the endpoint is once it no longer changes: a killed run may have left it on its way.

        On its way to another release than the one that is wanted, it is turned back by one of its alarms, as soon as
        it bakes: a bake may last for hours. An alarm that was rung by hand is quiet again within seconds, and may be
        missed, so it is rung as long as the bake goes on.
        """
        seen = self.traffic.observe(self.endpoint)
        copied = self.policy.shadow is not None and seen.copied > 0 and seen.destination == revision
        if not seen.moving or copied:  # its copies go on where they are
            return seen
        if seen.destination == revision:
            self.progress.note(f"the move to release {watch.release.number} went on while nobody looked on")

        rung = False

        def look(at: Observation) -> None:
            nonlocal rung
            if at.baking and at.destination not in ("", revision) and self.ring() and not rung:
                rung = True
                self.progress.note("an alarm was rung by hand, which turns back what is under way")
            watch.look(at)

        deadline = max(self.policy.deadline, self.patience)
        try:
            look(seen)
            return self.traffic.wait(self.endpoint, revision, self.progress, deadline, look)
        except (Unhealthy, CloudRefused):
            seen = self.traffic.observe(self.endpoint)
            if seen.moving:  # it has had its time, or what it answered was wrong
                raise
            return seen  # it ended elsewhere than wanted: that is what shift is for

    def ring(self) -> bool:
        """Whether there is an alarm to ring by hand."""
        return self.traffic.guard.ring(self.alarms, BY_HAND)
