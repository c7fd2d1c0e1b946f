"""What holds the invariants up, each taken away: then rows must fail, or they prove nothing. The product has no switch
for it: what is given here in the place of its parts is handed to it as any collaborator is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from infra.targets.base import JSON, Answer
from infra.targets.sagemaker.traffic import SageMakerTraffic
from modelpack.home import hold_lock_briefly, write_atomically
from stacks.collaborators import Collaborators
from stacks.records.lease import Lease
from stacks.records.ledger import Ledger
from stacks.records.process import this_process
from stacks.records.store import FolderStore

FSYNC, INTENT, LEASE, DIGEST = "the fsync", "the intent record", "the lease check", "the digest check"


@dataclass(frozen=True)
class UnsyncedStore(FolderStore):
    """Writes whole, and syncs nothing to disk."""

    def write(self, name: str, data: bytes, *, was: bytes | None) -> bool:
        with hold_lock_briefly(self.root / ".guard"):
            if self.read(name) != was:
                return False
            write_atomically(self.root / name, data)
        return True


class LateLedger(Ledger):
    """Writes down that a release was begun only with what became of it."""

    def append(self, event: dict[str, Any]) -> None:
        held: list[dict[str, Any]] = self.__dict__.setdefault("held", [])
        going = set(event.get("states", {}).values()) <= {"provisioned", "shifting"}
        if event["kind"] == "begun" or (held and going):
            held.append(event)
            self.take({**event, "sequence": self.sequence, "at": self.now(), "token": self.token})
            return
        for one in [*held, event]:
            super().append(one)
        held.clear()


class HeedlessLease(Lease):
    """Takes the lease whoever has it."""

    def obstacle(self, old: dict[str, Any]) -> str:
        return ""


class CredulousTraffic(SageMakerTraffic):
    """Does not ask from which files an answer comes."""

    def invoke(
        self, endpoint: str, body: bytes, content_type: str = JSON, release: str | None = None
    ) -> Answer:
        answer = super().invoke(endpoint, body, content_type, release)
        return replace(answer, content_digest=json.loads(answer.body)["digest"])


def spoil(what: str, wire: Any) -> Any:
    """The project's wiring, before anything is made from it."""
    if what == FSYNC:
        wire.__dict__["store"] = UnsyncedStore(wire.state)
    return wire


def spoil_more(what: str, wire: Any, deps: Collaborators) -> Collaborators:
    """Whom the command works with, made from that wiring."""
    changed: dict[str, Callable[[], Any]] = {
        INTENT: lambda: {"ledger": LateLedger(deps.store, deps.ledger.clock, "ledger/", deps.ledger.service)},
        LEASE: lambda: {"lease": HeedlessLease(deps.store, deps.who, this_process(), deps.ledger.clock)},
        DIGEST: lambda: {"traffic": CredulousTraffic(wire.session)},
    }
    return replace(deps, **changed[what]()) if what in changed else deps
