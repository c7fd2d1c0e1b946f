"""One verb at work: whom it works with, what is wanted, and what it has done so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from infra.targets.base import ShiftPolicy
from stacks import hardware
from stacks.collaborators import Collaborators
from stacks.pulumi_driver import converged
from stacks.pulumi_driver.driver import Change, Settings, Stack, claim
from stacks.records.release import Release
from stacks.records.upgrade import upgrade_outputs
from stacks.rollout import Rollout
from stacks.spec import Spec
from stacks.wanted import Wanted

Outputs = Mapping[str, Any]

ALARM_SECONDS = 120
"""How long a new release is watched by its alarms on AWS: two of their periods. The local cloud's never ring by
themselves, so nothing is waited for there."""


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
    """`refresh`: everything is to be read back from the cloud first; `base`: the base stack's outputs, once they are
    known; `changes` and `pushed_bytes` grow as things are done."""

    deps: Collaborators
    wanted: Wanted
    refresh: bool = False
    base: Outputs = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    pushed_bytes: int = 0

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
            claim(deps.store, deps.driver)
            yield

    def outputs(self, stack: Stack) -> Outputs | None:
        """What a stack last gave, without running anything; None also when it never came that far."""
        deps = self.deps
        return deps.converged.outputs(stack) or upgrade_outputs(deps.driver.outputs(stack) or {}) or None

    def provision(self, stack: Stack, settings: Settings, *, refresh: bool = False) -> Outputs:
        """Bring a stack to its settings (stacks/pulumi_driver/converged.py says when its program runs)."""
        deps = self.deps
        done = converged.provision(
            deps.driver, deps.converged, stack, settings, deps.progress, refresh=refresh
        )
        self.changes += done.changes
        return done.outputs

    def take_down(self, stack: Stack) -> None:
        """Destroy a stack. Doing it twice is fine."""
        deps = self.deps
        self.changes += converged.take_down(deps.driver, deps.converged, stack, deps.progress).changes

    def push(self, repository: str, digest: str) -> None:
        """Send what the repository misses of an image."""
        self.pushed_bytes += self.deps.images.push(repository, digest, self.deps.progress)

    def rollout(self, service: Outputs) -> Rollout:
        """How traffic moves between what the service stack holds."""
        scale, seconds = self.wanted.spec.scale, self.wanted.spec.rollout.deadline_minutes * 60
        policy = ShiftPolicy(
            keep_capacity=scale.target_rps is not None or bool(scale.schedule),
            alarms=tuple(service.get("alarms", ())),
            bake=0 if self.wanted.local else ALARM_SECONDS,
            timeout=int(seconds),
        )
        return Rollout(
            traffic=self.deps.traffic,
            endpoint=service["endpoint"],
            revisions=service["revisions"],
            policy=policy,
            deadline=seconds,
            progress=self.deps.progress,
        )

    def outcome(self, done: str, release: Release | None, **more: Any) -> Outcome:
        """What was done, in the end."""
        notes: list[str] = []
        if release and done != "removed":
            notes = hardware.remarks(self.wanted, release.pack, release.serving.instance)
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
