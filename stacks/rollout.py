"""How traffic moves from one release to the next: all at once.

Later strategies are later files beside this one.

The target makes the new servers ready, flips the route and drains the old ones; it may also go back by itself and call
that success. So where the endpoint *ends* decides, and then the answers do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from infra.targets.base import Observation, Phase, ShiftPolicy, Traffic
from modelpack.errors import CloudRefused, Unhealthy
from modelpack.progress import Progress
from stacks.records.release import Release
from stacks.verify import verify


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """One endpoint, the revisions it may be put on (by release key), and how it moves.

    `deadline`: seconds that a move may take.
    """

    traffic: Traffic
    endpoint: str
    revisions: Mapping[str, str]
    policy: ShiftPolicy
    deadline: float
    progress: Progress

    def without_alarms(self) -> Rollout:
        """The way back: no alarm may stop it, for it is the release that is left that makes them ring."""
        return replace(self, policy=replace(self.policy, alarms=(), bake=0))

    def roll(self, old: Release | None, new: Release) -> None:
        """Put the traffic on `new` and verify it; on any difference put it back on `old` and verify that.

        Raises:
            Unhealthy: `new` did not verify. The message says why, and whether `old` serves.
            CloudRefused: the cloud had no servers for `new`. `old` serves.
        """
        self.progress.step(f"Shifting traffic to release {new.number}")
        try:
            wrong = self.arrive(new)
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
        if still := self.without_alarms().arrive(old):
            what += f". Release {old.number} does not either: {'; '.join(still)}"
            raise Unhealthy(what, hint="ecomdeploy status")
        raise Unhealthy(f"{what}. Release {old.number} serves", hint="ecomdeploy releases")

    def arrive(self, release: Release) -> tuple[str, ...]:
        """Bring the endpoint onto a release, from wherever a killed run left it. Returns what is wrong then."""
        revision = self.revisions.get(release.key)
        if revision is None:
            return (f"nothing is provisioned for release {release.number}",)
        try:
            seen = self.await_settled(revision)
            if seen.phase is Phase.ABSENT:
                return ("there is no endpoint",)
            if seen.revision != revision:
                if obstacles := self.traffic.obstacles(revision):
                    return obstacles
                self.traffic.shift(self.endpoint, revision, self.policy)
                self.traffic.wait(self.endpoint, revision, self.progress, self.deadline)
        except Unhealthy as error:
            return (str(error),)
        return verify(self.traffic, self.endpoint, revision, release)

    def await_settled(self, revision: str) -> Observation:
        """Where the endpoint is once it no longer changes: a killed run may have left it on its way."""
        seen = self.traffic.observe(self.endpoint)
        if not seen.moving:
            return seen
        with contextlib.suppress(
            Unhealthy, CloudRefused
        ):  # it ended elsewhere than wanted: that is what shift is for
            self.traffic.wait(self.endpoint, revision, self.progress, self.deadline)
        return self.traffic.observe(self.endpoint)
