"""The steps of `ship.py`, one function each, in the order of its page; small questions come last."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from infra.targets.base import ShiftPolicy
from modelpack.errors import BadInput, EcomdeployError, Unhealthy
from stacks.collaborators import Outcome, Shop
from stacks.hardware import incapable, remarks
from stacks.pulumi_driver.driver import Change, Deployed
from stacks.records.release import Packed, Release, State
from stacks.rollout import Route, arrive, roll
from stacks.settings import base_settings, base_stack, contract_of, policy_of, service_settings, service_stack
from stacks.spec import Spec
from stacks.verify import verify

Outputs = Mapping[str, Any]

ALARM_SECONDS = 120
"""How long a new release is watched by its alarms on AWS: two of their periods. The local cloud's never ring by
themselves, so nothing is waited for there."""

FAILED = "Failed"
"""The status of an endpoint that can only be deleted."""


def refuse_marked(shop: Shop, spec: Spec, pack: Packed, again: bool) -> None:
    """A pack that failed or was rolled back is not shipped again by accident.

    Raises:
        BadInput: it is marked, it does not serve now, and `again` was not asked for.
    """
    live, marked = shop.ledger.live(), shop.ledger.refused(pack.digest)
    serves = live and live.pack.digest == pack.digest and live.contract == contract_of(spec)
    if marked and not serves and not again:
        what = f"this very pack was release {marked.number}, and it {describe_end(marked)}"
        raise BadInput(what, hint="change the spec, or ship it nevertheless: ecomdeploy up --again")


def base_up(shop: Shop, spec: Spec, refresh: bool) -> tuple[Outputs, tuple[Change, ...]]:
    """The base stack, and a look at the two things of it that this run stands on (see pulumi_driver/converged.py)."""
    stack, settings = base_stack(spec), base_settings(spec)
    base = shop.provision(stack, settings, refresh=refresh)
    made = base.changes
    stands = shop.images.reachable(base.outputs["repository_url"]) and shop.publisher.reachable(
        base.outputs["bucket"]
    )
    if not stands:
        base = shop.provision(stack, settings, refresh=True)
    return base.outputs, (*made, *base.changes) if not stands else made


def candidate(shop: Shop, spec: Spec, pack: Packed, image: str) -> Release:
    place = spec.environment.name
    return Release(
        number=0, service=spec.service, environment=place, pack=pack, image=image,
        contract=contract_of(spec), policy=policy_of(spec), who=shop.who, replicas=spec.scale.min,
    )  # fmt: skip


def restoring(target: Release, spec: Spec, who: str, why: str) -> Release:
    """Pack and contract of then, scale and alarms of today."""
    return Release(
        number=0, service=target.service, environment=target.environment, pack=target.pack,
        image=target.image, contract=target.contract, policy=policy_of(spec),
        restores=target.number, who=who, why=why,
    )  # fmt: skip


def begin_or_go_on(shop: Shop, release: Release) -> Release:
    """The release that a killed run began, if it is this one; else a new one."""
    unfinished = shop.ledger.unfinished()
    if unfinished and unfinished.key == release.key and unfinished.restores is None:
        shop.progress.note(f"going on with release {unfinished.number}, which an earlier run did not finish")
        return unfinished
    shop.ledger.interrupt("another release was asked for")
    return shop.ledger.begin(release)


def provision_with(shop: Shop, spec: Spec, base: Outputs, release: Release, refresh: bool) -> Deployed:
    """Everything that stands, and this release, with no traffic on it (unless it is the first of all).

    Raises:
        Unhealthy: it is the first, and its endpoint failed.
        EcomdeployError: the cloud or Pulumi stopped it; the release is interrupted, what served still serves.
    """
    live, gone = shop.ledger.live(), is_endpoint_gone(shop, spec)
    declared = (release, *((live,) if live else ()), *shop.ledger.retained(), *shop.ledger.leftovers())
    serving = live if live and not gone else release
    settings = service_settings(spec, base["role_arn"], declared, serving.key, shop.ledger.clock())
    shop.progress.step(f"Provisioning release {release.number}")
    try:
        service = shop.provision(service_stack(spec), settings, refresh=refresh or gone)
    except EcomdeployError as error:
        seen = shop.traffic.observe(spec.name) if live is None else None
        if seen is not None and seen.status == FAILED:
            raise fail_first(shop, spec, release, seen.failure or str(error)) from error
        shop.ledger.record(release.number, State.INTERRUPTED, str(error))
        raise
    shop.ledger.record(release.number, State.PROVISIONED)
    return service


def is_endpoint_gone(shop: Shop, spec: Spec) -> bool:
    """Whether there is no endpoint that could be moved. A failed one can only be deleted: that is done."""
    seen = shop.traffic.observe(spec.name)
    if seen is not None and seen.status == FAILED:
        shop.progress.note(f"the endpoint has failed ({seen.failure}): it is made anew")
        shop.take_down(service_stack(spec))
    return seen is None or seen.status == FAILED


def restock(shop: Shop, spec: Spec, digest: str, *, refresh: bool = False) -> int:
    """Where the cloud may have lost things, see that it has the images of all releases that will be declared.

    Sends what the local store has; a release whose image is nowhere any more is marked as removed, unless the
    endpoint may be on it. `digest` is the image in hand, which is pushed anyway. Returns the bytes sent.
    """
    if shop.memory.settled(service_stack(spec)) and not refresh:
        return 0
    live, sent, serves = shop.ledger.live(), 0, shop.traffic.observe(spec.name) is not None
    in_use = (*((live,) if live else ()), *shop.ledger.leftovers())
    for each in (*in_use, *shop.ledger.retained()):
        repository, held = each.image.rpartition("@")[0], each.pack.digest
        if held == digest or shop.images.holds(repository, held):
            continue
        if shop.images.stored(held):
            sent += shop.images.push(repository, held, shop.progress)
        elif each not in in_use or not serves:
            shop.ledger.record(each.number, State.REMOVED, "its image is in no store any more")
    return sent


def deliver(
    shop: Shop, spec: Spec, base: Outputs, release: Release, service: Deployed, done: str,
    changes: tuple[Change, ...], pushed: int, *, prune: bool = True,
) -> Outcome:  # fmt: skip
    """Roll, finish, prune.

    Raises:
        Unhealthy: it did not verify; the release is marked failed, the old one serves.
    """
    old, route = shop.ledger.live(), route_of(spec, service.outputs)
    route = route.back if release.restores is not None else route
    shop.ledger.record(release.number, State.SHIFTING)
    try:
        roll(shop.traffic, route, old, release, shop.progress)
    except Unhealthy as error:
        if old is None:
            raise fail_first(shop, spec, release, str(error)) from error
        shop.ledger.fail(release.number, str(error))
        try:
            settle(shop, spec, base, old)
        except EcomdeployError as later:  # the next `up` tidies; what the user must hear now is why it failed
            shop.progress.note(f"not tidied up yet: {later}")
        raise
    except EcomdeployError as error:
        shop.ledger.record(release.number, State.INTERRUPTED, str(error))
        raise
    live = shop.ledger.finish(release.number)
    if prune:
        changes += settle(shop, spec, base, live)
    else:
        publish(shop, spec, base)
    return outcome(
        shop, spec, done, live, route.endpoint, verified=True, changes=changes, pushed_bytes=pushed
    )


def keep(
    shop: Shop, spec: Spec, base: Outputs, live: Release, refresh: bool, made: tuple[Change, ...], pushed: int
) -> Outcome:
    """It is live already: make sure of it, and apply what is no part of a release (scale, alarms)."""
    leftovers = shop.ledger.leftovers()
    shop.ledger.interrupt("the live release was asked for")
    declared = (live, *shop.ledger.retained(), *leftovers)
    settings = service_settings(spec, base["role_arn"], declared, live.key, shop.ledger.clock())
    service = shop.provision(service_stack(spec), settings, refresh=refresh)
    wrong = verify_live(shop, spec, service.outputs, live)
    changes = (*made, *service.changes)
    if wrong:
        shop.progress.note(f"release {live.number} is not as it should be: {'; '.join(wrong)}")
        is_endpoint_gone(shop, spec)
        service = shop.provision(service_stack(spec), settings, refresh=True)
        changes += service.changes
        wrong = arrive(shop.traffic, route_of(spec, service.outputs), live, shop.progress)
        if wrong:
            raise Unhealthy(f"release {live.number} does not serve as it should: {'; '.join(wrong)}")
    changes += settle(shop, spec, base, live)
    done = "updated" if changes or pushed else "nothing to do"
    endpoint = service.outputs["endpoint"]
    return outcome(shop, spec, done, live, endpoint, verified=True, changes=changes, pushed_bytes=pushed)


def settle(shop: Shop, spec: Spec, base: Outputs, live: Release) -> tuple[Change, ...]:
    """Traffic is on `live`: take away what neither it nor a rollback needs, and publish the records."""
    leftovers = [each for each in shop.ledger.leftovers() if each.state is State.INTERRUPTED]
    settings = service_settings(
        spec, base["role_arn"], (live, *shop.ledger.retained()), live.key, shop.ledger.clock()
    )
    changes = shop.provision(service_stack(spec), settings).changes
    for each in leftovers:
        shop.ledger.record(each.number, State.REMOVED, each.cause)
    publish(shop, spec, base)
    return changes


def fail_first(shop: Shop, spec: Spec, release: Release, cause: str) -> Unhealthy:
    """Nothing to go back to: the endpoint goes, the ledger keeps the cause."""
    shop.take_down(service_stack(spec))
    shop.ledger.fail(release.number, cause)
    return Unhealthy(
        f"{cause}. It was the first release, so the endpoint was removed", hint="ecomdeploy releases"
    )


def possible_target(shop: Shop, spec: Spec, number: int | None) -> Release:
    """The release to go back to, if that can be.

    Raises:
        BadInput: it cannot, and why.
    """
    live = shop.ledger.live()
    if live is None:
        raise BadInput("nothing is live, so there is nothing to roll back", hint="ecomdeploy up")
    target = shop.ledger.find(number) if number is not None else shop.ledger.previous()
    if target.key == live.key:
        raise BadInput(
            f"release {target.number} is what serves now (release {live.number})", hint="ecomdeploy releases"
        )
    if all(moment.state is not State.LIVE for moment in target.timeline):
        raise BadInput(
            f"release {target.number} never was live (it {describe_end(target)})", hint="ecomdeploy releases"
        )
    if target.contract.target != spec.serve.target:
        what = (
            f"release {target.number} was on {target.contract.target}, and the spec says {spec.serve.target}"
        )
        raise BadInput(what, hint=f"set serve.target: {target.contract.target} first")
    if problems := incapable(target.pack, target.contract):
        what = f"release {target.number} cannot be put back on {target.contract.instance}"
        raise BadInput(f"{what}: {'; '.join(each.what for each in problems)}", hint="ecomdeploy releases")
    return target


def describe_end(release: Release) -> str:
    """How it ended, in words: "failed: golden request 1 ..."."""
    end = release.end
    if end is None:
        return "was begun"
    words = {State.ROLLED_BACK: "was rolled back", State.FAILED: "failed"}.get(end.state, f"was {end.state}")
    return f"{words}: {end.cause}" if end.cause else words


def standing(shop: Shop, spec: Spec, target: Release) -> Outputs | None:
    """The service stack's outputs, if all that the target needs exists in them and in the cloud."""
    outputs = shop.memory.outputs(service_stack(spec))
    configuration = outputs["configurations"].get(target.key) if outputs else None
    if outputs is None or not configuration or shop.traffic.obstacles(configuration):
        return None
    seen = shop.traffic.observe(outputs["endpoint"])
    return outputs if seen is not None and seen.status != FAILED else None


