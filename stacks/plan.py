"""What `up` would do, said before it does: nothing is trained, built, pushed or changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import combinations
from typing import Any

from infra.preflight.base import Lack, Looked
from infra.spec import Window
from modelpack.errors import BadInput
from stacks.candidates import describe_end, make_candidate
from stacks.collaborators import Collaborators
from stacks.hardware import refuse_hopeless, refuse_unfit, remarks
from stacks.ownership import find_objection, foresee_owner
from stacks.preflight import find_lack, tell_lacks, warn_of_lacks
from stacks.pulumi_driver.driver import Change, Settings
from stacks.quotas import QuotaReport, ask_for_service, tell_remedy
from stacks.quotas import warn as warn_of_quotas
from stacks.records.ledger import RETAINED
from stacks.records.release import Packed, Release, State
from stacks.run import Run, describe_former, describe_found
from stacks.secrets import refuse_unset
from stacks.settings import base_settings, digest_declared, unpacked_image
from stacks.spec import Spec
from stacks.steps import PAUSED, find_miscount, pauses_scaling
from stacks.terms.freeze import describe_freeze, find_freeze
from stacks.terms.network import resolve_network

UNKNOWN_REPOSITORY = "registry.invalid/not-there-yet"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`pack`: its digest, None until packed; `push_bytes`: None while it is not in the local store; `release`: the
    number that `up` would give, None: no new one; `declared`: a digest of the programs and what they would be told;
    `replicas`: how many run and how many will, where the live release stays and their number does not."""

    spec: Spec
    driver: str
    changes: tuple[Change, ...]
    push_bytes: int | None
    release: int | None
    live: int | None
    image: str | None
    pack: str | None
    declared: str
    replicas: tuple[int, int] | None = None
    quotas: QuotaReport = field(default_factory=QuotaReport)
    notes: tuple[str, ...] = ()
    hint: str = ""
    """What to type where `up` will refuse to begin."""

    @property
    def has_work(self) -> bool:
        """Whether `up` would change anything."""
        return bool(self.changes) or self.release is not None or self.replicas is not None

    def document(self) -> dict[str, Any]:
        """What `--json` prints (docs/json.md)."""
        return {
            "service": self.spec.service,
            "environment": self.spec.environment.name,
            "driver": self.driver,
            "live": self.live,
            "release": self.release,
            "image": self.image,
            "pack": self.pack,
            "push_bytes": self.push_bytes,
            "changes": [change.document() for change in self.changes],
            "replicas": {"now": self.replicas[0], "then": self.replicas[1]} if self.replicas else None,
            "quotas": [one.document() for one in self.quotas.readings],
            "notes": list(self.notes),
        }


def plan(deps: Collaborators, spec: Spec) -> Plan:
    """Preview both stacks against what is really there. Reads only; takes no lease.

    Raises:
        BadInput: the instance cannot run the pack, a variable with a secret is not set, or the environment was
            deployed with another driver or in another region.
        CloudRefused, EcomdeployError: the preview could not be made.
    """
    run = Run.of(deps, spec)
    lacks = deps.preflight(run.wanted)
    with tell_lacks(lacks):
        return foresee(run, lacks)


def foresee(run: Run, lacks: Sequence[Looked]) -> Plan:
    """The plan, with what the place lacks among its notes."""
    deps, spec = run.deps, run.wanted.spec
    run.refuse_other()
    refuse_unset(run.wanted.confidential)
    placed = resolve_network(run)
    pack, wanted = deps.builder.find(run.wanted), run.wanted
    if pack is not None:
        refuse_unfit(wanted, pack)
    else:
        refuse_hopeless(wanted)
    foresee_owner(run)
    run.base = run.outputs(wanted.base) or {}
    release, live = look_ahead(run, pack), deps.ledger.live()
    keeps = live is not None and live.key == release.key
    replicas = find_miscount(run) if keeps else None
    quotas = ask_for_service(run, pack)
    objection = find_objection(run)
    number, told = deps.ledger.next_number(), (base_settings(wanted, run.base), settings_ahead(run, release))
    run.changes = (*run.foresee(wanted.base, told[0]), *run.foresee(wanted.service, told[1]))
    return Plan(
        spec=spec,
        driver=deps.driver.name,
        changes=run.changes,
        push_bytes=foresee_push(run, pack),
        release=None if keeps else number,
        live=live.number if live else None,
        image=release.image if pack and run.base else None,
        pack=pack.digest if pack else None,
        declared=digest_declared(*map(deps.driver.source, (wanted.base, wanted.service)), told),
        replicas=replicas,
        quotas=quotas,
        hint=type_instead(run, None if keeps else pack, quotas, objection or find_lack(lacks)),
        notes=(
            *warn_of_lacks(lacks),
            *warn(run, objection),
            *warn_of_quotas(wanted, quotas),
            *describe_found(run.changes, deps.ledger),
            *([f"replicas: {replicas[0]} now, {replicas[1]} then"] if replicas else []),
            *notes(run, pack, live if keeps else None, number),
            *placed,
            *tell_overlaps(spec.scale.schedule, deps.ledger.clock()),
            *(remarks(wanted, pack, wanted.serving.instance) if pack else ()),
        ),
    )


