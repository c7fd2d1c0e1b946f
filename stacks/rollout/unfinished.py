"""A release that a killed run left on its way: what the place made of it, and turning it back."""

from __future__ import annotations

from collections.abc import Sequence

from infra.targets.base import Traffic
from modelpack.errors import BadInput, Unhealthy
from stacks.records.release import Release, State
from stacks.rollout.bakes import began_at, list_rung
from stacks.run import Outcome, Outputs, Run
from stacks.steps import live_releases, prune, require_base


def tell_unfinished(run: Run, service: Outputs, live: Release) -> tuple[str, ...]:
    """What the cloud made of a release that was begun after the live one and not ended, in words."""
    begun = run.deps.ledger.find_unfinished()
    if begun is None or begun.number < live.number:
        return ()
    revision, own = service["revisions"].get(begun.key, ""), service.get("release_alarms", {})
    copied = service.get("shadow_alarms", {})
    alarms = (*service.get("alarms", ()), *own.get(begun.key, ()), *copied.get(begun.key, ()))
    return (describe_unfinished(run.deps.traffic, service["endpoint"], revision, begun, alarms),)


def describe_unfinished(
    traffic: Traffic, endpoint: str, revision: str, release: Release, alarms: Sequence[str]
) -> str:
    """What became of a release that an earlier run did not end, or is at this moment."""
    what = f"release {release.number} is not finished"
    if release.state is State.AWAITING:
        return f"{what}: it waits for approval {release.cause}: ecomdeploy approve {release.number}"
    seen = traffic.observe(endpoint)
    if seen.copied and seen.destination == revision:
        part = f"it gets copies of {seen.copied} % of the requests, and answers nobody"
        return f"{what}: {part}{', watched by alarms' if seen.baking else '; ecomdeploy up ends it'}"
    if seen.moving and seen.destination == revision:
        return f"{what}: {seen.share} % of the traffic is on it{', watched by alarms' if seen.baking else ''}"
    if seen.revision == revision:
        return f"{what}: all traffic is on it; ecomdeploy up verifies it and ends it"
    since = began_at(release)
    if since and (rung := list_rung(traffic, alarms, since)):
        return f"{what}: it was turned back: {'; '.join(rung)}; ecomdeploy up writes that down"
    told = f"; {seen.turned_back}" if seen.turned_back else ""
    return f"{what}: no traffic is on it; ecomdeploy up goes on with it{told}"


def find_begun(run: Run) -> Release | None:
    """A release that was begun after the live one, not ended, and may have traffic."""
    live, begun = run.deps.ledger.live(), run.deps.ledger.find_unfinished()
    after = live and begun and begun.number > live.number and began_at(begun)
    return begun if after else None


def abandon(run: Run, begun: Release, why: str) -> Outcome:
    """Turn a release back that a killed run left on its way: all traffic on the live one, at once.

    Raises:
        Unhealthy: that does not serve as it should; CloudRefused: there are no servers for it.
    """
    ledger = run.deps.ledger
    require_base(run)
    (live,), service = live_releases(run), run.outputs(run.wanted.service)
    if service is None:
        raise BadInput("there is no endpoint to put traffic back on", hint="ecomdeploy up")
    run.deps.progress.step(f"Putting traffic back on release {live.number}")
    if wrong := run.rollout(service).without_alarms().arrive(live):
        what = f"release {live.number} does not serve as it should: {'; '.join(wrong)}"
        raise Unhealthy(what, hint="ecomdeploy status")
    ledger.record(begun.number, State.INTERRUPTED, why or "rolled back before it was finished")
    run.deps.converged.forget(run.wanted.service)
    prune(run, live)
    return run.outcome("rolled back", live, endpoint=service["endpoint"], verified=True)
