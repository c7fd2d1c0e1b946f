"""The steps of `ship.py` that act, one function each, in the order of its page; small questions come last."""

from __future__ import annotations

from dataclasses import replace

from infra.targets.base import Phase
from modelpack.errors import BadInput, CloudRefused, EcomdeployError, Unhealthy
from stacks.history.publish import publish, publish_owner, publish_pack
from stacks.records.release import Release, State
from stacks.records.users import read_users, strike_user
from stacks.rollout.kept import make_recorder
from stacks.run import Outcome, Outputs, Run
from stacks.secrets import find_unknown
from stacks.settings import base_settings
from stacks.verify import verify

PAUSED = "the instance type changes: automatic scaling is taken off until the traffic has moved"
KEPT_LINES = 500
"""Of a failed release's log."""


def bring_base_up(run: Run) -> None:
    """The base stack, with a look at the two things of it that this run stands on (pulumi_driver/converged.py), and
    whose it is."""
    stack = run.wanted.base
    settings = base_settings(run.wanted, run.outputs(stack))
    run.base = run.provision(stack, settings, refresh=run.refresh)
    images, publisher = run.deps.images, run.deps.publisher
    if not (images.is_reachable(run.base["repository_url"]) and publisher.is_reachable(run.base["bucket"])):
        run.base = run.provision(stack, settings, refresh=True)
    publish_owner(run)


def ensure_images(run: Run, in_hand: str) -> None:
    """Where the cloud may have lost things, see that it has the images of all releases that will be declared.

    Sends what the local store has; a release whose image is nowhere any more is marked as removed, unless the
    endpoint may be on it. `in_hand` is the digest that is pushed anyway.
    """
    base_changed = bool(run.changes)
    if run.deps.converged.outputs(run.wanted.service) is not None and not (run.refresh or base_changed):
        return
    ledger = run.deps.ledger
    in_use = (*live_releases(run), *ledger.leftovers())
    serves = run.deps.traffic.observe(run.wanted.endpoint).phase is not Phase.ABSENT
    for each in (*in_use, *ledger.list_retained()):
        whole = knows_secrets(run, each)
        if whole and (each.pack.digest == in_hand or fetch_back(run, each)):
            continue
        if each not in in_use or not serves:
            lost = (
                "its image is in no store any more" if whole else "a secret that it was served with is gone"
            )
            ledger.record(each.number, State.REMOVED, lost)


def knows_secrets(run: Run, release: Release) -> bool:
    """Whether the values behind a release's own parameters are in hand, or in the cloud."""
    unknown = find_unknown(release, run.wanted.confidential)
    return not unknown or run.deps.parameters.are_there(unknown)


def fetch_back(run: Run, release: Release) -> bool:
    """Whether the registry has the release's image, if need be after sending it from the local store."""
    repository, digest = release.image.rpartition("@")[0], release.pack.digest
    images = run.deps.images
    if not images.holds(repository, digest) and images.is_stored(digest):
        run.push(repository, digest)
    return images.holds(repository, digest)


def begin_or_go_on(run: Run, release: Release) -> Release:
    """The release that a killed run began, if it is this one; else a new one."""
    ledger = run.deps.ledger
    unfinished = ledger.find_unfinished()
    if unfinished and unfinished.key == release.key and unfinished.restores is None:
        run.deps.progress.note(
            f"going on with release {unfinished.number}, which an earlier run did not finish"
        )
        if release.why:
            ledger.record(unfinished.number, unfinished.state, release.why)
        return unfinished
    ledger.interrupt("another release was asked for")
    return ledger.begin(release)


def provision_release(run: Run, release: Release) -> Outputs:
    """Everything that stands, and this release, with no traffic on it (unless it is the first of all).

    Raises:
        Unhealthy: it is the first, and its endpoint failed; CloudRefused: for want of capacity or quota.
        EcomdeployError: the cloud or Pulumi stopped it; the release is interrupted, what served still serves.
    """
    ledger, live = run.deps.ledger, run.deps.ledger.live()
    gone = remove_if_failed(run)
    declared = (release, *live_releases(run), *ledger.list_retained(), *ledger.leftovers())
    initial = live if live and not gone else release
    paused = pauses_scaling(run, release.serving.instance)
    settings = run.tell_service(declared, initial.key, scaling=not paused)
    run.deps.progress.step(f"Provisioning release {release.number}")
    if paused:
        run.deps.progress.note(PAUSED)
    try:
        service = run.provision(run.wanted.service, settings, refresh=run.refresh or gone)
    except EcomdeployError as error:
        seen = run.deps.traffic.observe(run.wanted.endpoint) if live is None else None
        if seen and seen.phase is Phase.FAILED:
            raise fail_first(run, release, seen.failure or str(error), seen.shortage) from error
        ledger.record(release.number, State.INTERRUPTED, str(error))
        raise
    ledger.record(release.number, State.PROVISIONED)
    return service