def foresee_push(run: Run, pack: Packed | None) -> int | None:
    """Bytes that `up` would send; None when that cannot be told: not packed yet, or not here to be looked at."""
    if pack is None:
        return None
    images, repository = run.deps.images, run.base.get("repository_url", "")
    if images.is_stored(pack.digest):
        return images.count_missing(repository, pack.digest)
    return 0 if repository and images.holds(repository, pack.digest) else None


def look_ahead(run: Run, pack: Packed | None) -> Release:
    """The release that `up` would ship; of a pack that is not made yet the image is a placeholder."""
    repository = run.base.get("repository_url", UNKNOWN_REPOSITORY)
    if pack is not None:
        return make_candidate(run.wanted, pack, repository, run.deps.who)
    usecase = run.wanted.spec.usecase
    unknown = Packed(digest="", content_digest="", input_digest="", usecase=usecase)
    candidate = make_candidate(run.wanted, unknown, repository, run.deps.who)
    return replace(candidate, image=unpacked_image(repository, run.wanted))


def settings_ahead(run: Run, release: Release) -> Settings:
    """What `up` would tell the service program once the release is live and the window pruned."""
    ledger, live = run.deps.ledger, run.deps.ledger.live()
    ahead = live if live and live.key == release.key else release
    left = live.enter(State.SUPERSEDED, "") if live and ahead is not live else None
    kept = [each for each in (left, *ledger.list_retained()) if each is not None and each.key != ahead.key]
    declared = (ahead, *kept[:RETAINED])
    return run.tell_service(declared, (live or ahead).key)


def type_instead(
    run: Run, shipped: Packed | None, quotas: QuotaReport, objection: BadInput | Lack | None
) -> str:
    """What to type where `up` would refuse; "" where it would not, or only time helps."""
    if objection:
        return objection.hint
    if quotas.short:
        return tell_remedy(run.wanted.spec, quotas.short[0])
    marked = run.deps.ledger.find_mark(shipped.digest, run.wanted.serving) if shipped else None
    return "ecomdeploy up --again" if marked else ""


def warn(run: Run, objection: BadInput | None) -> list[str]:
    """Why `up` will not begin, and what of this service's earlier names is still there."""
    refused = [f"`up` will refuse: {objection} ({objection.hint})"] if objection else []
    return [*refused, *map(describe_former, run.deps.ledger.former())]


def tell_overlaps(windows: Sequence[Window], now: datetime) -> list[str]:
    """Of sale days that are still to end: what holds while two of them run."""
    told = []
    for one, other in combinations([each for each in windows if each.end > now], 2):
        begin, end = max(one.start, other.start), min(one.end, other.end)
        if begin < end:
            low = max(one.min, other.min)
            span = f"from {begin.isoformat()} to {end.isoformat()}"
            told.append(f"sale days {one.name} and {other.name} overlap: {span} the higher min holds, {low}")
    return told


def notes(run: Run, pack: Packed | None, stays: Release | None, number: int) -> list[str]:
    """What a list of changes does not say. `stays`: the live release, if it is the one that is asked for."""
    if stays:
        return [f"release {stays.number} is live and stays; no new release"]
    said, live = [], run.deps.ledger.live()
    if pack is None:
        first = "builds" if run.wanted.spec.model.path else "trains and builds"
        said.append(f"the image is not known until packed: `up` (or `ecomdeploy pack`) {first} first")
        said.append("names and digests that follow from the image are placeholders")
    if marked := run.deps.ledger.find_mark(pack.digest, run.wanted.serving) if pack else None:
        said.append(
            f"`up` will refuse: this very pack was release {marked.number}, and it {describe_end(marked)} (--again)"
        )
    if frozen := find_freeze(run.wanted.spec, run.deps.ledger.clock()):
        said.append(f"`up` will refuse: {describe_freeze(frozen)} (--override REASON)")
    if live:
        said.append(f"release {number} takes over from release {live.number}, which stays ready")
        rollout = run.wanted.spec.rollout
        said.append(f"traffic moves {rollout.policy((), keep_capacity=True)}")
        if pauses_scaling(run, run.wanted.serving.instance):
            said.append(PAUSED)
    else:
        said.append(f"release {number} is the first: the endpoint is created on it")
    return said
