"""Which services use a platform: one record in the platform's own store, so that none is taken away under another."""

from __future__ import annotations

import json

from stacks.records.store import RecordStore

RECORD = "users.json"


def read_users(store: RecordStore) -> tuple[str, ...]:
    """Names like "shop-prod", sorted."""
    try:
        said = json.loads(store.read(RECORD) or b"[]")
    except ValueError:
        return ()
    return tuple(sorted(map(str, said))) if isinstance(said, list) else ()


def enter_user(store: RecordStore, name: str) -> None:
    """One more; it may be there already. Only who holds the platform's lease writes."""
    keep(store, {*read_users(store), name})


def strike_user(store: RecordStore, name: str) -> None:
    """One less. Only who holds the platform's lease writes."""
    keep(store, set(read_users(store)) - {name})


def keep(store: RecordStore, names: set[str]) -> None:
    record, was = json.dumps(sorted(names)).encode(), store.read(RECORD)
    if was != record and (names or was is not None):
        store.write(RECORD, record, was=was)
