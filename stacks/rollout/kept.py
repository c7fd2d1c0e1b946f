"""Where what was seen of a rollout is kept: with the ledger while it goes on, in the base bucket for all once it ended.

So a killed rollout's record goes on with the next run, and whoever has lost the folder, or never had it, reads it in
the bucket, with the record of the pack (its verdicts and figures) beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from stacks.records.release import Release
from stacks.records.store import RecordStore
from stacks.rollout.events import RolloutRecord, rollout_of
from stacks.rollout.move import Rollout
from stacks.rollout.recorder import Measured, Recorder
from stacks.run import Run

FOLDER = "rollouts/"


@dataclass
class RolloutKeeper:
    """Writes one record down. `was`: what was written last."""

    run: Run
    name: str
    key: str
    was: bytes | None = None

    def keep(self, record: RolloutRecord, ended: bool) -> None:
        """Raises EcomdeployError when that cannot be."""
        data = record.as_record()
        if self.run.deps.store.write(self.name, data, was=self.was):
            self.was = data
        if ended:
            self.run.deps.publisher.publish(self.run.base["bucket"], {self.key: data})


def make_recorder(run: Run, rollout: Rollout, old: Release | None, new: Release) -> Recorder:
    """Of this rollout, going on from what an earlier run has kept of it."""
    store, name = run.deps.store, name_of(new.number)
    keeper = RolloutKeeper(run, name, key_of_rollout(new), store.read(name))
    begun, known = rollout.record_of(old, new), read_record(keeper.was)
    if known and (known.service, known.release) == (begun.service, begun.release):
        begun = replace(begun, events=known.events, old=known.old, new=known.new)
    return Recorder(
        record=begun,
        progress=run.deps.progress,
        view=run.deps.view,
        measure=measure_of(rollout, old, new),
        keep=keeper.keep,
        now=run.deps.ledger.clock,
    )


def measure_of(rollout: Rollout, old: Release | None, new: Release) -> Callable[[datetime], Measured]:
    """How the figures of both releases are asked for."""
    revisions = [rollout.revisions.get(one.key, "") if one else "" for one in (old, new)]

    def measure(since: datetime) -> Measured:
        asked = tuple(dict.fromkeys(name for name in revisions if name))
        told = rollout.traffic.guard.measure(rollout.endpoint, asked, since)
        before, after = (told.get(name, ()) for name in revisions)
        return before, after

    return measure


def read_rollout(store: RecordStore, number: int) -> RolloutRecord | None:
    """What is kept with the ledger of a release's rollout; None where nothing is, or nothing that reads."""
    return read_record(store.read(name_of(number)))


def read_record(record: bytes | None) -> RolloutRecord | None:
    try:
        return rollout_of(record) if record else None
    except msgspec.MsgspecError:
        return None


def name_of(number: int) -> str:
    """In the record store."""
    return f"{FOLDER}{number}.json"


def key_of_rollout(release: Release) -> str:
    """In the bucket."""
    return f"{FOLDER}{release.service}/{release.number}.json"


def key_of_pack(release: Release) -> str:
    """In the bucket: one for all releases of a pack."""
    return f"packs/{release.pack.digest.removeprefix('sha256:')}.json"
