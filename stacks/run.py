"""One verb at work: whom it works with, what is wanted, and what it has done so far."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from stacks import hardware
from stacks.collaborators import Collaborators
from stacks.pulumi_driver import converged
from stacks.pulumi_driver.converged import ConvergedStates
from stacks.pulumi_driver.driver import Change, Settings, Stack, claim, refuse_other
from stacks.records.ledger import Ledger
from stacks.records.release import Release
from stacks.records.upgrade import upgrade_outputs
from stacks.rollout.move import Rollout
from stacks.settings import service_settings
from stacks.spec import Spec
from stacks.wanted import Wanted

Outputs = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a verb did. `done`: "live", "updated", "nothing to do", "rolled back", "removed", "status"."""

    done: str
    spec: Spec
    driver: str
    release: Release | None = None
    endpoint: str = ""
    verified: bool = False
    problems: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    pushed_bytes: int = 0
    remaining: tuple[str, ...] = ()
    """Stacks that still stand after `down`."""
    notes: tuple[str, ...] = ()
    """What whoever relies on the release must know."""
    hint: str = ""
    """What to type, where that is not to be guessed from the rest."""

    def document(self) -> dict[str, Any]:
        """What `--json` prints (docs/json.md)."""
        release = self.release
        return {
            "service": self.spec.service,
            "environment": self.spec.environment.name,
            "release": release.number if release else None,
            "restores": release.restores if release else None,
            "state": str(release.state) if release else "none",
            "image": release.image if release else None,
            "endpoint": self.endpoint or None,
            "driver": self.driver,
            "verified": self.verified,
            "outcome": self.done,
            "problems": list(self.problems),
            "changes": [change.document() for change in self.changes],
            "pushed_bytes": self.pushed_bytes,
            "remaining": list(self.remaining),
            "notes": list(self.notes),
        }


