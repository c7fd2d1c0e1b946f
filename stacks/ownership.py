"""Whose the service is, and whether this folder knows its history: asked before anything is changed.

The release records in the bucket are what a service's history rests on where a folder lost its own. So no writer goes
on from less than they tell, and none takes what another project has made, unless that is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec

from modelpack.errors import BadInput, EcomdeployError
from stacks.records.ledger import Ledger
from stacks.records.owner import RECORD, Owner, draw_id, keep_owner, make_owner, read_owner, read_record
from stacks.records.release import Release, release_of
from stacks.run import Run


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What the cloud says of a service. `owner`: None where nobody wrote it down; `missing`: numbers of releases that
    the bucket has records of and this ledger does not; `behind`: those that it knows, and of which the bucket tells
    more; `stranger`: the owner is another one than this folder's, and is not gone; `copied`: another in that this
    folder is a copy of that one's; `unknown`: there is an endpoint, and neither ledger nor bucket know of it.
    """

    owner: Owner | None
    missing: tuple[int, ...] = ()
    behind: tuple[int, ...] = ()
    stranger: bool = False
    copied: bool = False
    unknown: bool = False


ANYBODY = "*"
"""To a driver: whoever made it."""
ADOPT = "up --adopt"
NOT_DRAWN = "not-drawn-yet"
"""Stands for an owner's id that is drawn by the first run that writes."""


def look(run: Run) -> Claim:
    """Reads only."""
    deps, wanted = run.deps, run.wanted
    there = deps.publisher.names(wanted.bucket, folder_of(run))
    numbers = {int(name.removesuffix(".json")) for name in there if name.removesuffix(".json").isdecimal()}
    releases = deps.ledger.releases()
    missing = numbers - {each.number for each in deps.ledger.all()}
    mine, original = read_owner(run.deps.store), find_original(run)
    # The history of a copy is its original's; that of another name is nobody's yet.
    owner = read_bucket(run) or (original if releases else None)
    return Claim(
        owner=owner,
        missing=tuple(sorted(missing)),
        behind=find_behind(run, numbers),
        stranger=owner is not None and is_stranger(run, owner),
        copied=owner is not None and mine is not None and owner.id == mine.id,
        unknown=not releases and not numbers and not deps.traffic.observe(wanted.endpoint).gone,
    )


def is_stranger(run: Run, owner: Owner) -> bool:
    """Whether it is another than this folder's, and not gone; one of the same id is another where both are there."""
    mine = read_owner(run.deps.store)
    if mine and mine.id == owner.id:
        return is_original(run, owner)
    return not run.wanted.local or run.deps.stands(owner) is not False


def is_original(run: Run, owner: Owner) -> bool:
    """Whether the folder of this owner, whose id is this one's too, is at its place: then this one is a copy. One that
    was moved has left none behind."""
    here = run.deps.me
    return (owner.host, owner.folder) != (here.host, here.folder) and run.deps.stands(owner) is True


def find_original(run: Run) -> Owner | None:
    """The project that this folder is a copy of, its records and state with it; None: it is none that could be told."""
    mine = read_owner(run.deps.store)
    return mine if mine and is_original(run, mine) else None


def refuse_copy(run: Run) -> None:
    """What has no records to be asked is not changed from a copy either: the platform.

    Raises:
        BadInput: this folder is one.
    """
    if original := find_original(run):
        raise BadInput(
            f"this folder is a copy of {original}; what that uses is not changed from here",
            hint=f"type it there, or make this a project of its own first: another service:, or ecomdeploy {ADOPT}",
        )


def read_bucket(run: Run) -> Owner | None:
    """Whose the service is by its bucket."""
    return read_record(run.deps.publisher.read(run.wanted.bucket, (RECORD,)).get(RECORD))


