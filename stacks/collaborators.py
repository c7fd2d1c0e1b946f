"""Everything `ship` works with, made elsewhere (cli/wiring.py) and handed in.

Each protocol has its fake beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from infra.targets.base import Traffic
from modelpack.progress import Progress
from stacks.pulumi_driver.converged import Memory, provision, take_down
from stacks.pulumi_driver.driver import Deployed, Driver, Settings, Stack, claim
from stacks.records.lease import Lease
from stacks.records.ledger import Ledger
from stacks.records.release import Packed, Release
from stacks.records.store import Shelf
from stacks.spec import Spec


class Builder(Protocol):
    def known(self, spec: Spec) -> Packed | None:
        """The pack of this spec if it was built before; nothing is trained, built or imported."""

    def build(self, spec: Spec, progress: Progress, *, regate: bool) -> Packed:
        """The pack of this spec, built if need be."""
        ...


class Images(Protocol):
    """Where images go. `repository` is the base stack's `repository_url`."""

    def reachable(self, repository: str) -> bool:
        """Whether the repository is there."""
        ...

    def missing(self, repository: str, digest: str) -> int:
        """Bytes that a push would send; 0: the image is complete there.

        Needs the image in the local store.
        """
        ...

    def push(self, repository: str, digest: str, progress: Progress) -> int:
        """Send what is missing; returns the bytes sent. Nothing missing: no mutating call."""
        ...

    def holds(self, repository: str, digest: str) -> bool:
        """Whether the repository has this image, whatever the local store has."""
        ...

    def stored(self, digest: str) -> bool:
        """Whether the local store has all of this image."""
        ...


class Publisher(Protocol):
    """Copies of the release records in the base bucket, so that S3 agrees with the ledger."""

    def reachable(self, bucket: str) -> bool: ...

    def publish(self, bucket: str, records: Mapping[str, bytes]) -> int:
        """Write those that differ; returns how many. Nothing differs: no mutating call."""
        ...


class Sweeper(Protocol):
    def empty(self, bucket: str, repository: str) -> None:
        """Delete everything in both, so that the base stack can go. What is not there is fine."""


@dataclass(frozen=True, kw_only=True)
class Shop:
    """The collaborators of one project in one environment.

    `patience` is the longest a shift may take, in seconds.
    """

    builder: Builder
    images: Images
    driver: Driver
    memory: Memory
    shelf: Shelf
    ledger: Ledger
    lease: Lease
    traffic: Traffic
    publisher: Publisher
    sweeper: Sweeper
    progress: Progress
    who: str

    @contextmanager
    def writing(self, purpose: str) -> Iterator[None]:
        """As the one writer: the lease is held, the ledger fenced, the driver the one of this environment."""
        with self.lease.hold(purpose) as held:
            self.ledger.token = held.token
            if held.note:
                self.progress.note(held.note)
            claim(self.shelf, self.driver)
            yield

    def provision(self, stack: Stack, settings: Settings, *, refresh: bool = False) -> Deployed:
        """Bring a stack to its settings (see stacks/pulumi_driver/converged.py for when its program runs)."""
        return provision(self.driver, self.memory, stack, settings, self.progress, refresh=refresh)

    def take_down(self, stack: Stack) -> Deployed:
        return take_down(self.driver, self.memory, stack, self.progress)

    def outputs(self, stack: Stack) -> Mapping[str, Any] | None:
        """What the stack last gave, without running anything; None also when it never came that far."""
        return self.memory.outputs(stack) or self.driver.outputs(stack) or None


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
    changes: tuple[Any, ...] = ()
    pushed_bytes: int = 0
    remaining: tuple[str, ...] = field(default=())
    """Stacks that still stand after `down`."""
    notes: tuple[str, ...] = ()
    """What whoever relies on the release must know."""

    def document(self) -> dict[str, Any]:
        """The JSON of DESIGN section 7."""
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
class FakeBuilder:
    """The fake: `packs` by service spec digest of your choice; here simply the next pack to give."""

    pack: Packed
    built: int = 0
    is_known: bool = False

    def known(self, spec: Spec) -> Packed | None:
        return self.pack if self.is_known else None

    def build(self, spec: Spec, progress: Progress, *, regate: bool) -> Packed:
        if not self.is_known:
            self.built += 1
        self.is_known = True
        return self.pack


@dataclass
class FakeImages:
    """The fake registry: digests by repository. A repository exists when `repositories()` says so."""

    repositories: Callable[[], set[str]]
    held: dict[str, set[str]] = field(default_factory=dict)
    local: set[str] = field(default_factory=set)
    pushes: int = 0
    size: int = 1000

    def reachable(self, repository: str) -> bool:
        return repository in self.repositories()

    def missing(self, repository: str, digest: str) -> int:
        return 0 if self.holds(repository, digest) else self.size

    def push(self, repository: str, digest: str, progress: Progress) -> int:
        if self.holds(repository, digest):
            return 0
        self.pushes += 1
        self.held.setdefault(repository, set()).add(digest)
        return self.size

    def stored(self, digest: str) -> bool:
        return digest in self.local

    def holds(self, repository: str, digest: str) -> bool:
        return self.reachable(repository) and digest in self.held.get(repository, set())


@dataclass
class FakePublisher:
    """The fake bucket: objects by key."""

    buckets: Callable[[], set[str]]
    objects: dict[str, bytes] = field(default_factory=dict)
    writes: int = 0

    def reachable(self, bucket: str) -> bool:
        return bucket in self.buckets()

    def publish(self, bucket: str, records: Mapping[str, bytes]) -> int:
        differing = {key: data for key, data in records.items() if self.objects.get(key) != data}
        self.objects |= differing
        self.writes += len(differing)
        return len(differing)


@dataclass
class FakeSweeper:
    swept: list[str] = field(default_factory=list)

    def empty(self, bucket: str, repository: str) -> None:
        self.swept += [bucket, repository]
