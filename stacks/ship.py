"""Ship a release, roll it back, take it down. This page is the design; the verbs below read the same way.

    up        preflight           the cluster has what it takes (stacks/preflight.py)
              lease               one writer (stacks/records/lease.py)
              claim               it is ours, and its history is here (stacks/ownership.py); the platform's network,
                                  where its servers are to stand in it (stacks/terms/network.py)
              build               the pack: known from the same inputs, or built; where a job trains its model, the base
                                  comes first, for the job's image, data and role are there
              terms               not marked, not frozen, within the account's quotas (stacks/quotas.py), and what was
                                  planned (stacks/terms)
              base                repository and bucket; skipped when nothing could change and nobody else has changed
                                  anything (pulumi_driver/converged.py)
              push                only what the registry misses
              begin               the release gets its number: from here on a kill leaves a trace
              provision           what the release needs exists, and no traffic goes there yet
              approval            where it is asked for: somebody else says yes (stacks/terms/approval.py)
              roll out            traffic moves, the release is verified through the route (stacks/rollout/move.py)
              finish              the release is live, the old one superseded
              prune               the service stack once more, without what fell out of the window

    rollback  lease, find, begin, roll out, finish (a release on its way that nobody ended is turned back instead)
                                  the older release is still provisioned, so Pulumi is not asked; if it fell out of
                                  the window its image is checked first, and then it is provisioned as in `up`, its
                                  base as well

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

from stacks.candidates import (
    find_target,
    make_candidate,
    must_train_elsewhere,
    refuse_marked,
    restore,
    type_up,
)
from stacks.collaborators import Collaborators
from stacks.hardware import refuse_hopeless, refuse_unfit
from stacks.history.publish import publish
from stacks.ownership import claim, find_stateless, find_unsuspected, refuse_stateless, tell_copy, type_verb
from stacks.plan import plan
from stacks.preflight import refuse_lacking
from stacks.pulumi_driver.driver import disclaim
from stacks.quotas import refuse_short_service
from stacks.recover import restore_stacks
from stacks.rollout.unfinished import abandon, find_begun, tell_unfinished
from stacks.run import Outcome, Run
from stacks.secrets import refuse_unset
from stacks.spec import Spec
from stacks.steps import (
    begin_or_go_on,
    bring_back,
    bring_base_up,
    ensure_images,
    find_standing,
    leave_platform,
    provision_release,
    reconcile,
    require_base,
    roll_out,
    stop_using_platform,
    tell_kept_logs,
    verify_live,
)
from stacks.terms.approval import MINUTES, await_approval, must_wait
from stacks.terms.bound_plan import refuse_changed
from stacks.terms.freeze import refuse_frozen
from stacks.terms.network import join_platform, refuse_lost_network, resolve_network


def up(
    deps: Collaborators,
    spec: Spec,
    *,
    again: bool = False,
    refresh: bool = False,
    regate: bool = False,
    override: str = "",
    approval: float | None = None,
    adopt: bool = False,
    planned: Mapping[str, Any] | None = None,
) -> Outcome:
    """Make the spec's release live, or find that it is.

    Args:
        again: ship a pack although its last release failed or was rolled back.
        refresh: read everything back from the cloud first, and run every program.
        regate: measure the passes anew instead of taking pack.lock's verdict.
        override: why a rollout may begin although it is frozen (stacks/terms/freeze.py).
        approval: minutes to wait for somebody's approval, before any traffic moves (stacks/terms/approval.py).
        adopt: take over what another project has made under these names, with its history (stacks/ownership.py).
        planned: do what this plan says and nothing else (stacks/terms/bound_plan.py).

    Raises:
        Locked, BadInput, Unhealthy (the old release serves), CloudRefused, NotApproved, EcomdeployError.
    """
    run = Run.of(deps, spec, refresh=refresh)
    refuse_lacking(deps.preflight(run.wanted), deps.progress)
    with run.hold_lease("up"):
        claim(run, adopt=adopt)
        resolve_network(run)
        refuse_unset(run.wanted.confidential)
        refuse_hopeless(run.wanted)
        refuse_short_service(run)
        if must_train_elsewhere(run):
            bring_base_up(run)
        pack = deps.builder.build(run.wanted, deps.progress, regate=regate, base=run.base)
        refuse_unfit(run.wanted, pack)
        refuse_marked(run, pack, again)
        refuse_short_service(run, pack)
        why = refuse_frozen(run, pack, override)
        if planned is not None:
            refuse_changed(planned, plan(deps, spec))
        join_platform(run)
        if not run.base:
            bring_base_up(run)
        run.push(run.base["repository_url"], pack.digest)
        ensure_images(run, pack.digest)
        release = make_candidate(run.wanted, pack, run.base["repository_url"], deps.who)
        live = deps.ledger.live()
        if live and live.key == release.key:
            return reconcile(run, live)
        begun = begin_or_go_on(run, replace(release, why=why))
        waits, minutes = must_wait(run, begun, approval is not None), approval or MINUTES
        if waits and live is None:  # it would be in traffic as soon as it is made
            await_approval(run, begun, minutes)
        service = provision_release(run, begun)
        if waits and live is not None:
            await_approval(run, begun, minutes, service)
        return roll_out(run, begun, service)


def rollback(deps: Collaborators, spec: Spec, number: int | None = None, *, why: str = "") -> Outcome:
    """Put an earlier release back: same pack, served as it was, today's scale and alarms. Nothing is built.

    Without a number, while a release is on its way that a killed run began: the live one.

    Raises:
        BadInput: there is no such release, it failed, it serves already, its image is gone, or its instance, as the
            tables know it today, cannot run it.
        Locked, Unhealthy (what served before still does), CloudRefused, EcomdeployError.
    """
    run = Run.of(deps, spec)
    with run.hold_lease("rollback"):
        claim(run, adopt=False)
        begun = find_begun(run) if number is None else None
        if begun and begun.restores is None:
            return abandon(run, begun, why)
        # A rollback that was killed goes on to where it went.
        target = find_target(run, begun.restores if begun else number)
        refuse_lost_network(run, target)
        require_base(run)
        standing = find_standing(run, target)
        if standing is None:
            bring_base_up(run)
            bring_back(run, target)
        tidy = standing is None or bool(deps.ledger.leftovers())
        deps.ledger.interrupt("rolled back before it was finished")
        begun = deps.ledger.begin(restore(target, run.wanted, deps.who, why))
        service = standing or provision_release(run, begun)
        return roll_out(run, begun, service, tidy=tidy)


def down(
    deps: Collaborators,
    spec: Spec,
    *,
    everything: bool = False,
    former: bool = False,
    adopt: bool = False,
) -> Outcome:
    """Take the service down, with `everything` also its base. Doing it twice is fine.

    The platform goes as well on the local cloud, if no other service uses it; on AWS it stays (`ecomdeploy platform
    down`).

    Args:
        former: the spec has a name that the service had before; what serves by its others is not in question.
        adopt: also what another project has made under these names: it is taken over first, with its history.

    Raises:
        BadInput: it is another's, or the state of its stack is not here.
        Locked, CloudRefused, EcomdeployError.
    """
    run = Run.of(deps, spec)
    with run.hold_lease("down"):
        claim(run, adopt=adopt)
        if adopt:
            restore_stacks(run, deps.traffic.observe(run.wanted.endpoint))
        refuse_stateless(run)
        run.take_down(run.wanted.service)
        deps.ledger.interrupt("taken down before it was finished")
        deps.ledger.remove_all("taken down")
        run.base = run.outputs(run.wanted.base) or {}
        if everything:
            leave_platform(run)
            deps.sweeper.empty(run.wanted.bucket, run.base.get("repository_url", ""))
            run.take_down(run.wanted.base)
            tell_kept_logs(run)
        else:
            stop_using_platform(run)
            if run.base:
                publish(run)
        stacks = (run.wanted.base, run.wanted.platform)
        remaining = tuple(str(stack) for stack in stacks if run.outputs(stack) is not None)
        if not remaining:
            disclaim(deps.store)
        done = run.outcome("removed", deps.ledger.newest(), remaining=remaining, hint=type_up(deps.ledger))
        return replace(done, notes=()) if former else done


def status(deps: Collaborators, spec: Spec) -> Outcome:
    """What serves, verified through the route, and that all it needs still exists. Reads only, takes no lease."""
    run, live = Run.of(deps, spec), deps.ledger.live()
    run.refuse_other()
    if live is None:
        if objection := find_unsuspected(run):
            return run.outcome("status", None, problems=(str(objection),), hint=objection.hint)
        begun = deps.ledger.find_unfinished()
        going_on = begun and f"release {begun.number} is not finished: `ecomdeploy up` goes on with it"
        return run.outcome("status", deps.ledger.newest(), problems=(going_on or "nothing is deployed here",))
    service = run.outputs(run.wanted.service)
    if service is None:
        if objection := find_stateless(run):
            return run.outcome("status", live, problems=(str(objection),), hint=type_verb(run))
        return run.outcome("status", live, problems=(f"release {live.number} has no endpoint",))
    wrong = verify_live(run, service, live) or deps.traffic.obstacles(service["revisions"][live.key])
    seen = run.outcome("status", live, endpoint=service["endpoint"], verified=not wrong, problems=wrong)
    unscaled = deps.traffic.find_scaling_trouble(service["revisions"][live.key])
    notes = (f"its servers do not follow the load: {why}" for why in unscaled)
    return replace(seen, notes=(*seen.notes, *notes, *tell_unfinished(run, service, live), *tell_copy(run)))
