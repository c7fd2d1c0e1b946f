"""The state of one operation while it runs: intent on disk before every mutating call, result after it.

Order in the file is Pulumi's: what this operation has settled, in order, then what it has not reached yet;
so a resource always comes after what it needs. Concurrent commits share one write.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace

from infra.rehearsal.engine.resource import Operation, Resource, Snapshot

Write = Callable[[Snapshot, bool], None]


class Journal:
    """`write(snapshot, durable)` puts a snapshot on disk; None for a preview, which records nothing."""

    def __init__(self, snapshot: Snapshot, write: Write | None) -> None:
        self._salt = snapshot.salt
        self._waiting: list[Resource] = list(snapshot.resources)
        self._settled: list[Resource] = []
        self._pending: dict[int, Operation] = dict(enumerate(snapshot.pending))
        self._tokens = itertools.count(len(snapshot.pending))
        self._write = write
        self._lock = threading.Lock()
        self._disk = threading.Lock()
        self._changes = 0
        self._written = 0

    def snapshot(self) -> Snapshot:
        """What a write would put on disk now."""
        with self._lock:
            return self._snapshot()

    def _snapshot(self) -> Snapshot:
        return Snapshot((*self._settled, *self._waiting), tuple(self._pending.values()), self._salt)

    def pending(self) -> dict[int, Operation]:
        """Operations whose end is not known, by token."""
        with self._lock:
            return dict(self._pending)

    def begin(self, kind: str, resource: Resource) -> int:
        """Record the intent to create, update or delete; on disk when this returns."""
        with self._lock:
            token = next(self._tokens)
            self._pending[token] = Operation(kind, resource)
            self._changes += 1
        self._commit()
        return token

    def settle(
        self,
        token: int,
        *,
        put: Resource | None = None,
        replacing: Resource | None = None,
        drop: Iterable[Resource] = (),
    ) -> None:
        """Record the result of an operation; on disk when this returns."""
        with self._lock:
            self._pending.pop(token, None)
            self._changes += 1
            self._apply(put, replacing, drop)
        self._commit()

    def put(self, resource: Resource, replacing: Resource | None = None) -> Resource:
        """Settle a resource that needed no mutating call, and return what the state holds now.

        Written with the next commit, or not at all if unchanged.
        """
        with self._lock:
            if replacing is not None and resource == replacing:
                resource = replacing
            else:
                self._changes += 1
            self._apply(resource, replacing, ())
            return resource

    def swap(self, resource: Resource, replacing: Resource) -> None:
        """Change a resource where it stands (a refresh, a mark for deletion, a component's outputs)."""
        with self._lock:
            for side in (self._settled, self._waiting):
                for index, one in enumerate(side):
                    if one is replacing:
                        side[index] = resource
                        self._changes += resource != replacing
                        return

    def drop(self, resource: Resource) -> None:
        """Forget a resource without a call."""
        with self._lock:
            self._changes += 1
            self._apply(None, None, (resource,))

    def _apply(self, put: Resource | None, replacing: Resource | None, drop: Iterable[Resource]) -> None:
        gone = {id(one) for one in (*drop, *((replacing,) if replacing else ()))}
        if gone:
            self._waiting = [one for one in self._waiting if id(one) not in gone]
            self._settled = [one for one in self._settled if id(one) not in gone]
        if put is not None:
            self._settled.append(put)
            self._pending = {key: one for key, one in self._pending.items() if one.resource.urn != put.urn}

    def supersede(self, token: int, new: Resource, old: Resource) -> None:
        """A replacement came up: the new one settles and the old one waits for its deletion, in one write."""
        with self._lock:
            self._pending.pop(token, None)
            self._changes += 1
            self._waiting = [replace(one, delete=True) if one is old else one for one in self._waiting]
            self._settled.append(new)
        self._commit()

    def adopt(self, token: int, new: Resource, old: Resource | None) -> None:
        """A create of an earlier run turned out done. It goes behind all it needs, to the end."""
        with self._lock:
            self._pending.pop(token, None)
            self._changes += 1
            if old is not None:
                self._waiting = [replace(one, delete=True) if one is old else one for one in self._waiting]
            self._waiting = [
                one for one in self._waiting if one.urn != new.urn or not one.pending_replacement
            ]
            self._waiting.append(new)
        self._commit()

    def prune(self) -> None:
        """Take references to resources that are gone out of the rest (after a refresh)."""
        with self._lock:
            there = {one.urn for one in (*self._settled, *self._waiting)}
            for side in (self._settled, self._waiting):
                for index, one in enumerate(side):
                    kept = tuple(urn for urn in one.dependencies if urn in there)
                    links = {
                        key: tuple(urn for urn in urns if urn in there)
                        for key, urns in one.property_dependencies.items()
                    }
                    if kept != one.dependencies or links != one.property_dependencies:
                        side[index] = replace(one, dependencies=kept, property_dependencies=links)
                        self._changes += 1

    def _commit(self) -> None:
        if self._write is None:
            return
        with self._lock:
            wanted = self._changes
        with self._disk:
            if self._written >= wanted:
                return
            with self._lock:
                snapshot, covered = self._snapshot(), self._changes
            self._write(snapshot, False)
            self._written = covered

    def close(self) -> None:
        """Write what is not on disk yet, durably. An operation that changed nothing writes nothing."""
        if self._write is None:
            return
        with self._disk, self._lock:
            if self._changes:
                self._write(self._snapshot(), True)
                self._written = self._changes
