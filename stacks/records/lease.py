"""One writer at a time. Taken before anything is pushed; outside Pulumi's own lock.

The lease is one record of a store, changed only by compare-and-set, so two starters never both hold it. It is
stale, and taken over with a note, when its process is dead (same machine), its machine was booted since, or
(another machine) it was not renewed for `EXPIRES` seconds by the store's clock, nor while it was then watched: that
clock may have been set, but no two beats long does anybody who lives leave it alone. Every holder gets a higher token
than all before; the ledger refuses writes under an older one.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol

from infra.targets.base import Clock
from modelpack.errors import EcomdeployError, Locked
from stacks.records.process import Process, is_alive

EXPIRES = 60.0
BEAT = 15.0
LOOK = 2.0
"""Seconds between looks at a lease that is watched, and by how much two clocks may seem to differ meanwhile."""


@dataclass(frozen=True)
class Grant:
    """`token` grows with every holder; `note` tells what was taken over, if anything."""

    token: int
    note: str = ""


class LeaseRecord(Protocol):
    """The one record of a lease: any RecordStore has it. Its calls are a RecordStore's."""

    def read(self, name: str) -> bytes | None: ...

    def age(self, name: str) -> float | None: ...

    def write(self, name: str, data: bytes, *, was: bytes | None) -> bool: ...


class OneWriter(Protocol):
    def hold(self, purpose: str) -> AbstractContextManager[Grant]:
        """Be the one writer for a `with` block. Raises Locked: another is."""
        ...


class Lease:
    """The lease of one environment, a record of whichever store."""

    def __init__(
        self,
        store: LeaseRecord,
        who: str,
        me: Process,
        clock: Callable[[], datetime],
        *,
        name: str = "lease.json",
        lives: Callable[[Process], bool] = is_alive,
        beat: float = BEAT,
        watch: Clock = Clock(),  # noqa: B008 - frozen
        tell: Callable[[str], object] = lambda words: None,
    ) -> None:
        self.store, self.who, self.me, self.clock, self.name = store, who, me, clock, name
        self.lives, self.beat, self.watch, self.tell = lives, beat, watch, tell

    @contextmanager
    def hold(self, purpose: str) -> Iterator[Grant]:
        """Hold the lease for a `with` block; `purpose` is the command's name.

        Raises:
            Locked: a live writer has it; names who, since when, and what to type.
        """
        record, grant = self.take(purpose)
        stop = threading.Event()
        beating = threading.Thread(target=self.renew, args=(record, stop), daemon=True, name="lease")
        beating.start()
        try:
            yield grant
        finally:
            stop.set()
            beating.join()
            with suppress(EcomdeployError, OSError):  # what was done is done, and what is not freed expires
                self.store.write(self.name, write_freed(grant.token), was=record)

    def take(self, purpose: str) -> tuple[bytes, Grant]:
        """Take a free or stale lease; a lost race reads again and says who won."""
        for _ in range(10):
            was = self.store.read(self.name)
            old = parse(was)
            note = self.obstacle(old) if was is not None else ""
            token = int(old.get("token", 0)) + 1
            mine = {"token": token, "who": self.who, "purpose": purpose, "since": self.clock().isoformat()}
            record = json.dumps({**mine, "process": asdict(self.me)}).encode()
            # An answer may be lost and the call made again, which then finds its own record.
            if self.store.write(self.name, record, was=was) or self.store.read(self.name) == record:
                return record, Grant(token, note)
        raise Locked("the lease changes hands too quickly", hint="try again in a moment")

    def obstacle(self, old: dict[str, Any]) -> str:
        """ "" when the lease is free, a note when it is stale.

        Raises:
            Locked: it is held.
        """
        if old.get("free"):
            return ""
        try:
            process = Process(**old["process"])
        except (KeyError, TypeError):
            return "took over a lease that nobody can read"
        said = f"`ecomdeploy {old.get('purpose')}` of {old.get('who')}, since {old.get('since')}"
        if process.host == self.me.host:
            if process.boot == self.me.boot and self.lives(process):
                hint = f"wait for it, or end it: kill {process.pid} (what serves keeps serving)"
                raise Locked(f"{said}, is at work here (process {process.pid})", hint=hint)
            return f"took over from {said}: its process has ended"
        hint = f"wait for it; a lease that is not renewed for {EXPIRES:.0f} s is taken over"
        age = self.store.age(self.name) or 0.0
        if -LOOK <= age < EXPIRES:
            raise Locked(
                f"{said}, is at work on {process.host} (renewed {max(0.0, age):.0f} s ago)", hint=hint
            )
        if self.is_renewed(age, said):
            raise Locked(f"{said}, is at work on {process.host} (it has just renewed its lease)", hint=hint)
        return f"took over from {said}: not renewed for {EXPIRES:.0f} s"

    def is_renewed(self, age: float, said: str) -> bool:
        """Whether somebody writes the lease while it is watched, by a clock that nobody sets."""
        self.tell(f"{said}: is it still at work? (looking for {2 * BEAT:.0f} s)")
        begun = self.watch.now()
        while self.watch.now() - begun < 2 * BEAT + LOOK:
            self.watch.sleep(LOOK)
            now = self.store.age(self.name)
            if now is None or abs(now - age - (self.watch.now() - begun)) > LOOK:
                return True
        return False

    def renew(self, record: bytes, stop: threading.Event) -> None:
        """Write the same record again now and then: the store's clock shows that its holder lives."""
        while not stop.wait(self.beat):
            with suppress(
                EcomdeployError, OSError
            ):  # the store may be back at the next beat, long before it expires
                if not (
                    self.store.write(self.name, record, was=record) or self.store.read(self.name) == record
                ):
                    return


@dataclass(frozen=True)
class JointLease:
    """Two leases held together: `mine` of the records that are written, whose token counts, and `shared` with those who
    write others."""

    mine: OneWriter
    shared: OneWriter

    @contextmanager
    def hold(self, purpose: str) -> Iterator[Grant]:
        """See OneWriter."""
        with self.mine.hold(purpose) as grant, self.shared.hold(purpose) as other:
            yield Grant(grant.token, "; ".join(note for note in (grant.note, other.note) if note))


def write_freed(token: int) -> bytes:
    return json.dumps({"token": token, "free": True}).encode()


def parse(record: bytes | None) -> dict[str, Any]:
    try:
        data = json.loads(record) if record else {}
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}
