"""The only thing that talks to Pulumi, from outside: bring a stack up, say what would change, take it away.

Which driver an environment was first deployed with is a property of that environment: `claim` writes it down
and refuses another, because two engines with one state would undo each other.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from modelpack.errors import BadInput
from modelpack.progress import Progress
from stacks.records.store import RecordStore

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Stack:
    """A program of `stacks/programs/` and the stack's name ("shop-recs-prod")."""

    program: Literal["base", "platform", "service"]
    name: str

    def __str__(self) -> str:
        return f"{self.program}/{self.name}"


@dataclass(frozen=True)
class Change:
    """What happens to one cloud resource: create, update, replace, delete or read.

    `keys` are what differs. `found`: it was there and is taken over instead of made: which, and who made it.
    """

    urn: str
    op: str
    keys: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    found: str = ""

    @property
    def type(self) -> str:
        """The resource type, like "aws:ecr/repository:Repository"."""
        return self.urn.split("::")[2].rsplit("$", 1)[-1] if self.urn.count("::") >= 3 else ""

    @property
    def name(self) -> str:
        return self.urn.rsplit("::", 1)[-1]

    def document(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "urn": self.urn,
            "op": self.op,
            "keys": list(self.keys),
            "replaces": list(self.replaces),
            "found": self.found or None,
        }


@dataclass(frozen=True)
class Deployed:
    """The stack's outputs, and what changed (nothing that stayed the same)."""

    outputs: Mapping[str, Any]
    changes: tuple[Change, ...] = ()


class Driver(Protocol):
    """`name` is shown ("embedded engine", "pulumi CLI 3.272.0"); `kind` is what must not change."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> Literal["embedded", "pulumi"]: ...

    @property
    def looks(self) -> bool:
        """Whether `has_drifted` takes less than a preview."""
        ...

    def accept(self, owners: Collection[str]) -> None:
        """From here on also what these owners made may be taken over, if it is found under our names ("*": anybody)."""
        ...

    def up(self, stack: Stack, settings: Settings, progress: Progress, *, refresh: bool) -> Deployed:
        """Make what the program declares. With `refresh` the state is first read back from the cloud.

        Raises:
            CloudRefused: credentials, quota, capacity, in the cloud's words.
            EcomdeployError: anything else that stopped it.
        """
        ...

    def preview(self, stack: Stack, settings: Settings) -> tuple[Change, ...]:
        """What `up` with refresh would change. Nothing is changed, in the cloud or in the state."""
        ...

    def has_drifted(self, stack: Stack, settings: Settings) -> bool:
        """Whether a stack that converged on these settings is not as it was left: `preview` would show something.

        Reads only, and says yes where it could not tell.
        """
        ...

    def destroy(self, stack: Stack, progress: Progress) -> tuple[Change, ...]:
        """Delete everything of the stack, and the stack. No such stack: nothing to do."""
        ...

    def outputs(self, stack: Stack) -> Mapping[str, Any] | None:
        """Outputs of the last run, without running anything; None when there is no such stack."""
        ...

    def strays(self, stack: Stack) -> tuple[str, ...]:
        """What carries the tags of a stack that has no state here, as its owner would find it. Reads only.

        Raises:
            CloudRefused, EcomdeployError: the cloud did not say.
        """
        ...

    def source(self, stack: Stack) -> str:
        """A digest of the program's sources: the same digest declares the same from the same settings."""
        ...


CLAIM = "driver.json"
KINDS = {"embedded": "the embedded engine", "pulumi": "the Pulumi CLI"}


def claim(store: RecordStore, driver: Driver, region: str, made_in: str = "") -> None:
    """Write down, once, with which kind of driver this environment is deployed, and in which region.

    Args:
        made_in: the region of what stands, for a record of an earlier version, which does not tell it; "": unknown.

    Raises:
        BadInput: it was deployed with the other kind, or elsewhere.
    """
    if store.read(CLAIM) is None:
        said = {"kind": driver.kind, "name": driver.name, "region": region}
        store.write(CLAIM, json.dumps(said).encode(), was=None)
    refuse_other(store, driver, region, made_in)


