"""Ship a release, roll it back, take it down. This page is the design; the verbs below read the same way.

    up        lease                 one writer (stacks/records/lease.py) build                 the pack: known
    from the same inputs, or built provision base        repository and bucket; skipped when nothing
    could change (stacks/pulumi_driver/converged.py) push                  only what the registry misses begin
    the release gets its number: from here on a kill leaves a trace provision service     what the
    release needs exists, and no traffic goes there yet roll                  traffic moves, the release
    is verified through the route (stacks/rollout.py) finish                the release is live, the old
    one superseded prune                 provision service once more, without what fell out of the
    window

    rollback  lease, find, begin, roll, finish. The older release is still provisioned, so Pulumi is not
    asked; if it fell out of the window its image is checked first, and then it is provisioned as in
    `up`.

    down      destroy the service stack, say so in the ledger; with `everything` also the base.

What a kill leaves, and how the next `up` converges:

* before `begin`: at worst pushed blobs, which the next push finds. * between `begin` and `finish`: an
unfinished release. The same pack and contract: the next `up` goes on with that very release. Anything else:
it is marked interrupted, and its resources go with the next prune. Until then they stay declared, because
the endpoint may be on them: nothing that could carry traffic is deleted before traffic is known to be
elsewhere. * between `finish` and the end: the settings differ from what the stack last converged to, so
`up` prunes. * inside a Pulumi run: the stack has no memory, so the next run refreshes and adopts what was
made.

The old release serves throughout, because only `roll` moves traffic, the route flips when the new servers
are ready, and `roll` starts by looking where the endpoint is. A release that does not verify is marked
failed, and traffic is back on the old one before that is written. The first release of all has no old one:
the endpoint goes.
"""

from __future__ import annotations

from modelpack.errors import BadInput
from stacks.collaborators import Outcome, Shop
from stacks.hardware import refuse_hopeless, refuse_unfit
from stacks.pulumi_driver.driver import Deployed
from stacks.settings import base_stack, bucket_name, contract_of, platform_stack, service_stack
from stacks.spec import Spec
from stacks.steps import (
    available,
    base_up,
    begin_or_go_on,
    candidate,
    deliver,
    keep,
    newest,
    outcome,
    possible_target,
    provision_with,
    publish,
    refuse_marked,
    restock,
    restoring,
    standing,
)
from stacks.verify import verify


def up(
    shop: Shop, spec: Spec, *, again: bool = False, refresh: bool = False, regate: bool = False
) -> Outcome:
    """Make the spec's release live, or find that it is.

    Args:
        again: ship a pack although its last release failed or was rolled back.
        refresh: read everything back from the cloud first, and run every program.
        regate: measure the passes anew instead of taking pack.lock's verdict.

    Raises:
        Locked, BadInput, Unhealthy (the old release serves), CloudRefused, EcomdeployError.
    """
    with shop.writing("up"):
        refuse_hopeless(spec, contract_of(spec))
        pack = shop.builder.build(spec, shop.progress, regate=regate)
        refuse_unfit(spec, pack, contract_of(spec))
        refuse_marked(shop, spec, pack, again)
        base, made = base_up(shop, spec, refresh)
        pushed = shop.images.push(base["repository_url"], pack.digest, shop.progress)
        pushed += restock(shop, spec, pack.digest, refresh=refresh or bool(made))
        release = candidate(shop, spec, pack, f"{base['repository_url']}@{pack.digest}")
        live = shop.ledger.live()
        if live and live.key == release.key:
            return keep(shop, spec, base, live, refresh, made, pushed)
        begun = begin_or_go_on(shop, release)
        service = provision_with(shop, spec, base, begun, refresh)
        return deliver(shop, spec, base, begun, service, "live", (*made, *service.changes), pushed)


def rollback(shop: Shop, spec: Spec, number: int | None = None, *, why: str = "") -> Outcome:
    """Put an earlier release back: same pack, same contract, today's scale and alarms. Nothing is built.

    Raises:
        BadInput: there is no such release, it failed, it serves already, its image is gone, or its instance, as the
            tables know it today, cannot run it.
        Locked, Unhealthy (what served before still does), CloudRefused, EcomdeployError.
    """
    with shop.writing("rollback"):
        target = possible_target(shop, spec, number)
        base = shop.outputs(base_stack(spec))
        if base is None:
            raise BadInput("there is nothing deployed here", hint="ecomdeploy up")
        outputs = standing(shop, spec, target)
        if outputs is None and not available(shop, target):
            what = f"release {target.number} cannot be put back: its image is in no store any more"
            raise BadInput(what, hint="ecomdeploy up builds and pushes what the spec asks for")
        if outputs is None:
            restock(shop, spec, target.pack.digest)
        tidy = bool(shop.ledger.leftovers())
        shop.ledger.interrupt("rolled back before it was finished")
        begun = shop.ledger.begin(restoring(target, spec, shop.who, why))
        service = Deployed(outputs) if outputs is not None else provision_with(shop, spec, base, begun, False)
        prune = tidy or outputs is None
        return deliver(shop, spec, base, begun, service, "rolled back", service.changes, 0, prune=prune)


def down(shop: Shop, spec: Spec, *, everything: bool = False) -> Outcome:
    """Take the service down, with `everything` also its base. Doing it twice is fine.

    The platform goes as well on the local cloud, where it is this project's; on AWS services share it
    (`ecomdeploy platform down`).
    """
    with shop.writing("down"):
        gone = shop.take_down(service_stack(spec)).changes
        shop.ledger.interrupt("taken down before it was finished")
        shop.ledger.removed("taken down")
        base = shop.outputs(base_stack(spec))
        if everything:
            if spec.environment.cloud == "local":
                gone += shop.take_down(platform_stack(spec)).changes
            shop.sweeper.empty(bucket_name(spec), str(base["repository_url"]) if base else "")
            gone += shop.take_down(base_stack(spec)).changes
        elif base is not None:
            publish(shop, spec, base)
        stacks = (base_stack(spec), platform_stack(spec))
        remaining = tuple(str(stack) for stack in stacks if shop.outputs(stack) is not None)
        return outcome(shop, spec, "removed", newest(shop), changes=gone, remaining=remaining)


def status(shop: Shop, spec: Spec) -> Outcome:
    """What serves, verified through the route. Reads only, takes no lease."""
    live = shop.ledger.live()
    outputs = shop.outputs(service_stack(spec)) if live else None
    if live is None or outputs is None:
        problems = (
            ("nothing is deployed here",) if live is None else (f"release {live.number} has no endpoint",)
        )
        return outcome(shop, spec, "status", live or newest(shop), problems=problems)
    wrong = verify(shop.traffic, outputs["endpoint"], outputs["configurations"].get(live.key, ""), live)
    return outcome(shop, spec, "status", live, outputs["endpoint"], verified=not wrong, problems=wrong)
