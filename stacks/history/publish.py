"""What of a service's history is copied into its base bucket, where it outlives the folder: release records, what was
seen of each rollout, the records of packs (verdicts and figures), and whose the service is.
"""

from __future__ import annotations

import json

from stacks.records.owner import RECORD, read_owner
from stacks.records.release import Release
from stacks.rollout.kept import FOLDER, key_of_pack, key_of_rollout, name_of
from stacks.run import Run


def publish(run: Run) -> None:
    """The ledger's records as objects in the base bucket, those that differ, and whose they are. Where the bucket
    lacked some, it may lack those of rollouts too."""
    releases = run.deps.ledger.releases()
    records = {
        f"releases/{each.service}/{each.number}.json": json.dumps(
            each.document(), indent=1, sort_keys=True
        ).encode()
        for each in releases
    }
    if run.deps.publisher.publish(run.base["bucket"], records):
        publish_rollouts(run, releases)
    publish_owner(run)


def publish_owner(run: Run) -> None:
    """Whose the service is, from the first thing on that it has in the cloud."""
    if owner := read_owner(run.deps.store):
        run.deps.publisher.publish(run.base["bucket"], {RECORD: owner.as_record()})


def publish_rollouts(run: Run, releases: tuple[Release, ...]) -> None:
    """What is kept of rollouts with the ledger, and is not in the bucket."""
    bucket, publisher = run.base["bucket"], run.deps.publisher
    there = set(publisher.names(bucket, f"{FOLDER}{run.wanted.spec.service}/"))
    lacking = set(run.deps.store.names(FOLDER)) - there
    wanted = [each for each in releases if f"{each.number}.json" in lacking]
    kept = {key_of_rollout(each): run.deps.store.read(name_of(each.number)) for each in wanted}
    publisher.publish(bucket, {key: data for key, data in kept.items() if data})


def publish_pack(run: Run, release: Release) -> None:
    """The record of the release's pack, where this machine has it."""
    if record := run.deps.images.read_record(release.pack.digest):
        run.deps.publisher.publish(run.base["bucket"], {key_of_pack(release): record})
