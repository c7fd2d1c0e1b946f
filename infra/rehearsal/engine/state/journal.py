"""The state of one operation while it runs: intent on disk before every mutating call, result after it.

Order in the file is Pulumi's: what this operation has settled, in order, then what it has not reached yet;
so a resource always comes after what it needs. Concurrent commits share one write.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import replace

from infra.rehearsal.engine.resource import PendingOperation, Resource, Snapshot

Write = Callable[[Snapshot, bool], None]


class Journal:
    """`write(snapshot, durable)` puts a snapshot on disk; None for a preview, which records nothing."""

    def __init__(self, snapshot: Snapshot, write: Write | None) -> None:
        self._salt = snapshot.salt
        self._waiting: list[Resource] = list(snapshot.resources)
        self._settled: list[Resource] = []
        self._pending: dict[int, PendingOperation] = dict(enumerate(snapshot.pending))
        self._tokens = itertools.count(len(snapshot.pending))
        self._write = write
        self._lock = threading.RLock()
        self._disk = threading.Lock()
        self._changes = 0
        self._written = 0

    def snapshot(self) -> Snapshot:
        """What a write would put on disk now."""
        with self._lock:
            resources = (*self._settled, *self._waiting)
            return Snapshot(resources, tuple(self._pending.values()), self._salt)

    def pending(self) -> dict[int, PendingOperation]:
        """Operations whose end is not known, by token."""
        with self._lock:
            return dict(self._pending)

    def begin(self, kind: str, resource: Resource) -> int:
        """Record the intent to create, update or delete; on disk when this returns."""
        with self._lock:
            token = next(self._tokens)
            self._pending[token] = PendingOperation(kind, resource)
            self._changes += 1
        self._commit()
        return token

    def settle(
        self,
        token: int,
        put: Resource | None = None,
        replacing: Resource | None = None,
        *,
        last: bool = False,
    ) -> None:
        """Record the result of an operation; on disk when this returns.

        `put` takes the place of `replacing`; but where it is another thing in the cloud, `replacing` stays
        and waits for its deletion. What an earlier run has begun goes `last`, behind all it needs.
        """
        with self._lock:
            self._pending.pop(token, None)
            self._changes += 1
            if put is not None:
                self._make_way(put, replacing)
                (self._waiting if last else self._settled).append(put)
        self._commit()

    def put(self, resource: Resource, replacing: Resource | None = None) -> Resource:
        """Settle a resource that needed no mutating call, and return what the state holds now.

        Written with the next commit, or not at all if unchanged.
        """
        with self._lock:
            if replacing is not None and not resource.differs(replacing):
                resource = replacing
            else:
                self._changes += 1
            self._drop(replacing)
            self._settled.append(resource)
            return resource

    def _make_way(self, new: Resource, old: Resource | None) -> None:
        self._pending = {key: one for key, one in self._pending.items() if one.resource.urn != new.urn}
        if old is None or old.pending_replacement or old.id == new.id:
            self._drop(old)
        else:
            self._waiting = [replace(one, delete=True) if one is old else one for one in self._waiting]

    def swap(self, resource: Resource, replacing: Resource) -> None:
        """Change a resource where it stands (a refresh, a pending deletion, a component's outputs)."""
        with self._lock:
            for side in (self._settled, self._waiting):
                for index, one in enumerate(side):
                    if one is replacing:
                        side[index] = resource
                        self._changes += resource.differs(replacing)

    def drop(self, resource: Resource) -> None:
        """Forget a resource; written with the next commit."""
        with self._lock:
            self._changes += 1
            self._drop(resource)

    def _drop(self, resource: Resource | None) -> None:
        self._waiting = [one for one in self._waiting if one is not resource]
        self._settled = [one for one in self._settled if one is not resource]

    def prune(self) -> None:
        """Take references to resources that are gone out of the rest (after a refresh)."""
        with self._lock:
            there = {one.urn for one in (*self._settled, *self._waiting)}
            for side in (self._settled, self._waiting):
                for index, one in enumerate(side):
                    side[index] = one.among(there)
                    self._changes += side[index].differs(one)

    def _commit(self, *, durable: bool = False) -> None:
        if self._write is None:
            return
        with self._lock:
            wanted = self._changes
        with self._disk:
            if self._written >= wanted and not durable:
                return
            with self._lock:
                snapshot, covered = self.snapshot(), self._changes
            self._write(snapshot, durable)
            self._written = covered

    def close(self) -> None:
        """Write what is not on disk yet, durably. An operation that changed nothing writes nothing."""
        if self._changes:
            self._commit(durable=True)