def refuse_other(store: RecordStore, driver: Driver, region: str, made_in: str = "") -> None:
    """What another driver has made, or this one elsewhere, would be looked for in vain. Reads only.

    Raises:
        BadInput: there is such.
    """
    record = read_claim(store)
    if record and record.get("kind") != driver.kind:
        raise BadInput(
            f"this environment was deployed with {KINDS.get(record.get('kind', ''), 'another driver')}, "
            f"and now it would be {KINDS[driver.kind]}",
            hint="use the same one again, or take everything down with it first: ecomdeploy down --all",
        )
    there = record.get("region") or (made_in if record else "") or region
    if there != region:
        raise BadInput(
            f"this environment was deployed in {there}, and the spec says {region}",
            hint=f"put `region: {there}` back; to move, first take everything down there: ecomdeploy down --all",
        )


def read_claim(store: RecordStore) -> dict[str, str]:
    """{} where nobody has deployed.

    Raises:
        BadInput: the record is damaged.
    """
    record = store.read(CLAIM)
    if record is None:
        return {}
    try:
        return {str(name): str(value) for name, value in json.loads(record).items()}
    except (ValueError, AttributeError):
        what = f"{store.place(CLAIM)} is damaged: it says which driver this environment is deployed with"
        raise BadInput(
            what, hint="put it back from a backup, or delete it if that is the one of today"
        ) from None


def disclaim(store: RecordStore) -> None:
    """Nothing is deployed any more: whichever driver comes next may begin."""
    if (record := store.read(CLAIM)) is not None:
        store.remove(CLAIM, was=record)


@dataclass
class FakeDriver:
    """The fake: stacks in memory. `calls` in order; `refuse` maps a stack's name to the error it raises.

    `accepted`: other owners whose things it would take over. `declare` makes outputs from a program's name and
    settings, as the real programs would; `drifted` are the stacks whose things other hands have changed; `stray` is
    what carries a stack's tags.
    """

    name: str = "fake driver"
    kind: Literal["embedded", "pulumi"] = "embedded"
    stacks: dict[str, tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    refuse: dict[str, Exception] = field(default_factory=dict)
    drifted: set[str] = field(default_factory=set)
    accepted: frozenset[str] = frozenset()
    stray: dict[str, tuple[str, ...]] = field(default_factory=dict)
    looks: bool = True

    def accept(self, owners: Collection[str]) -> None:
        self.accepted = frozenset(owners)

    def declare(self, stack: Stack, settings: Settings) -> dict[str, Any]:
        return {"echo": dict(settings)}

    def up(self, stack: Stack, settings: Settings, progress: Progress, *, refresh: bool) -> Deployed:
        self.calls.append(f"up {stack}" + (" --refresh" if refresh else ""))
        if str(stack) in self.refuse:
            raise self.refuse[str(stack)]
        changes = self.differences(stack, settings, seen=refresh)
        if refresh:
            self.drifted.discard(str(stack))
        outputs = self.declare(stack, settings)
        self.stacks[str(stack)] = (dict(settings), outputs)
        return Deployed(outputs, changes)

    def preview(self, stack: Stack, settings: Settings) -> tuple[Change, ...]:
        self.calls.append(f"preview {stack}")
        return self.differences(stack, settings)

    def has_drifted(self, stack: Stack, settings: Settings) -> bool:
        return str(stack) in self.drifted

    def differences(self, stack: Stack, settings: Settings, *, seen: bool = True) -> tuple[Change, ...]:
        before = self.stacks.get(str(stack))
        if before and before[0] == dict(settings) and not (seen and str(stack) in self.drifted):
            return ()
        return (
            Change(
                f"urn:pulumi:{stack.name}::{stack.program}::fake:index:Thing::all",
                "update" if before else "create",
            ),
        )

    def destroy(self, stack: Stack, progress: Progress) -> tuple[Change, ...]:
        self.calls.append(f"destroy {stack}")
        gone = self.stacks.pop(str(stack), None)
        return (
            (Change(f"urn:pulumi:{stack.name}::{stack.program}::fake:index:Thing::all", "delete"),)
            if gone
            else ()
        )

    def outputs(self, stack: Stack) -> Mapping[str, Any] | None:
        found = self.stacks.get(str(stack))
        return found[1] if found else None

    def strays(self, stack: Stack) -> tuple[str, ...]:
        return () if str(stack) in self.stacks else self.stray.get(str(stack), ())

    def source(self, stack: Stack) -> str:
        return "fake"