def pauses_scaling(run: Run, instance: str) -> bool:
    """Whether automatic scaling must be taken off before traffic can move to a release on `instance`: the endpoint may
    be on another one, and the target changes none that scales. `prune` declares it again.
    """
    if not run.deps.hosts.scaling_pins_instance:
        return False
    before = (*live_releases(run), *run.deps.ledger.leftovers())
    changes = any(each.serving.instance != instance for each in before)
    return changes and run.wanted.spec.scale.is_automatic


def remove_if_failed(run: Run) -> bool:
    """Take away an endpoint that has failed, for it can only be deleted. Returns whether there is none to move now."""
    seen = run.deps.traffic.observe(run.wanted.endpoint)
    if seen.phase is Phase.FAILED:
        run.deps.progress.note(f"the endpoint has failed ({seen.failure}): it is made anew")
        run.take_down(run.wanted.service)
    return seen.gone


def roll_out(run: Run, release: Release, service: Outputs, *, tidy: bool = True) -> Outcome:
    """Move the traffic, finish, prune (`tidy`).

    Raises:
        Unhealthy: it did not verify; the release is marked failed, the old one serves.
    """
    ledger, rollout = run.deps.ledger, run.rollout(service)
    old, back = ledger.live(), release.restores is not None
    publish_pack(run, release)
    rollout = replace(rollout, recorder=make_recorder(run, rollout, old, release))
    ledger.record(release.number, State.SHIFTING)
    try:
        (rollout.without_alarms() if back else rollout).roll(old, release)
    except Unhealthy as error:
        kept = keep_log(run, release, rollout.revisions.get(release.key, ""))
        error.hint = kept if kept and error.hint != "ecomdeploy status" else error.hint
        if old is None:
            raise fail_first(run, release, str(error), hint=error.hint) from error
        if not rollout.may_be_on(release):
            ledger.fail(release.number, str(error))
        run.deps.converged.forget(run.wanted.service)  # something may be gone that is thought to stand
        tidy_up(run, service, old)
        raise
    except EcomdeployError as error:
        if not rollout.may_be_on(release):
            ledger.record(release.number, State.INTERRUPTED, str(error))
        run.deps.converged.forget(run.wanted.service)
        if old is not None and isinstance(error, CloudRefused):
            tidy_up(run, service, old)
        raise
    live = ledger.finish(release.number)
    if tidy:
        prune(run, live)
    else:
        publish(run)
    hold_count(run)
    return run.outcome("rolled back" if back else "live", live, endpoint=rollout.endpoint, verified=True)


def reconcile(run: Run, live: Release) -> Outcome:
    """It is live already: make sure of it, and apply what is no part of a release (scale, alarms)."""
    ledger, leftovers = run.deps.ledger, run.deps.ledger.leftovers()
    ledger.interrupt("the live release was asked for")
    declared = (live, *ledger.list_retained(), *leftovers)
    paused = pauses_scaling(run, live.serving.instance)
    settings = run.tell_service(declared, live.key, scaling=not paused)
    service = run.provision(run.wanted.service, settings, refresh=run.refresh)
    if wrong := verify_live(run, service, live):
        run.deps.progress.note(f"release {live.number} is not as it should be: {'; '.join(wrong)}")
        remove_if_failed(run)
        service = run.provision(run.wanted.service, settings, refresh=True)
        if wrong := run.rollout(service).without_alarms().arrive(live):
            what = f"release {live.number} does not serve as it should: {'; '.join(wrong)}"
            raise Unhealthy(what, hint="ecomdeploy logs")
    prune(run, live)
    resized = hold_count(run)
    done = "updated" if run.changes or run.pushed_bytes or resized else "nothing to do"
    return run.outcome(done, live, endpoint=service["endpoint"], verified=True)


def find_miscount(run: Run) -> tuple[int, int] | None:
    """How many replicas run, and how many should, where nothing but `up` sees to it and they are not the same."""
    scale = run.wanted.spec.scale
    if scale.is_automatic or not run.deps.hosts.counts_by_hand:
        return None
    seen, wanted = run.deps.traffic.observe(run.wanted.endpoint), max(1, scale.min)
    return None if seen.phase is not Phase.SERVING or seen.replicas == wanted else (seen.replicas, wanted)


def hold_count(run: Run) -> bool:
    """Bring the endpoint to the spec's number of replicas; whether there was need.

    Raises:
        Unhealthy, CloudRefused: it has another number. What it has serves.
    """
    found = find_miscount(run)
    if found is None:
        return False
    run.deps.progress.step(f"Going from {found[0]} to {found[1]} replicas")
    deadline = run.wanted.spec.rollout.deadline_minutes * 60
    return run.deps.traffic.resize(run.wanted.endpoint, found[1], run.deps.progress, deadline)


def prune(run: Run, live: Release) -> None:
    """Traffic is on `live`: take away what neither it nor a rollback needs, and publish the records."""
    ledger = run.deps.ledger
    leftovers = [each for each in ledger.leftovers() if each.state is State.INTERRUPTED]
    declared = (live, *ledger.list_retained())
    run.provision(run.wanted.service, run.tell_service(declared, live.key))
    for each in leftovers:
        ledger.record(each.number, State.REMOVED, each.cause)
    publish(run)