def find_behind(run: Run, numbers: set[int]) -> tuple[int, ...]:
    """Releases that went on elsewhere under the same numbers. Only those are read that can have: what is live, retained
    or unfinished, and the newest."""
    ledger, bucket, where = run.deps.ledger, run.wanted.bucket, run.wanted.records
    newest, live = ledger.newest(), ledger.live()
    moving = (*ledger.list_retained(), *ledger.leftovers(), *(each for each in (newest, live) if each))
    known = {f"{folder_of(run)}{each.number}.json": each for each in moving if each.number in numbers}
    told = run.deps.publisher.read(bucket, tuple(known)) if known else {}
    return tuple(
        sorted(known[key].number for key in told if goes_on(read_release(where, key, told[key]), known[key]))
    )


def folder_of(run: Run) -> str:
    return f"releases/{run.wanted.spec.service}/"


def find_objection(run: Run) -> BadInput | None:
    """Why a writer must not go on here, and what to type."""
    found, wanted = look(run), run.wanted
    if found.stranger:
        what = f"{wanted.endpoint} belongs to {found.owner}"
        copied = ", which this folder is a copy of" if found.copied else ""
        hint = f"give this one another name (service:), or take it over: ecomdeploy {ADOPT} (or down --adopt)"
        return BadInput(f"{what}{copied}; what it made is not touched from here", hint=hint)
    if found.missing:
        many, last = len(found.missing), found.missing[-1]
        known = "no history" if not run.deps.ledger.releases() else "a history that ends before them"
        what = f"{wanted.records} has records of {many} releases of {wanted.endpoint} (the last: {last})"
        return BadInput(f"{what}, and this folder has {known}", hint=type_verb(run))
    if found.behind:
        last = found.behind[-1]
        what = f"{wanted.records} tells of release {last} of {wanted.endpoint} what came after all that"
        return BadInput(f"{what} this folder knows of it", hint=type_verb(run))
    if found.unknown:
        what = (
            f"there is an endpoint {wanted.endpoint}, and neither this folder nor any record says who made it"
        )
        hint = "give this one another name (service:), or take it over: ecomdeploy up --adopt"
        return BadInput(what, hint=hint)
    return None


def type_verb(run: Run, verb: str = "recover") -> str:
    name = run.wanted.spec.environment.name
    return f"ecomdeploy {verb}" + ("" if name == "local" else f" {name}")


def claim(run: Run, *, adopt: bool) -> None:
    """Ours, from here on; the lease is held.

    Args:
        adopt: take over what another project made, with its history.

    Raises:
        BadInput: it is another's, or its history is not here.
    """
    objection = find_objection(run)
    if objection and not adopt:
        raise objection
    if objection:
        take_over(run)
    else:
        sign(run, read_bucket(run))
    if adopt:
        run.deps.driver.accept((ANYBODY,))


def sign(run: Run, before: Owner | None) -> Owner:
    """The owner of this store, made if there was none; of a folder that was moved with where it is now. What it made,
    and whoever it comes after (`before`: by the bucket), may be taken over by this run."""
    deps, owner = run.deps, make_owner(run.deps.store, run.deps.me)
    if find_original(run):  # with an id of its own a copy is another project from here on
        owner = keep_owner(deps.store, replace(deps.me, id=draw_id()))
    here = replace(deps.me, id=owner.id, who=owner.who, former=owner.former) if run.wanted.local else owner
    now = here.take_after(before.id if before else "")
    signed = keep_owner(deps.store, now) if now != owner else owner
    run.owner = signed.id
    deps.driver.accept(signed.former)
    return signed


def sign_platform(run: Run, *, adopt: bool) -> None:
    """The platform has an owner of its own, the same for all services that share it; its lease is held."""
    owner = make_owner(run.deps.platform_store, run.deps.me)
    run.platform_owner = owner.id
    run.deps.driver.accept((ANYBODY,) if adopt else owner.former)


def foresee_owner(run: Run) -> None:
    """Who a writer would be; of what has no owner yet nobody knows the id. Reads only."""
    owner, platform = read_owner(run.deps.store), read_owner(run.deps.platform_store)
    owner = None if find_original(run) else owner
    mine, before = owner or replace(run.deps.me, id=NOT_DRAWN), read_bucket(run)
    run.owner, run.platform_owner = mine.id, platform.id if platform else NOT_DRAWN
    if before and not is_stranger(run, before):
        mine = mine.take_after(before.id)
    run.deps.driver.accept(mine.former)


