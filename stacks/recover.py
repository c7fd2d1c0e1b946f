"""`recover`: the history of a service whose folder lost it, from the records in its bucket and from what serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.targets.base import Observation
from modelpack.errors import BadInput
from stacks.collaborators import Collaborators
from stacks.history.publish import publish
from stacks.ownership import look, take_over
from stacks.pulumi_driver.driver import Change
from stacks.records.release import Release, State
from stacks.run import Run
from stacks.spec import Spec
from stacks.steps import bring_base_up, live_releases


@dataclass(frozen=True, kw_only=True)
class RecoveredHistory:
    """`added`: the numbers of releases that this folder did not know, or not to their end; `live`: the one that serves
    by its history; `changes`: what the stacks made, changed or took into their state (what is adopted is told as made);
    `found`: what there is to say."""

    spec: Spec
    driver: str
    owner: str
    added: tuple[int, ...]
    live: int | None
    changes: tuple[Change, ...]
    found: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """What `--json` prints (docs/json.md)."""
        return {
            "service": self.spec.service,
            "environment": self.spec.environment.name,
            "driver": self.driver,
            "owner": self.owner,
            "added": list(self.added),
            "live": self.live,
            "changes": [change.document() for change in self.changes],
            "found": list(self.found),
        }


def recover(deps: Collaborators, spec: Spec, *, adopt: bool = False) -> RecoveredHistory:
    """Rebuild the ledger, and the state of the stacks where that is lost too: what is there is taken over, by its
    name and tags. Twice is fine.

    Args:
        adopt: also what another project has made, which still stands.

    Raises:
        BadInput: there are no records, they are another project's, or tell something else than the ledger here.
        Locked, CloudRefused, EcomdeployError.
    """
    run = Run.of(deps, spec)
    with run.hold_lease("recover"):
        refuse(run, adopt)
        added = take_over(run)
        seen = deps.traffic.observe(run.wanted.endpoint)
        found = tuple(describe(run, added, seen))
        restore_stacks(run, seen)
        live = deps.ledger.live()
        return RecoveredHistory(
            spec=spec,
            driver=deps.driver.name,
            owner=run.owner,
            added=tuple(each.number for each in added),
            live=live.number if live else None,
            changes=run.changes,
            found=found,
        )


def refuse(run: Run, adopt: bool) -> None:
    claim, wanted = look(run), run.wanted
    if claim.stranger and not adopt:
        seen = wanted.local and claim.owner is not None and claim.owner.host == run.deps.me.host
        place = ", which is at its place" if seen else ""
        what = f"{wanted.endpoint} belongs to {claim.owner}{place}"
        raise BadInput(what, hint="work there, or take it over: ecomdeploy recover --adopt")
    if not claim.missing and not run.deps.ledger.releases():
        what = f"{wanted.records} has no records of {wanted.endpoint}: there is nothing to recover from"
        raise BadInput(what, hint="ecomdeploy up")


def describe(run: Run, added: tuple[Release, ...], seen: Observation) -> list[str]:
    """What was found, in words; before anything follows from it."""
    said = [f"release {each.number}: {each.state}, of {each.created}" for each in added]
    said = said or ["the history here agrees with the release records"]
    serving = find_serving(run, seen)
    if seen.gone:
        return [*said, f"there is no endpoint {run.wanted.endpoint}"]
    if serving is None:
        images = ", ".join(seen.images) or "an image that it does not tell"
        return [*said, f"the endpoint is on {images}, which no record knows"]
    return [*said, f"the endpoint is on release {serving.number}"]


def find_serving(run: Run, seen: Observation) -> Release | None:
    """The newest release whose image the endpoint is on; the live one before others."""
    digests = {image.rpartition("@")[2] for image in seen.images}
    known = sorted(run.deps.ledger.releases(), key=lambda each: (each.state is State.LIVE, each.number))
    return next((each for each in reversed(known) if each.pack.digest in digests), None)


def follow(run: Run, seen: Observation) -> None:
    """Where the records were written before the last shift of traffic, traffic is right."""
    ledger, serving, live = run.deps.ledger, find_serving(run, seen), run.deps.ledger.live()
    if serving is None or serving == live:
        return
    also = {live.number: State.SUPERSEDED} if live else {}
    ledger.record(serving.number, State.LIVE, "found serving when the history was recovered", also=also)


def restore_stacks(run: Run, seen: Observation) -> None:
    """The state of the stacks, where there is none, and the history as what serves has it."""
    deps, wanted = run.deps, run.wanted
    follow(run, seen)
    bring_base_up(run)
    live = deps.ledger.live()
    if live and not seen.gone and deps.driver.outputs(wanted.service) is None:
        declared = (*live_releases(run), *deps.ledger.list_retained())
        run.provision(wanted.service, run.tell_service(declared, live.key))
    publish(run)
