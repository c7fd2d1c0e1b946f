"""The append-only record of releases. What is, is the fold of what happened.

One event is one record of a store, named by its sequence number and written only if that number is still
free: a kill leaves whole events, and a writer that lost its lease without noticing cannot append (its
number is taken, or a higher fencing token stands there).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from modelpack.errors import BadInput, EcomdeployError, Locked
from stacks.records.release import MARKED, OPEN, Release, ServingConfiguration, State, release_of
from stacks.records.store import RecordStore

RETAINED = 5
"""How many releases before the live one stay provisioned, ready to be rolled back to."""

ONCE_LIVE = frozenset({State.SUPERSEDED, State.ROLLED_BACK})
STANDING = ONCE_LIVE | {State.LIVE, State.INTERRUPTED}
"""States of releases that may have resources."""


class Ledger:
    """The releases of one service in one environment. `prefix` ends in "/"; `clock` gives aware datetimes."""

    def __init__(self, store: RecordStore, clock: Callable[[], datetime], prefix: str = "") -> None:
        self.store, self.clock, self.prefix = store, clock, f"{prefix}events/"
        self.token = 0
        self.sequence = 0
        self.newest_token = 0
        self.known: dict[int, Release] = {}

    def releases(self) -> tuple[Release, ...]:
        """All of them, by number."""
        self.catch_up()
        return tuple(self.known[number] for number in sorted(self.known))

    def live(self) -> Release | None:
        return next((each for each in reversed(self.releases()) if each.state is State.LIVE), None)

    def newest(self) -> Release | None:
        return next(reversed(self.releases()), None)

    def next_number(self) -> int:
        """The number that the next release will have."""
        return max((each.number for each in self.releases()), default=0) + 1

    def find_unfinished(self) -> Release | None:
        """A release that an earlier run began and did not end: it was killed."""
        return next((each for each in reversed(self.releases()) if each.state in OPEN), None)

    def find(self, number: int) -> Release:
        """A release by number.

        Raises:
            BadInput: there is none.
        """
        for each in self.releases():
            if each.number == number:
                return each
        raise BadInput(f"there is no release {number}", hint="ecomdeploy releases")

    def list_retained(self, count: int = RETAINED) -> tuple[Release, ...]:
        """What stays provisioned beside the live release: the last `count` that were live, newest first."""
        live, kept = self.live(), dict[str, Release]()
        for each in reversed(self.releases()):
            if each.state in ONCE_LIVE and each.key not in kept and not (live and each.key == live.key):
                kept[each.key] = each
        return tuple(kept.values())[:count]

    def leftovers(self) -> tuple[Release, ...]:
        """Releases begun after the live one and cut short: they may have resources, or even traffic."""
        since = live.number if (live := self.live()) else 0
        short = OPEN | {State.INTERRUPTED}
        return tuple(each for each in self.releases() if each.number > since and each.state in short)

    def previous(self) -> Release:
        """Where `rollback` without a number goes: what the live release took over from.

        Raises:
            BadInput: there is nothing to go back to.
        """
        for each in self.list_retained(count=len(self.releases())):
            if each.state is State.SUPERSEDED:
                return each
        raise BadInput("there is no earlier release to go back to", hint="ecomdeploy releases")

    def find_mark(self, digest: str, serving: ServingConfiguration) -> Release | None:
        """The last release with this pack, served so, if it marks them: it failed or was rolled back."""
        for each in reversed(self.releases()):
            if (each.pack.digest, each.serving) == (digest, serving):
                return each if each.end and each.end.state in MARKED else None
        return None

    def begin(self, release: Release) -> Release:
        """Append a release under the next number (its own `number` is not looked at)."""
        same = (
            each for each in self.releases() if each.key == release.key and each.state is not State.REMOVED
        )
        replicas = next((each.replicas for each in same), release.replicas)
        numbered = replace(
            release, number=self.next_number(), replicas=replicas, created=self.now(), timeline=()
        )
        begun = numbered.enter(State.BEGUN, self.now())
        self.append({"kind": "begun", "release": begun.document()})
        return begun

    def record(
        self, number: int, state: State, cause: str = "", also: dict[int, State] | None = None
    ) -> None:
        """One step on for a release, and in the same event for others."""
        states = {number: state, **(also or {})}
        self.append(
            {"kind": "states", "states": {str(key): value for key, value in states.items()}, "cause": cause}
        )

    def finish(self, number: int) -> Release:
        """The release is live; what was live is superseded, or rolled back when this one restores another."""
        release, live = self.find(number), self.live()
        left = State.ROLLED_BACK if release.restores is not None else State.SUPERSEDED
        also = {live.number: left} if live and live.number != number else {}
        self.record(number, State.LIVE, also=also)
        return self.find(number)

    def fail(self, number: int, cause: str) -> None:
        self.record(number, State.FAILED, cause)

    def interrupt(self, cause: str) -> None:
        """End every unfinished release; its pack is not marked."""
        for each in self.releases():
            if each.state in OPEN:
                self.record(each.number, State.INTERRUPTED, cause)

    def remove_all(self, cause: str) -> None:
        """The service is gone: nothing is live, nothing retained."""
        gone = {each.number: State.REMOVED for each in self.releases() if each.state in STANDING}
        if gone:
            first, *_ = gone
            self.record(first, State.REMOVED, cause, also=gone)

    def now(self) -> str:
        return self.clock().isoformat(timespec="seconds")

    def catch_up(self) -> None:
        """Read the events that were appended since the last look."""
        while (record := self.store.read(self.name_of(self.sequence + 1))) is not None:
            self.take(parse(record, self.sequence + 1))

    def take(self, event: dict[str, Any]) -> None:
        self.sequence = int(event["sequence"])
        self.newest_token = max(self.newest_token, int(event.get("token", 0)))
        apply(self.known, event)

    def name_of(self, sequence: int) -> str:
        return f"{self.prefix}{sequence:08d}.json"

    def append(self, event: dict[str, Any]) -> None:
        """Write the next event.

        Raises:
            Locked: another writer appended meanwhile, or holds a newer lease.
        """
        self.catch_up()
        stamped = {**event, "sequence": self.sequence + 1, "at": self.now(), "token": self.token}
        data = json.dumps(stamped, indent=1, sort_keys=True).encode()
        late = self.newest_token > self.token
        if late or not self.store.write(self.name_of(self.sequence + 1), data, was=None):
            raise Locked("another writer took over while this one ran", hint="ecomdeploy status")
        self.take(stamped)


def parse(record: bytes, sequence: int) -> dict[str, Any]:
    try:
        event = json.loads(record)
        if isinstance(event, dict) and event.get("sequence") == sequence:
            return event
    except ValueError:
        pass
    raise EcomdeployError(
        f"event {sequence} of the ledger is damaged", hint="put the file back from a backup"
    )


def apply(releases: dict[int, Release], event: dict[str, Any]) -> None:
    """One event more: what is, from what was and what happened."""
    if event["kind"] == "begun":
        release = release_of(event["release"])
        releases[release.number] = release
    elif event["kind"] == "states":
        for number, state in event["states"].items():
            old = releases[int(number)]
            releases[int(number)] = old.enter(State(state), event["at"], event["cause"])
