"""A service's history for whoever asks: from the ledger, or, where this folder has none, from the bucket's records.

Reads only; takes no lease.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from modelpack.errors import BadInput
from stacks.ownership import read_release
from stacks.records.ledger import Ledger
from stacks.records.release import Release
from stacks.rollout.events import RolloutRecord
from stacks.rollout.kept import key_of_pack, key_of_rollout, read_record, read_rollout


class Records(Protocol):
    """What a `Publisher` has published."""

    def names(self, bucket: str, folder: str) -> tuple[str, ...]: ...

    def read(self, bucket: str, keys: Sequence[str]) -> Mapping[str, bytes]: ...


@dataclass(frozen=True, kw_only=True)
class ReleaseStory:
    """One release with all that is known of it. `rollout`: None where nothing was seen of it (an earlier version
    shipped it); `pack`: the record of its pack, None where that is not to be had."""

    release: Release
    rollout: RolloutRecord | None
    pack: Mapping[str, Any] | None

    def document(self) -> dict[str, Any]:
        """What `--json` prints (docs/json.md)."""
        return {
            "release": self.release.document(),
            "rollout": self.rollout.document() if self.rollout else None,
            "pack": dict(self.pack) if self.pack else None,
        }


@dataclass(frozen=True, kw_only=True)
class History:
    """`records`: gives those of the bucket, or None where it cannot be asked; `where`: that bucket in words."""

    ledger: Ledger
    service: str
    records: Callable[[], Records | None]
    bucket: str
    where: str

    def releases(self) -> tuple[Release, ...]:
        """By number.

        Raises:
            EcomdeployError: a record does not read.
        """
        here = self.ledger.releases()
        records = None if here else self.records()
        if records is None:
            return here
        folder = f"releases/{self.service}/"
        keys = [f"{folder}{name}" for name in records.names(self.bucket, folder)]
        told = records.read(self.bucket, [key for key in keys if key.endswith(".json")])
        found = (read_release(self.where, *each) for each in told.items())
        return tuple(sorted(found, key=lambda release: release.number))

    def tell(self, number: int) -> ReleaseStory:
        """All that is known of one release.

        Raises:
            BadInput: there is none of that number.
        """
        release = next((each for each in self.releases() if each.number == number), None)
        if release is None:
            raise BadInput(f"there is no release {number}", hint="ecomdeploy releases")
        rollout = read_rollout(self.ledger.store, number)
        keys = (key_of_rollout(release), key_of_pack(release))
        records = self.records()
        told = records.read(self.bucket, keys) if records else {}
        pack = told.get(keys[1])
        return ReleaseStory(
            release=release,
            rollout=rollout or read_record(told.get(keys[0])),
            pack=json.loads(pack) if pack else None,
        )
