"""Ship a release, roll it back, take it down. This page is the design; the verbs below read the same way.

    up        lease               one writer (stacks/records/lease.py)
              build               the pack: known from the same inputs, or built
              terms               not marked, not frozen, and what was planned (stacks/terms)
              base                repository and bucket; skipped when nothing could change (pulumi_driver/converged.py)
              push                only what the registry misses
              begin               the release gets its number: from here on a kill leaves a trace
              provision           what the release needs exists, and no traffic goes there yet
              roll out            traffic moves, the release is verified through the route (stacks/rollout.py)
              finish              the release is live, the old one superseded
              prune               the service stack once more, without what fell out of the window

    rollback  lease, find, begin, roll out, finish
                                  the older release is still provisioned, so Pulumi is not asked; if it fell out of
                                  the window its image is checked first, and then it is provisioned as in `up`

    down      lease, destroy      the service stack, and the ledger says so; with `everything` also the base

What a kill leaves, and how the next `up` converges:

    before `begin`                at worst pushed blobs, which the next push finds
    `begin` to `finish`           an unfinished release. The same pack in the same serving configuration: the next `up`
                                  goes on with that very release. Anything else: it is marked interrupted, and its
                                  resources go with the next prune. Until then they stay declared, because the endpoint
                                  may be on them: nothing that could carry traffic is deleted before traffic is known
                                  to be elsewhere
    `finish` to the end           the settings differ from what the stack last converged to, so `up` prunes
    inside a Pulumi run           the stack has no converged state, so the next run refreshes and adopts what was made

The old release serves throughout, because only the roll-out moves traffic, the route flips when the new servers are
ready, and the roll-out starts by looking where the endpoint is. A release that does not verify is marked failed, and
traffic is back on the old one before that is written. The first release of all has no old one: the endpoint goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stacks.candidates import find_target, make_candidate, refuse_marked, restore
from stacks.collaborators import Collaborators
from stacks.hardware import refuse_hopeless, refuse_unfit
from stacks.plan import plan
from stacks.run import Outcome, Run
from stacks.secrets import refuse_unset
from stacks.spec import Spec
from stacks.steps import (
    begin_or_go_on,
    bring_back,
    bring_base_up,
    ensure_images,
    find_standing,
    provision_release,
    publish,
    reconcile,
    require_base,
    roll_out,
    verify_live,
)
from stacks.terms.bound_plan import refuse_changed
from stacks.terms.freeze import refuse_frozen


def up(
    deps: Collaborators,
    spec: Spec,
    *,
    again: bool = False,
    refresh: bool = False,
    regate: bool = False,
    override: str = "",
    planned: Mapping[str, Any] | None = None,
) -> Outcome:
    """Make the spec's release live, or find that it is.

    Args:
        again: ship a pack although its last release failed or was rolled back.
        refresh: read everything back from the cloud first, and run every program.
        regate: measure the passes anew instead of taking pack.lock's verdict.
        override: why a rollout may begin although it is frozen (stacks/terms/freeze.py).
        planned: do what this plan says and nothing else (stacks/terms/bound_plan.py).

    Raises:
        Locked, BadInput, Unhealthy (the old release serves), CloudRefused, EcomdeployError.
    """
    run = Run.of(deps, spec, refresh=refresh)
    with run.hold_lease("up"):
        refuse_unset(run.wanted.confidential)
        refuse_hopeless(run.wanted)
        pack = deps.builder.build(run.wanted, deps.progress, regate=regate)
        refuse_unfit(run.wanted, pack)
        refuse_marked(run, pack, again)
        why = refuse_frozen(run, pack, override)
        if planned is not None:
            refuse_changed(planned, plan(deps, spec))
        bring_base_up(run)
        run.push(run.base["repository_url"], pack.digest)
        ensure_images(run, pack.digest)
        release = make_candidate(run.wanted, pack, run.base["repository_url"], deps.who)
        live = deps.ledger.live()
        if live and live.key == release.key:
            return reconcile(run, live)
        begun = begin_or_go_on(run, replace(release, why=why))
        service = provision_release(run, begun)
        return roll_out(run, begun, service)


def rollback(deps: Collaborators, spec: Spec, number: int | None = None, *, why: str = "") -> Outcome:
    """Put an earlier release back: same pack, served as it was, today's scale and alarms. Nothing is built.

    Raises:
        BadInput: there is no such release, it failed, it serves already, its image is gone, or its instance, as the
            tables know it today, cannot run it.
        Locked, Unhealthy (what served before still does), CloudRefused, EcomdeployError.
    """
    run = Run.of(deps, spec)
    with run.hold_lease("rollback"):
        target = find_target(run, number)
        require_base(run)
        standing = find_standing(run, target)
        if standing is None:
            bring_back(run, target)
        tidy = standing is None or bool(deps.ledger.leftovers())
        deps.ledger.interrupt("rolled back before it was finished")
        begun = deps.ledger.begin(restore(target, run.wanted, deps.who, why))
        service = standing or provision_release(run, begun)
        return roll_out(run, begun, service, tidy=tidy)


def down(deps: Collaborators, spec: Spec, *, everything: bool = False) -> Outcome:
    """Take the service down, with `everything` also its base. Doing it twice is fine.

    The platform goes as well on the local cloud, where it is this project's; on AWS services share it
    (`ecomdeploy platform down`).
    """
    run = Run.of(deps, spec)
    with run.hold_lease("down"):
        run.take_down(run.wanted.service)
        deps.ledger.interrupt("taken down before it was finished")
        deps.ledger.remove_all("taken down")
        run.base = run.outputs(run.wanted.base) or {}
        if everything:
            if run.wanted.local:
                run.take_down(run.wanted.platform)
            deps.sweeper.empty(run.wanted.bucket, run.base.get("repository_url", ""))
            run.take_down(run.wanted.base)
        elif run.base:
            publish(run)
        stacks = (run.wanted.base, run.wanted.platform)
        remaining = tuple(str(stack) for stack in stacks if run.outputs(stack) is not None)
        return run.outcome("removed", deps.ledger.newest(), remaining=remaining)


def status(deps: Collaborators, spec: Spec) -> Outcome:
    """What serves, verified through the route. Reads only, takes no lease."""
    run, live = Run.of(deps, spec), deps.ledger.live()
    if live is None:
        begun = deps.ledger.find_unfinished()
        going_on = begun and f"release {begun.number} is not finished: `ecomdeploy up` goes on with it"
        return run.outcome("status", deps.ledger.newest(), problems=(going_on or "nothing is deployed here",))
    service = run.outputs(run.wanted.service)
    if service is None:
        return run.outcome("status", live, problems=(f"release {live.number} has no endpoint",))
    wrong = verify_live(run, service, live)
    return run.outcome("status", live, endpoint=service["endpoint"], verified=not wrong, problems=wrong)
