"""A Release: which pack serves, in which serving configuration, by whom, when and why, and what became of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import msgspec

from infra.hosting import HostingOptions
from stacks.records.upgrade import in_first_words, upgrade_release


class State(StrEnum):
    """Where a release stands. Open states are passed in this order; the others end them."""

    BEGUN = "begun"
    PROVISIONED = "provisioned"
    AWAITING = "awaiting-approval"
    SHIFTING = "shifting"
    LIVE = "live"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    ROLLED_BACK = "rolled-back"
    INTERRUPTED = "interrupted"
    REFUSED = "refused"
    REMOVED = "removed"


OPEN = frozenset({State.BEGUN, State.PROVISIONED, State.AWAITING, State.SHIFTING})
MARKED = frozenset({State.FAILED, State.ROLLED_BACK, State.REFUSED})
"""A pack whose last release ended so is not shipped again unless asked for."""


@dataclass(frozen=True, kw_only=True)
class Transition:
    """A state, when it was entered (ISO 8601, UTC), and why."""

    state: State
    at: str
    cause: str = ""


@dataclass(frozen=True, kw_only=True)
class ServingConfiguration:
    """How a pack is served: a change of any of these is another release.

    `host_image`: what the instance boots from, with the GPU driver; "" where the target's own will do.
    """

    target: str
    instance: str
    environment: dict[str, str] = field(default_factory=dict)
    host_image: str = ""
    hosting: HostingOptions = field(default_factory=HostingOptions)


@dataclass(frozen=True, kw_only=True)
class Proof:
    """Where a promoted pack was live and verified: which release, of whom, since when (ISO 8601, UTC)."""

    environment: str
    account: str
    region: str
    release: int
    image: str
    live_since: str
    who: str = ""


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What of a Pack a release keeps for good: enough to verify it years later, on another machine.

    `golden` are `{"request": ..., "answer": ...}`; `tolerance` is by output name (docs/architecture/rooms/server.md);
    `needs` is what it needs of the machine (`modelpack.assembly.needs`), empty for a CPU pack of an older ledger;
    `guardrails`: by name the share of answers on the wrong side from which on it is no longer normal;
    `proven`: where it served before it was promoted.
    """

    digest: str
    content_digest: str
    input_digest: str
    usecase: str
    golden: tuple[dict[str, Any], ...] = ()
    tolerance: dict[str, Any] = field(default_factory=dict)
    needs: dict[str, Any] = field(default_factory=dict)
    guardrails: dict[str, float] = field(default_factory=dict)
    proven: Proof | None = None


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
    serving: ServingConfiguration
    policy: Policy = field(default_factory=Policy)
    replicas: int = 1
    """How many it starts with where nothing runs yet; every release of one key has the same."""
    restores: int | None = None
    who: str = ""
    why: str = ""
    created: str = ""
    spec_digest: str = ""
    """Of the spec that it was made from, as it was read and completed; "" of an earlier version's."""
    timeline: tuple[Transition, ...] = ()

    @property
    def key(self) -> str:
        """12 hex digits of what serves: names its resources, the same for the same image, served the same way."""
        return key_of(self.image, self.serving)

    @property
    def state(self) -> State:
        return self.timeline[-1].state if self.timeline else State.BEGUN

    @property
    def cause(self) -> str:
        return self.timeline[-1].cause if self.timeline else ""

    @property
    def end(self) -> Transition | None:
        """The last transition but for being taken away: how the release ended as a release."""
        ends = [each for each in self.timeline if each.state is not State.REMOVED]
        return ends[-1] if ends else None

    def enter(self, state: State, at: str, cause: str = "") -> Release:
        """The same release, one state on."""
        return replace(self, timeline=(*self.timeline, Transition(state=state, at=at, cause=cause)))

    def document(self) -> dict[str, Any]:
        """As JSON data; `release_of` is the inverse."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data


def key_of(image: str, serving: ServingConfiguration) -> str:
    """What names a release's resources.

    Its terms are those of the first version, in its words, for ever: else what is deployed would be made anew under
    another name. A host image is one of them only where one is named.
    """
    terms: dict[str, Any] = {
        "target": serving.target,
        "instance": serving.instance,
        "environment": serving.environment,
    }
    if serving.host_image:
        terms["host_image"] = serving.host_image
    if given := serving.hosting.as_data():
        terms["hosting"] = given
    content = json.dumps([image, in_first_words(terms)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def release_of(document: Mapping[str, Any]) -> Release:
    """A Release from its JSON data, also from what an earlier version wrote.

    Raises:
        msgspec.ValidationError: it is not one.
    """
    return msgspec.convert(upgrade_release(document), Release)