def available(shop: Shop, target: Release) -> bool:
    """Whether the registry has the image, if need be after sending it from the local store."""
    repository = target.image.rpartition("@")[0]
    if not shop.images.holds(repository, target.pack.digest) and shop.images.stored(target.pack.digest):
        shop.images.push(repository, target.pack.digest, shop.progress)
    return shop.images.holds(repository, target.pack.digest)


def verify_live(shop: Shop, spec: Spec, outputs: Outputs, live: Release) -> tuple[str, ...]:
    return verify(shop.traffic, outputs["endpoint"], outputs["configurations"].get(live.key, ""), live)


def route_of(spec: Spec, outputs: Outputs) -> Route:
    seconds = spec.rollout.deadline_minutes * 60
    policy = ShiftPolicy(
        keep_capacity=spec.scale.target_rps is not None or bool(spec.scale.schedule),
        alarms=tuple(outputs.get("alarms", ())),
        bake=ALARM_SECONDS if spec.environment.cloud == "aws" else 0,
        timeout=int(seconds),
    )
    return Route(outputs["endpoint"], outputs["configurations"], seconds, policy)


def publish(shop: Shop, spec: Spec, base: Outputs) -> None:
    """The ledger's records as objects in the base bucket, those that differ."""
    shop.publisher.publish(base["bucket"], dict(records(spec, shop.ledger.releases())))


def records(spec: Spec, releases: Iterable[Release]) -> Iterable[tuple[str, bytes]]:
    for release in releases:
        data = json.dumps(release.document(), indent=1, sort_keys=True).encode()
        yield f"releases/{spec.service}/{release.number}.json", data


def newest(shop: Shop) -> Release | None:
    return next(reversed(shop.ledger.releases()), None)


def outcome(
    shop: Shop, spec: Spec, done: str, release: Release | None, endpoint: str = "", **more: Any
) -> Outcome:
    said = (
        tuple(remarks(spec, release.pack, release.contract.instance)) if release and done != "removed" else ()
    )
    return Outcome(
        done=done, spec=spec, driver=shop.driver.name, release=release, endpoint=endpoint, notes=said, **more
    )