def leave_platform(run: Run) -> None:
    """Use the platform no more. The local cloud's goes, unless other services have brought it up too."""
    store, name = run.deps.platform_store, run.wanted.spec.name
    if not run.wanted.local and name not in read_users(store):
        return
    with run.hold_platform("down"):
        others = [each for each in read_users(store) if each != name]
        if run.wanted.local and others:
            run.deps.progress.note(f"the platform stays: {', '.join(others)} use it too")
        elif run.wanted.local:
            run.take_down(run.wanted.platform)
        strike_user(store, name)


def stop_using_platform(run: Run) -> None:
    """The platform stays, but nothing of this service is in it: whoever takes it down need not ask for this one."""
    if run.wanted.spec.name in read_users(run.deps.platform_store):
        with run.hold_platform("down"):
            strike_user(run.deps.platform_store, run.wanted.spec.name)


def tell_kept_logs(run: Run) -> None:
    """A base of an earlier release has no log group: the target made the endpoint's own, and nothing takes it away."""
    from infra.targets.catalog import targets

    if run.base and "log_group" not in run.base:
        group = targets().get(run.wanted.serving.target).log_group(run.wanted.endpoint)
        command = f"aws logs delete-log-group --log-group-name {group} --region {run.wanted.spec.environment.region}"
        if group:
            run.deps.progress.note(f"the log group {group} stays, it is in no stack: {command}")


def tidy_up(run: Run, service: Outputs, live: Release) -> None:
    """`prune` after a failure, if traffic is on `live`: where it is elsewhere, or on its way, nothing may go.

    The next `up` tidies as well, and what the user must hear now is why it failed.
    """
    try:
        seen = run.deps.traffic.observe(service["endpoint"])
        there = seen.phase is Phase.SERVING and seen.revision == service["revisions"].get(live.key)
        if there and not seen.copied:
            prune(run, live)
    except EcomdeployError as later:
        run.deps.progress.note(f"not tidied up yet: {later}")


def keep_log(run: Run, release: Release, revision: str) -> str:
    """Keep what a failed release's servers wrote, where it goes with them; what to type to see it, "" for nothing."""
    try:
        lines = run.deps.traffic.logs_to_keep(revision, KEPT_LINES) if revision else []
        if lines:
            run.deps.ledger.keep_log(release.number, lines)
    except EcomdeployError as later:
        run.deps.progress.note(f"what its servers wrote is not kept: {later}")
        return ""
    return f"ecomdeploy logs --release {release.number}" if lines else ""


def fail_first(
    run: Run, release: Release, cause: str, shortage: bool = False, hint: str = ""
) -> EcomdeployError:
    """Nothing to go back to: the endpoint goes, the ledger keeps the cause. A `shortage` is no mark of the pack."""
    run.take_down(run.wanted.service)
    what = f"{cause}. It was the first release, so the endpoint was removed"
    if shortage:
        run.deps.ledger.record(release.number, State.REMOVED, cause)
        return CloudRefused(what, hint="another instance type, or later: ecomdeploy up")
    run.deps.ledger.fail(release.number, cause)
    return Unhealthy(what, hint=hint or "ecomdeploy releases")


def require_base(run: Run) -> None:
    """The base stack's outputs, without running anything.

    Raises:
        BadInput: there is none.
    """
    base = run.outputs(run.wanted.base)
    if base is None:
        raise BadInput("there is nothing deployed here", hint="ecomdeploy up")
    run.base = base


def find_standing(run: Run, target: Release) -> Outputs | None:
    """The service stack's outputs, if all that the target needs exists in them and in the cloud, as it is now."""
    if pauses_scaling(run, target.serving.instance):
        return None
    service = run.deps.converged.outputs(run.wanted.service)
    revision = service["revisions"].get(target.key) if service else None
    if service is None or not revision or run.deps.traffic.obstacles(revision):
        return None
    return None if run.deps.traffic.observe(service["endpoint"]).gone else service


def bring_back(run: Run, target: Release) -> None:
    """The image of a release that is not provisioned any more, and of all others that will be declared with it.

    Raises:
        BadInput: it is in no store any more, or a secret of its environment is not.
    """
    if not fetch_back(run, target):
        what = f"release {target.number} cannot be put back: its image is in no store any more"
        raise BadInput(what, hint="ecomdeploy up builds and pushes what the spec asks for")
    if not knows_secrets(run, target):
        what = f"release {target.number} cannot be put back: a secret that it was served with is gone"
        raise BadInput(what, hint="set its variable to the value it had then, or ship anew: ecomdeploy up")
    ensure_images(run, target.pack.digest)


def verify_live(run: Run, service: Outputs, live: Release) -> tuple[str, ...]:
    """What is not as it should be of the live release."""
    return verify(run.deps.traffic, service["endpoint"], service["revisions"].get(live.key, ""), live)


def live_releases(run: Run) -> tuple[Release, ...]:
    """The live release, if there is one."""
    live = run.deps.ledger.live()
    return (live,) if live else ()