@dataclass
class Run:
    """`refresh`: everything is to be read back from the cloud first; `owner`: the id of this store's owner, and
    `platform_owner` of the platform's (stacks/ownership.py); `base`: the base stack's outputs, once they are known;
    `changes`, `pushed_bytes` and `seen` (the stacks that were looked at for drift) grow as things are done.
    """

    deps: Collaborators
    wanted: Wanted
    refresh: bool = False
    owner: str = ""
    platform_owner: str = ""
    base: Outputs = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    pushed_bytes: int = 0
    seen: set[Stack] = field(default_factory=set)

    @classmethod
    def of(cls, deps: Collaborators, spec: Spec, *, refresh: bool = False) -> Run:
        return cls(deps, Wanted.of(spec, deps.hosts, deps.variables), refresh)

    @contextmanager
    def hold_lease(self, purpose: str) -> Iterator[None]:
        """As the one writer: the lease is held, the ledger fenced, the driver the one of this environment."""
        deps = self.deps
        deps.prepare()
        with deps.lease.hold(purpose) as grant:
            deps.ledger.token = grant.token
            if grant.note:
                deps.progress.note(grant.note)
            claim(deps.store, deps.driver, self.wanted.spec.environment.region, self.made_in)
            yield

    def refuse_other(self) -> None:
        """Before anything is read: what another driver has made, or this one in another region, is not looked at.

        Raises:
            BadInput: there is such.
        """
        refuse_other(self.deps.store, self.deps.driver, self.wanted.spec.environment.region, self.made_in)

    @property
    def made_in(self) -> str:
        """The region of the base, by the name of its key; "" where that is not known."""
        arn = str((self.deps.converged.outputs(self.wanted.base) or {}).get("key_arn", ""))
        return arn.split(":")[3] if arn.count(":") > 3 else ""

    @contextmanager
    def hold_platform(self, purpose: str) -> Iterator[None]:
        """As the one writer of the platform, whichever services of the environment are at work."""
        deps = self.deps
        with deps.platform_lease.hold(purpose) as grant:
            if grant.note:
                deps.progress.note(grant.note)
            yield

    def outputs(self, stack: Stack) -> Outputs | None:
        """What a stack last gave, without running anything; None also when it never came that far."""
        deps = self.deps
        return deps.converged.outputs(stack) or upgrade_outputs(deps.driver.outputs(stack) or {}) or None

    def own(self, stack: Stack, settings: Settings) -> Settings:
        """The settings with whose the stack is."""
        owner = self.platform_owner if stack.program == "platform" else self.owner
        return {**settings, "owner": owner} if owner else settings

    @cached_property
    def takes_rules(self) -> bool:
        """Of the cluster; asked once."""
        return self.deps.takes_rules()

    def tell_service(self, releases: Iterable[Release], initial: str, *, scaling: bool = True) -> Settings:
        """What the service program is told of these releases now (stacks/settings.py)."""
        deps, wanted = self.deps, self.wanted
        return service_settings(
            wanted,
            self.base,
            releases,
            initial,
            deps.ledger.clock(),
            scaling=scaling,
            rules=self.takes_rules,
            metrics=deps.find_metrics() if wanted.spec.scale.is_automatic else {},
        )

    def preview(self, stack: Stack, settings: Settings) -> tuple[Change, ...]:
        """What `provision` with a refresh would change."""
        return self.deps.driver.preview(stack, self.own(stack, settings))

    def foresee(self, stack: Stack, settings: Settings) -> tuple[Change, ...]:
        """The same; no preview where it is proven that it would show nothing."""
        deps = self.deps
        return converged.foresee(deps.driver, deps.converged, stack, self.own(stack, settings))

    def provision(self, stack: Stack, settings: Settings, *, refresh: bool = False) -> Outputs:
        """Bring a stack to its settings (stacks/pulumi_driver/converged.py says when its program runs)."""
        deps, look, owned = self.deps, stack not in self.seen, self.own(stack, settings)
        self.seen.add(stack)
        done = converged.provision(
            deps.driver, deps.converged, stack, owned, deps.progress, refresh=refresh, look=look
        )
        self.changes += done.changes
        return done.outputs

    def platform_outputs(self) -> Outputs | None:
        """What the platform gave whoever brought it up last; None where there is none."""
        return self.shared.outputs(self.wanted.platform) or self.outputs(self.wanted.platform)

    @property
    def shared(self) -> ConvergedStates:
        """What the platform last gave, for all services of the environment."""
        return ConvergedStates(self.deps.platform_store, self.deps.converged.generation)

    def take_down(self, stack: Stack) -> None:
        """Destroy a stack. Doing it twice is fine."""
        deps = self.deps
        if stack == self.wanted.platform:
            self.shared.forget(stack)
        self.changes += converged.take_down(deps.driver, deps.converged, stack, deps.progress).changes

    def push(self, repository: str, digest: str) -> None:
        """Send what the repository misses of an image."""
        self.pushed_bytes += self.deps.images.push(repository, digest, self.deps.progress)

    def rollout(self, service: Outputs) -> Rollout:
        """How traffic moves between what the service stack holds."""
        # keeps the number also where `up` sees to it: the release may be older than the number is
        keeps = self.wanted.spec.scale.is_automatic or self.deps.hosts.counts_by_hand
        alarms = tuple(service.get("alarms", ()))
        return Rollout(
            traffic=self.deps.traffic,
            endpoint=service["endpoint"],
            revisions=service["revisions"],
            policy=self.wanted.spec.rollout.policy(alarms, keep_capacity=keeps),
            alarms=alarms,
            release_alarms={key: tuple(names) for key, names in service.get("release_alarms", {}).items()},
            shadows=service.get("shadows", {}),
            shadow_alarms={key: tuple(names) for key, names in service.get("shadow_alarms", {}).items()},
            now=self.deps.ledger.clock,
            progress=self.deps.progress,
        )

    def outcome(self, done: str, release: Release | None, **more: Any) -> Outcome:
        """What was done, in the end."""
        notes = describe_found(self.changes, self.deps.ledger)
        if release and done != "removed":
            notes += hardware.remarks(self.wanted, release.pack, release.serving.instance)
        notes += map(describe_former, self.deps.ledger.former())
        return Outcome(
            done=done,
            spec=self.wanted.spec,
            driver=self.deps.driver.name,
            release=release,
            changes=self.changes,
            pushed_bytes=self.pushed_bytes,
            notes=tuple(notes),
            **more,
        )


def describe_found(changes: Iterable[Change], ledger: Ledger) -> list[str]:
    """What was there already and is taken over, with whose it is, and which release made it where its name tells; what
    has no tags goes with another."""
    releases = {each.key: each.number for each in ledger.all()}
    said = []
    for change in changes:
        number = next((number for key, number in releases.items() if key in change.found), None)
        release = f"'s release {number}" if number and change.found.endswith("by this project") else ""
        if ", " in change.found:
            said.append(f"found {change.type.rpartition(':')[2]} {change.found}{release}")
    return said


def describe_former(release: Release) -> str:
    """What still serves under a name that the service had before."""
    name = f"{release.service}-{release.environment}"
    return (
        f"still there: endpoint {name}, release {release.number}, from before this service was renamed "
        f"(ecomdeploy down --service {release.service})"
    )
