"""Small records under names, written whole or not at all: what the ledger, the lease and the converged states stand on.

`FolderStore` is files on one machine, `S3Store` (s3_store.py) objects with conditional writes,
`InMemoryStore` the fake. Every write is a compare-and-set, so two writers never both succeed.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from modelpack.home import A_MOMENT, hold_lock_briefly, sync_folder, write_atomically


class RecordStore(Protocol):
    """Names are relative, with "/" between parts."""

    def read(self, name: str) -> bytes | None:
        """The record, or None."""

    def age(self, name: str) -> float | None:
        """Seconds since the last write, by the store's own clock; None when there is no such record.

        Below 0, or far too many, where that clock was set since.
        """
        ...

    def write(self, name: str, data: bytes, *, was: bytes | None) -> bool:
        """Write if the record is still `was` (None: not there).

        False: somebody else was faster. Durable on return.
        """
        ...

    def remove(self, name: str, *, was: bytes) -> bool:
        """Remove if the record is still `was`."""
        ...

    def names(self, folder: str) -> tuple[str, ...]:
        """The last parts of the names of all records right below `folder`, which ends in "/"."""
        ...

    def place(self, name: str) -> str:
        """Where a person finds the record."""
        ...


@dataclass(frozen=True)
class FolderStore:
    """One file per record.

    New bytes are synced under another name first, so a kill leaves the old or the new. A writer that stands still in a
    write keeps others waiting for `patience` seconds; then they raise Locked.
    """

    root: Path
    patience: float = A_MOMENT

    def read(self, name: str) -> bytes | None:
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None

    def age(self, name: str) -> float | None:
        try:
            return time.time() - (self.root / name).stat().st_mtime
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes, *, was: bytes | None) -> bool:
        with hold_lock_briefly(self.root / ".guard", self.patience):
            if self.read(name) != was:
                return False
            write_atomically(self.root / name, data, durable=True)
        return True

    def remove(self, name: str, *, was: bytes) -> bool:
        with hold_lock_briefly(self.root / ".guard", self.patience):
            if self.read(name) != was:
                return False
            (self.root / name).unlink()
            sync_folder((self.root / name).parent)
        return True

    def names(self, folder: str) -> tuple[str, ...]:
        try:
            return tuple(each.name for each in (self.root / folder).iterdir())
        except FileNotFoundError:
            return ()

    def place(self, name: str) -> str:
        return str(self.root / name)


@dataclass
class InMemoryStore:
    """The fake. `ages` may be set to play a clock."""

    records: dict[str, bytes] = field(default_factory=dict)
    ages: dict[str, float] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, name: str) -> bytes | None:
        return self.records.get(name)

    def age(self, name: str) -> float | None:
        return self.ages.get(name, 0.0) if name in self.records else None

    def write(self, name: str, data: bytes, *, was: bytes | None) -> bool:
        with self.lock:
            if self.records.get(name) != was:
                return False
            self.records[name] = data
            self.ages.pop(name, None)
            return True

    def remove(self, name: str, *, was: bytes) -> bool:
        with self.lock:
            if self.records.get(name) != was:
                return False
            del self.records[name]
            return True

    def names(self, folder: str) -> tuple[str, ...]:
        found = (name.removeprefix(folder) for name in self.records if name.startswith(folder))
        return tuple(name for name in found if "/" not in name)

    def place(self, name: str) -> str:
        return name