def refuse_stateless(run: Run) -> None:
    """An endpoint that no stack's state here knows would stay, with all that it rests on.

    Raises:
        BadInput: there is one.
    """
    if objection := find_stateless(run):
        raise objection


def find_stateless(run: Run) -> BadInput | None:
    deps, wanted = run.deps, run.wanted
    if deps.driver.outputs(wanted.service) is None and deps.traffic.observe(wanted.endpoint).answers:
        what = f"endpoint {wanted.endpoint} serves, and the state of its stack is not here"
        return BadInput(what, hint=f"{type_verb(run)} takes it over; then type the same command again")
    return None


def find_unsuspected(run: Run) -> BadInput | None:
    """What there is of a service of which neither ledger nor records say that anything is."""
    if objection := find_objection(run) or find_stateless(run):
        return objection
    deps, wanted = run.deps, run.wanted
    if left := (*deps.driver.strays(wanted.service), *deps.driver.strays(wanted.base)):
        what = (
            f"no release of {wanted.endpoint} is known, and no state of it is here, but this carries its tags"
        )
        # What stands carries an owner's id; who has lost that as well draws another.
        verb = type_verb(run, "up") + ("" if read_owner(deps.store) else " --adopt")
        return BadInput(f"{what}: {', '.join(left)}", hint=f"{verb} takes it into a state again")
    return None


def tell_copy(run: Run) -> tuple[str, ...]:
    """That what a folder tells is not its own."""
    original = find_original(run)
    return (f"this folder is a copy of {original}: what it tells is that one's",) if original else ()


def take_over(run: Run) -> tuple[Release, ...]:
    """Make it this folder's: the history that the bucket has, and the owner's id, a new one where a stranger has it.

    Returns what the ledger took in.
    """
    found, deps = look(run), run.deps
    added = complete(deps.ledger, read_records(run))
    if found.owner and not found.stranger:
        keep_owner(deps.store, found.owner)
    if found.owner and found.stranger:
        deps.progress.note(f"taken over from {found.owner}")
    sign(run, found.owner)
    return added


def read_records(run: Run) -> tuple[Release, ...]:
    """The releases that the bucket tells of, by number.

    Raises:
        EcomdeployError: a record does not read.
    """
    deps, bucket = run.deps, run.wanted.bucket
    keys = [f"{folder_of(run)}{name}" for name in deps.publisher.names(bucket, folder_of(run))]
    records = deps.publisher.read(bucket, [key for key in keys if key.endswith(".json")])
    return tuple(sorted((read_release(run.wanted.records, *each) for each in records.items()), key=by_number))


def by_number(release: Release) -> int:
    return release.number


def read_release(where: str, key: str, record: bytes) -> Release:
    try:
        return release_of(msgspec.json.decode(record))
    except (msgspec.MsgspecError, TypeError, AttributeError) as error:
        what = f"{key} in {where} is no record of a release: {error}"
        raise EcomdeployError(what, hint="put an earlier version of the object back, or delete it") from error


def complete(ledger: Ledger, told: tuple[Release, ...]) -> tuple[Release, ...]:
    """Take in what the ledger lacks: releases, and what came later of those that it knows; returns them.

    Raises:
        BadInput: ledger and records tell of different releases under one number.
    """
    known: Mapping[int, Release] = {each.number: each for each in ledger.all()}
    for each in told:
        mine = known.get(each.number)
        if mine and (mine.service, mine.key, mine.created) != (each.service, each.key, each.created):
            place = ledger.store.place(ledger.prefix)
            what = (
                f"release {each.number} of this folder's history is not that of the records ({each.created})"
            )
            raise BadInput(what, hint=f"move {place} away, and type it again")
    lacking = tuple(each for each in told if each.number not in known or goes_on(each, known[each.number]))
    if lacking:
        ledger.rebuild(lacking, "recovered from the release records")
    return lacking


def goes_on(told: Release, mine: Release) -> bool:
    """Whether a record of the same release tells more of its states than this ledger does."""
    same = (told.key, told.created) == (mine.key, mine.created)
    return same and len(told.timeline) > len(mine.timeline)
