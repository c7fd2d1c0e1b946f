"""The protocol: is what a killed run began to create there, and what does Pulumi call it? Its fake is beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from infra.tags import OWNER

STACK, RESOURCE = "ecomdeploy:stack", "ecomdeploy:resource"
"""The tags that name one resource of one stack (infra/tags.py)."""


@dataclass(frozen=True)
class PendingCreate:
    """What was to be made: Pulumi's type token, its inputs as they went into the create call, and the ids that the
    state has of this type, which are other things."""

    type: str
    name: str
    inputs: Mapping[str, Any] = field(repr=False)
    known: frozenset[str] = frozenset()

    @property
    def tags(self) -> Mapping[str, str]:
        return self.inputs.get("tags") or {}

    @property
    def mark(self) -> dict[str, str]:
        """The tags that tell it from all others; empty where it was not to carry them. Another owner's thing is
        another thing, whatever its name."""
        found = {key: self.tags.get(key, "") for key in (STACK, RESOURCE)}
        owner = {OWNER: self.tags[OWNER]} if self.tags.get(OWNER) else {}
        return {**found, **owner} if all(found.values()) else {}

    def text(self, name: str) -> str:
        """An input that is a text; empty when it was not given."""
        value = self.inputs.get(name)
        return value if isinstance(value, str) else ""

    def owns(self, tags: Mapping[str, str]) -> bool:
        """Whether these are its tags. Without marks of its own a name alone does not prove anything."""
        return bool(self.mark) and all(tags.get(key) == value for key, value in self.mark.items())


@dataclass(frozen=True)
class Remnant:
    """A thing that carries a stack's tags. `where`: its ARN."""

    where: str
    resource: str


class ResourceLookup(Protocol):
    def knows(self, type: str) -> bool:  # noqa: A002  (Pulumi's word)
        """Whether resources of this type can be looked up, or need not be."""
        ...

    def find(self, wanted: PendingCreate) -> str | None:
        """Its id as Pulumi's provider would give it; None when it is not there.

        What is being made is waited for.

        Raises:
            CloudRefused, EcomdeployError: the cloud did not say.
        """
        ...

    def remnants(self, stack: str) -> tuple[Remnant, ...]:
        """Everything alive that carries the tag of this stack ("<Pulumi project>/<stack>"). Raises as `find`."""
        ...


@dataclass
class FakeResourceLookup:
    """The fake: ids by resource name, and what is left of each stack."""

    ids: dict[str, str] = field(default_factory=dict)
    left: dict[str, tuple[Remnant, ...]] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    asked: list[PendingCreate] = field(default_factory=list)

    def knows(self, type: str) -> bool:  # noqa: A002
        return type not in self.unknown

    def find(self, wanted: PendingCreate) -> str | None:
        self.asked.append(wanted)
        found = self.ids.get(wanted.name)
        return None if found in wanted.known else found

    def remnants(self, stack: str) -> tuple[Remnant, ...]:
        return self.left.get(stack, ())
