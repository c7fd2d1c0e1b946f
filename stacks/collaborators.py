"""Whom the verbs of `ship` work with, made elsewhere (cli/wiring.py) and handed in. Each protocol has its fake here."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from infra.ground.survey import Survey
from infra.hosts import Hosts
from infra.preflight.base import Looked
from infra.quotas.quota import Quotas
from infra.targets.base import Traffic
from modelpack.progress import Progress
from stacks.pulumi_driver.converged import ConvergedStates
from stacks.pulumi_driver.driver import Driver
from stacks.records.lease import OneWriter
from stacks.records.ledger import Ledger
from stacks.records.owner import Owner
from stacks.records.release import Packed
from stacks.records.store import RecordStore
from stacks.rollout.recorder import View
from stacks.wanted import Wanted


class Builder(Protocol):
    def find(self, wanted: Wanted) -> Packed | None:
        """The pack that is wanted if it was built before; nothing is trained, built or imported."""

    def build(
        self, wanted: Wanted, progress: Progress, *, regate: bool, base: Mapping[str, Any] | None = None
    ) -> Packed:
        """The pack that is wanted, built if need be. `base`: the base stack's outputs, for a model that is trained by a
        job."""
        ...


class ImageRegistry(Protocol):
    """Where images go. `repository` is the base stack's `repository_url`."""

    def is_reachable(self, repository: str) -> bool:
        """Whether the repository is there."""
        ...

    def count_missing(self, repository: str, digest: str) -> int:
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

    def read_record(self, digest: str) -> bytes | None:
        """The record that is attached to this image in the local store (JSON); None where that has none."""
        ...

    def is_stored(self, digest: str) -> bool:
        """Whether the local store has all of this image."""
        ...


class Publisher(Protocol):
    """Copies of the release records in the base bucket, so that S3 agrees with the ledger."""

    def is_reachable(self, bucket: str) -> bool: ...

    def publish(self, bucket: str, records: Mapping[str, bytes]) -> int:
        """Write those that differ; returns how many. Nothing differs: no mutating call."""
        ...

    def names(self, bucket: str, folder: str) -> tuple[str, ...]:
        """The last parts of the keys right below `folder`, which ends in "/"; none where there is no bucket."""
        ...

    def read(self, bucket: str, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Those of the objects that are there."""
        ...


class Sweeper(Protocol):
    def empty(self, bucket: str, repository: str) -> None:
        """Delete everything in both, so that the base stack can go. What is not there is fine."""


class Parameters(Protocol):
    def are_there(self, names: Collection[str]) -> bool:
        """Whether all these parameters of SSM exist."""
        ...


@dataclass(frozen=True, kw_only=True)
class Collaborators:
    """Whom one project in one environment works with.

    `hosts`: what its target runs releases on; `who`: the user and machine that the history names; `variables`: whoever
    ships', for the secrets that a spec reads from them; `prepare`: what must be there before anything is written.
    """

    builder: Builder
    hosts: Hosts
    images: ImageRegistry
    driver: Driver
    converged: ConvergedStates
    store: RecordStore
    ledger: Ledger
    lease: OneWriter
    """Of the service: its base and its endpoint have one writer."""
    platform_store: RecordStore
    """What all who share a platform share."""
    platform_lease: OneWriter
    traffic: Traffic
    publisher: Publisher
    sweeper: Sweeper
    progress: Progress
    who: str
    parameters: Parameters
    survey: Survey
    quotas: Quotas
    me: Owner
    """This folder, as an owner that has no id yet."""
    stands: Callable[[Owner], bool | None]
    """Whether another folder than this, the one that owner was given its id in, still has it; None: nobody can look."""
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    prepare: Callable[[], None] = lambda: None
    preflight: Callable[[Wanted], Sequence[Looked]] = lambda wanted: ()
    """What the place lacks for it. Reads only."""
    platform_preflight: Callable[[Wanted], Sequence[Looked]] = lambda wanted: ()
    """What it lacks for a platform. Reads only."""
    takes_rules: Callable[[], bool] = lambda: False
    """Whether the cluster takes alarms as objects of its own (PrometheusRule)."""
    find_metrics: Callable[[], Mapping[str, Any]] = dict
    """Where the load is asked for that a service scales by (`MetricsPlace`); empty: the place knows it by itself."""
    sleep: Callable[[float], None] = time.sleep
    """Seconds, while somebody else is waited for."""
    view: View | None = None
    """Whoever looks at a rollout while it goes on; None: `progress` has a line for each step."""


@dataclass
class FakeBuilder:
    """The fake: gives the same pack whatever is wanted. `built` counts how often it had to be built."""

    pack: Packed
    built: int = 0
    is_known: bool = False

    def find(self, wanted: Wanted) -> Packed | None:
        return self.pack if self.is_known else None

    def build(
        self, wanted: Wanted, progress: Progress, *, regate: bool, base: Mapping[str, Any] | None = None
    ) -> Packed:
        if not self.is_known:
            self.built += 1
        self.is_known = True
        return self.pack


@dataclass
class FakeImageRegistry:
    """The fake registry: digests by repository. A repository exists when `repositories()` says so."""

    repositories: Callable[[], set[str]]
    held: dict[str, set[str]] = field(default_factory=dict)
    local: set[str] = field(default_factory=set)
    records: dict[str, bytes] = field(default_factory=dict)
    pushes: int = 0
    size: int = 1000

    def is_reachable(self, repository: str) -> bool:
        return repository in self.repositories()

    def count_missing(self, repository: str, digest: str) -> int:
        return 0 if self.holds(repository, digest) else self.size

    def push(self, repository: str, digest: str, progress: Progress) -> int:
        if self.holds(repository, digest):
            return 0
        self.pushes += 1
        self.held.setdefault(repository, set()).add(digest)
        return self.size

    def is_stored(self, digest: str) -> bool:
        return digest in self.local

    def holds(self, repository: str, digest: str) -> bool:
        return self.is_reachable(repository) and digest in self.held.get(repository, set())

    def read_record(self, digest: str) -> bytes | None:
        return self.records.get(digest)


@dataclass
class FakePublisher:
    """The fake bucket: objects by key."""

    buckets: Callable[[], set[str]]
    objects: dict[str, bytes] = field(default_factory=dict)
    writes: int = 0

    def is_reachable(self, bucket: str) -> bool:
        return bucket in self.buckets()

    def publish(self, bucket: str, records: Mapping[str, bytes]) -> int:
        differing = {key: data for key, data in records.items() if self.objects.get(key) != data}
        self.objects |= differing
        self.writes += len(differing)
        return len(differing)

    def names(self, bucket: str, folder: str) -> tuple[str, ...]:
        below = (key.removeprefix(folder) for key in self.objects if key.startswith(folder))
        return tuple(name for name in below if "/" not in name) if self.is_reachable(bucket) else ()

    def read(self, bucket: str, keys: Sequence[str]) -> Mapping[str, bytes]:
        there = self.objects if self.is_reachable(bucket) else {}
        return {key: there[key] for key in keys if key in there}


@dataclass
class FakeParameters:
    """The fake: all are there but those `lost`."""

    lost: set[str] = field(default_factory=set)

    def are_there(self, names: Collection[str]) -> bool:
        return self.lost.isdisjoint(names)


@dataclass
class FakeSweeper:
    swept: list[str] = field(default_factory=list)

    def empty(self, bucket: str, repository: str) -> None:
        self.swept += [bucket, repository]
