"""Whose a stack is: a random id in the record store, the same for all who share the state.

It is also beside the release records in the bucket, so that what is found in the cloud says whose it is.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, replace

from stacks.records.store import RecordStore

RECORD = "owner.json"


@dataclass(frozen=True, kw_only=True)
class Owner:
    """`folder` and `host`: where the project lies that was given the id; `who` gave it; `former`: the ids of those that
    it has taken over from: what still carries them is its own."""

    id: str
    folder: str = ""
    host: str = ""
    who: str = ""
    former: tuple[str, ...] = ()

    def take_after(self, other: str) -> Owner:
        """The same, having taken over from the owner of that id as well."""
        former = tuple(dict.fromkeys((*self.former, other)))
        return self if other in ("", self.id, *self.former) else replace(self, former=former)

    def __str__(self) -> str:
        place = f"the project in {self.folder} on {self.host}" if self.folder else "another project"
        return f"{place} (owner {self.id})"

    def as_record(self) -> bytes:
        return json.dumps(asdict(self), indent=1, sort_keys=True).encode()


def draw_id() -> str:
    """12 hex digits, drawn."""
    return secrets.token_hex(6)


def read_record(record: bytes | None) -> Owner | None:
    """From its record; None where there is none, or none that says anything."""
    try:
        said = json.loads(record or b"null")
        named = {name: str(said[name]) for name in ("id", "folder", "host", "who")}
        return Owner(**named, former=tuple(map(str, said.get("former", ()))))
    except (ValueError, TypeError, KeyError):
        return None


def read_owner(store: RecordStore) -> Owner | None:
    return read_record(store.read(RECORD))


def keep_owner(store: RecordStore, owner: Owner) -> Owner:
    """Write it down, whoever was there before; the one that is there now (another writer may have been faster)."""
    was = store.read(RECORD)
    if read_record(was) != owner:
        store.write(RECORD, owner.as_record(), was=was)
    return read_owner(store) or owner


def make_owner(store: RecordStore, me: Owner) -> Owner:
    """The owner of this store, made by `me` if there was none. Only a writer calls it."""
    return read_owner(store) or keep_owner(store, replace(me, id=draw_id()))
