"""A Release: which pack serves, under which contract, by whom, when and why, and what became of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import msgspec


class State(StrEnum):
    """Where a release stands. Open states are passed in this order; the others end them."""

    BEGUN = "begun"
    PROVISIONED = "provisioned"
    SHIFTING = "shifting"
    LIVE = "live"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    ROLLED_BACK = "rolled-back"
    INTERRUPTED = "interrupted"
    REMOVED = "removed"


OPEN = frozenset({State.BEGUN, State.PROVISIONED, State.SHIFTING})
MARKED = frozenset({State.FAILED, State.ROLLED_BACK})
"""A pack whose last release ended so is not shipped again unless asked for."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A state, when it was entered (ISO 8601, UTC), and why."""

    state: State
    at: str
    cause: str = ""


@dataclass(frozen=True, kw_only=True)
class Contract:
    """How a pack is served: a change of any of these is another release. `ami`: the host image of a GPU instance."""

    target: str
    instance: str
    environment: dict[str, str] = field(default_factory=dict)
    ami: str = ""


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What of a Pack a release keeps for good: enough to verify it years later, on another machine.

    `golden` are `{"request": ..., "answer": ...}`; `tolerance` is by output name (docs: seams, "The image");
    `needs` is what it needs of the machine (`modelpack.assembly.needs`), empty for a CPU pack of an older ledger.
    """

    digest: str
    content_digest: str
    input_digest: str
    usecase: str
    golden: tuple[dict[str, Any], ...] = ()
    tolerance: dict[str, Any] = field(default_factory=dict)
    needs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Scale and rollout of the day the release was made, as plain data."""

    scale: dict[str, Any] = field(default_factory=dict)
    rollout: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Release:
    """`image`: `repository@sha256:...`; `restores`: the number of the release it brings back."""

    number: int
    service: str
    environment: str
    pack: Packed
    image: str
    contract: Contract
    policy: Policy = field(default_factory=Policy)
    replicas: int = 1
    """How many it starts with where nothing runs yet; every release of one key has the same."""
    restores: int | None = None
    who: str = ""
    why: str = ""
    created: str = ""
    timeline: tuple[Moment, ...] = ()

    @property
    def key(self) -> str:
        """12 hex digits of what serves: names its resources, the same for the same image and contract."""
        return key_of(self.image, self.contract)

    @property
    def state(self) -> State:
        return self.timeline[-1].state if self.timeline else State.BEGUN

    @property
    def cause(self) -> str:
        return self.timeline[-1].cause if self.timeline else ""

    @property
    def end(self) -> Moment | None:
        """The last moment but for being taken away: how the release ended as a release."""
        ends = [moment for moment in self.timeline if moment.state is not State.REMOVED]
        return ends[-1] if ends else None

    def entered(self, state: State, at: str, cause: str = "") -> Release:
        """The same release, one state on."""
        return replace(self, timeline=(*self.timeline, Moment(state=state, at=at, cause=cause)))

    def document(self) -> dict[str, Any]:
        """As JSON data; `release_of` is the inverse."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data


def key_of(image: str, contract: Contract) -> str:
    """What names a release's resources. No host image named is no part of it: keys stay what they were before."""
    terms = {name: value for name, value in msgspec.to_builtins(contract).items() if name != "ami" or value}
    content = json.dumps([image, terms], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def release_of(document: Any) -> Release:
    """A Release from its JSON data.

    Raises:
        msgspec.ValidationError: it is not one.
    """
    return msgspec.convert(document, Release)
