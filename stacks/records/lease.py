"""One writer at a time. Taken before anything is pushed; outside Pulumi's own lock.

The lease is one record of a store, changed only by compare-and-set, so two starters never both hold it. It is
stale, and taken over with a note, when its process is dead (same machine), its machine was booted since, or
(another machine) it was not renewed for `EXPIRES` seconds by the store's clock. Every holder gets a higher token
than all before; the ledger refuses writes under an older one.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from modelpack.errors import Locked
from stacks.records.process import Process, is_alive
from stacks.records.store import RecordStore

EXPIRES = 60.0
BEAT = 15.0


@dataclass(frozen=True)
class Grant:
    """`token` grows with every holder; `note` tells what was taken over, if anything."""

    token: int
    note: str = ""


class Lease:
    """The lease of one environment, a record of whichever store."""

    def __init__(
        self,
        store: RecordStore,
        who: str,
        me: Process,
        clock: Callable[[], datetime],
        *,
        name: str = "lease.json",
        lives: Callable[[Process], bool] = is_alive,
        beat: float = BEAT,
    ) -> None:
        self.store, self.who, self.me, self.clock, self.name = store, who, me, clock, name
        self.lives, self.beat = lives, beat

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
            if self.store.write(self.name, record, was=was):
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
        if (age := self.store.age(self.name) or 0.0) < EXPIRES:
            hint = f"wait for it; a lease that is not renewed for {EXPIRES:.0f} s is taken over"
            raise Locked(f"{said}, is at work on {process.host} (renewed {age:.0f} s ago)", hint=hint)
        return f"took over from {said}: not renewed for {age:.0f} s"

    def renew(self, record: bytes, stop: threading.Event) -> None:
        """Write the same record again now and then: the store's clock shows that its holder lives."""
        while not stop.wait(self.beat):
            if not self.store.write(self.name, record, was=record):
                return


def write_freed(token: int) -> bytes:
    return json.dumps({"token": token, "free": True}).encode()


def parse(record: bytes | None) -> dict[str, Any]:
    try:
        data = json.loads(record) if record else {}
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}
