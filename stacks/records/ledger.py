"""The append-only record of releases. What is, is the fold of what happened.

One event is one record of a store, named by its sequence number and written only if that number is still
free: a kill leaves whole events, and a writer that lost its lease without noticing cannot append (its
number is taken, or a higher fencing token stands there).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec

from modelpack.errors import BadInput, EcomdeployError, Locked
from stacks.records.release import MARKED, OPEN, Release, ServingConfiguration, State, release_of
from stacks.records.store import RecordStore

RETAINED = 5
"""How many releases before the live one stay provisioned, ready to be rolled back to."""

ONCE_LIVE = frozenset({State.SUPERSEDED, State.ROLLED_BACK})
STANDING = ONCE_LIVE | {State.LIVE, State.INTERRUPTED}
"""States of releases that may have resources."""


class Ledger:
    """The releases of one service in one environment. `prefix` ends in "/"; `clock` gives aware datetimes.

    `service`: whose releases it gives. A service that was renamed has others in the same events ("": all of them).
    """

    def __init__(
        self, store: RecordStore, clock: Callable[[], datetime], prefix: str = "", service: str = ""
    ) -> None:
        self.store, self.clock, self.prefix, self.service = store, clock, f"{prefix}events/", service
        self.kept = f"{prefix}logs/"
        self.token = 0
        self.sequence = 0
        self.newest_token = 0
        self.known: dict[int, Release] = {}

    def releases(self) -> tuple[Release, ...]:
        """All of the service, by number."""
        return tuple(each for each in self.all() if self.service in ("", each.service))

    def all(self) -> tuple[Release, ...]:
        """Those of its earlier names too."""
        self.catch_up()
        return tuple(self.known[number] for number in sorted(self.known))

    def former(self) -> tuple[Release, ...]:
        """What is live of a service that this one was before it was renamed: numbered below its own newest release."""
        newest, mine = self.newest(), self.releases()
        below = newest.number if newest else self.next_number()
        live = (each for each in self.all() if each.state is State.LIVE and each.number < below)
        return tuple(each for each in live if each not in mine)

    def live(self) -> Release | None:
        return next((each for each in reversed(self.releases()) if each.state is State.LIVE), None)

    def newest(self) -> Release | None:
        return next(reversed(self.releases()), None)

    def next_number(self) -> int:
        """The number that the next release will have."""
        return max((each.number for each in self.all()), default=0) + 1

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
        if found := self.find_previous():
            return found
        raise BadInput("there is no earlier release to go back to", hint="ecomdeploy releases")

    def find_previous(self) -> Release | None:
        """The same, or None."""
        retained = self.list_retained(count=len(self.releases()))
        return next((each for each in retained if each.state is State.SUPERSEDED), None)

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

    def rebuild(self, releases: Iterable[Release], cause: str) -> None:
        """Take in releases that other records tell of, each as it is told there."""
        told = [each.document() for each in releases]
        self.append({"kind": "recovered", "releases": told, "cause": cause})

    def fail(self, number: int, cause: str) -> None:
        self.record(number, State.FAILED, cause)

    def keep_log(self, number: int, lines: Sequence[str]) -> None:
        """Lines that a release's servers wrote, before these are taken away; in the place of what was kept of it."""
        name = f"{self.kept}{number}.log"
        self.store.write(name, "".join(f"{one}\n" for one in lines).encode(), was=self.store.read(name))

    def kept_log(self, number: int) -> list[str]:
        """What was kept of a release that failed; empty where nothing was."""
        found = self.store.read(f"{self.kept}{number}.log") or b""
        return found.decode(errors="replace").splitlines()

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
        """Read the events that were appended since the last look.

        Raises:
            EcomdeployError: one is damaged, missing, or of a kind that this version does not know.
        """
        first = self.sequence == 0
        while True:
            while (record := self.store.read(self.name_of(self.sequence + 1))) is not None:
                self.take(parse(record, self.sequence + 1, self.place_of(self.sequence + 1)))
            if not first or not (later := self.list_later()):
                return
            if later[0] > self.sequence + 1:
                missing = self.place_of(self.sequence + 1)
                raise tell_damage(f"{missing} is missing, and the ledger goes on to event {later[-1]}")

    def list_later(self) -> list[int]:
        """The numbers of events that are there and were not read."""
        numbers = (name.removesuffix(".json") for name in self.store.names(self.prefix))
        return sorted(int(each) for each in numbers if each.isdecimal() and int(each) > self.sequence)

    def take(self, event: dict[str, Any]) -> None:
        """One event more.

        Raises:
            EcomdeployError: it does not go on from those before, or this version does not know its kind.
        """
        sequence = int(event["sequence"])
        if event.get("kind") not in KINDS:
            what = f"{self.place_of(sequence)} is of a kind that this version does not know: {event.get('kind')!r}"
            raise EcomdeployError(what, hint="a newer ecomdeploy has written it: update this one")
        try:
            apply(self.known, event)
        except (KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
            words = f"{type(error).__name__}: {error}"
            raise tell_damage(f"{self.place_of(sequence)} does not read: {words}") from error
        self.sequence = sequence
        self.newest_token = max(self.newest_token, int(event.get("token", 0)))

    def place_of(self, sequence: int) -> str:
        """Where an event lies, in words."""
        return f"event {sequence} of the ledger ({self.store.place(self.name_of(sequence))})"

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


KINDS = frozenset({"begun", "states", "recovered"})


def parse(record: bytes, sequence: int, place: str) -> dict[str, Any]:
    """The event; `place`: where it lies.

    Raises:
        EcomdeployError: it is damaged.
    """
    try:
        event = json.loads(record)
        if isinstance(event, dict) and event.get("sequence") == sequence:
            return event
    except ValueError:
        pass
    raise tell_damage(f"{place} is {'damaged' if record.strip() else 'empty'}")


def tell_damage(what: str) -> EcomdeployError:
    hint = (
        "put it back from a backup, or move the ledger's folder away and rebuild it from the records in the "
        "bucket: ecomdeploy recover"
    )
    return EcomdeployError(what, hint=hint)


def apply(releases: dict[int, Release], event: dict[str, Any]) -> None:
    """One event more: what is, from what was and what happened. Its kind is one of `KINDS`."""
    if event["kind"] == "begun":
        release = release_of(event["release"])
        releases[release.number] = release
    elif event["kind"] == "recovered":
        releases |= {each.number: each for each in map(release_of, event["releases"])}
    else:
        for number, state in event["states"].items():
            old = releases[int(number)]
            releases[int(number)] = old.enter(State(state), event["at"], event["cause"])
