"""How traffic moves from one release to the next: all at once.

Later strategies are later files beside this one.

The target makes the new servers ready, flips the route and drains the old ones; SageMaker may also go back by
itself and call that success. So where the endpoint *ends* decides, and then the answers do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from infra.targets.base import Observation, ShiftPolicy, Traffic
from modelpack.errors import Unhealthy
from modelpack.progress import Progress
from stacks.records.release import Release
from stacks.verify import verify


@dataclass(frozen=True)
class Route:
    """One endpoint, the configurations it may be put on (by release key), and seconds a move may take."""

    endpoint: str
    configurations: Mapping[str, str]
    deadline: float
    policy: ShiftPolicy

    @property
    def back(self) -> Route:
        """The way back: no alarm may stop it, for it is the release that is left that makes them ring."""
        return replace(self, policy=replace(self.policy, alarms=(), bake=0))


def roll(traffic: Traffic, route: Route, old: Release | None, new: Release, progress: Progress) -> None:
    """Put the traffic on `new` and verify it; on any difference put it back on `old` and verify that.

    Raises:
        Unhealthy: `new` did not verify. The message says why, and whether `old` serves.
    """
    progress.step(f"Shifting traffic to release {new.number}")
    wrong = arrive(traffic, route, new, progress)
    if not wrong:
        return
    cause = "; ".join(wrong)
    if old is None:
        raise Unhealthy(f"release {new.number} did not verify: {cause}")
    progress.step(f"Putting traffic back on release {old.number}")
    still = arrive(traffic, route.back, old, progress)
    if still:
        what = f"release {new.number} did not verify: {cause}. Release {old.number} does not either: "
        raise Unhealthy(what + "; ".join(still), hint="ecomdeploy status")
    raise Unhealthy(f"release {new.number} did not verify: {cause}. Release {old.number} serves")


def arrive(traffic: Traffic, route: Route, release: Release, progress: Progress) -> tuple[str, ...]:
    """Bring the endpoint onto a release, from wherever a killed run left it. Returns what is wrong then."""
    configuration = route.configurations.get(release.key)
    if configuration is None:
        return (f"release {release.number} has no configuration",)
    try:
        seen = await_settled(traffic, route, configuration, progress)
        if seen is None:
            return ("there is no endpoint",)
        if seen.configuration != configuration:
            if obstacles := traffic.obstacles(configuration):
                return obstacles
            traffic.shift(route.endpoint, configuration, route.policy)
            traffic.wait(route.endpoint, configuration, progress, route.deadline)
    except Unhealthy as error:
        return (str(error),)
    return verify(traffic, route.endpoint, configuration, release)


def await_settled(
    traffic: Traffic, route: Route, configuration: str, progress: Progress
) -> Observation | None:
    """Where the endpoint is once it no longer changes: a killed run may have left it on its way."""
    seen = traffic.observe(route.endpoint)
    if seen is None or not seen.changing:
        return seen
    with contextlib.suppress(Unhealthy):  # it ended elsewhere than wanted: that is what shift is for
        traffic.wait(route.endpoint, configuration, progress, route.deadline)
    return traffic.observe(route.endpoint)
