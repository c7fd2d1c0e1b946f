"""What the embedded engine asks of a provider: pulumi's ResourceProvider verbs as plain Python values.

Values are JSON-like: None, bool, int (whole floats are folded back before they arrive), float, str,
list, dict, plus `UNKNOWN` in previews. No `Secret` reaches a provider: the engine strips them
before a call and puts them back on outputs that came from marked inputs. A provider that knows a value
to be a secret may answer with one.

Source of the verbs: pulumi's provider.proto (Configure, Check, Diff, Create, Read, Update, Delete, Invoke).
"""

# ruff: noqa: A002 - `type` and `id` are the protocol's own words

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Protocol

Values = dict[str, Any]


class Unknown(Enum):
    """The one value a preview does not know yet. Compare with `is UNKNOWN`."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN


@dataclass(frozen=True)
class CheckFailure:
    """One input that cannot be: `property` is a dotted path."""

    property: str
    reason: str


class ProviderError(Exception):
    """The cloud's API said no. `code` is its error code ("ValidationException", "ResourceLimitExceeded")."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}" if code else message)
        self.code = code
        self.message = message


class PartialFailure(ProviderError):
    """A create or update that left something behind: it is recorded, and the next run mends or deletes it."""

    def __init__(self, code: str, message: str, *, id: str, outputs: Values) -> None:
        super().__init__(code, message)
        self.id = id
        self.outputs = outputs


@dataclass(frozen=True)
class CheckResponse:
    """Inputs with names and defaults filled in."""

    inputs: Values
    failures: tuple[CheckFailure, ...] = ()


@dataclass(frozen=True)
class DiffResponse:
    """`changed`: top-level input keys that differ (none: the same); `replaces`: those that need a new one."""

    changed: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    delete_before_replace: bool = False


@dataclass(frozen=True)
class ReadResponse:
    """What is there. `inputs` are read back from the API, so that drift shows; `outputs` the whole state;
    `trouble` why it is not as it should be ("" when it is), which the next run then mends."""

    id: str
    inputs: Values
    outputs: Values
    trouble: str = ""


@dataclass(frozen=True)
class CreateResponse:
    """The result of a create: id and outputs; in a preview outputs may hold UNKNOWN, and id may be "". `found`: it was
    there already and is (or would be) taken over: which, and who made it; "" where it was made."""

    id: str
    outputs: Values
    found: str = ""


@dataclass(frozen=True)
class KnownResource:
    """A resource as the state has it: its checked inputs and outputs, as they were last seen."""

    type: str
    id: str
    inputs: Values
    outputs: Values


@dataclass(frozen=True)
class ResourceIdentity:
    """Who asks: what a provider needs for names and tags."""

    urn: str
    name: str
    project: str
    stack: str


class Provider(Protocol):
    """One package ("aws"). A provider instance is one configured provider resource (region, account).

    The engine calls it from up to 16 threads at once. It never changes what it gets, and the engine never
    changes what it gave: values are passed by reference in both directions.
    """

    package: str
    inside: bool
    """Whether what it makes is in the thing that it is configured from, and goes with that: a cluster's objects."""

    def configure(self, inputs: Mapping[str, Any]) -> None:
        """Take the provider's configuration; raise `ProviderError` when it may not be used (account guard).

        The SDK sends everything but strings JSON-encoded; the engine has decoded lists, maps and booleans.
        """

    def check(
        self, type: str, who: ResourceIdentity, olds: Values | None, news: Values, *, fresh_name: bool
    ) -> CheckResponse:
        """Validate and complete. `olds` are the old inputs (keeps an auto-name) unless `fresh_name` is set,
        which the engine does for a create-before-delete replacement. A type or property that is not
        known is a failure that names it."""
        ...

    def diff(self, old: KnownResource, news: Values, *, ignored: tuple[str, ...] = ()) -> DiffResponse:
        """Compare checked inputs. UNKNOWN differs from everything. At the paths `ignored` (ignore_changes) the
        engine has put what the state has; a provider whose API knows better may leave them out."""
        ...

    def create(self, type: str, who: ResourceIdentity, inputs: Values, *, preview: bool) -> CreateResponse:
        """Create and wait until usable. When one with the same identity and this project's tags is there
        already (a kill between the call and the record), adopt it instead of failing."""
        ...

    def read(self, known: KnownResource) -> ReadResponse | None:
        """Read back; None when it is gone."""
        ...

    def update(
        self, old: KnownResource, news: Values, *, preview: bool, ignored: tuple[str, ...] = ()
    ) -> Values:
        """Update in place and return the new outputs. `ignored` as for `diff`."""
        ...

    def delete(self, known: KnownResource) -> None:
        """Delete and wait until gone. Already gone is fine."""

    def invoke(self, token: str, args: Values) -> Values:
        """A data source ("aws:index/getCallerIdentity:getCallerIdentity")."""
        ...

    def supports(self, type: str) -> bool:
        """Whether the table has this resource type."""
        ...


ProviderFactory = Callable[[str, Mapping[str, Any], Mapping[str, str]], Provider]
"""(package, configuration, environment) -> a provider not yet configured; the engine calls `configure` next.
Raises `ProviderError` for a package it does not have."""


@dataclass
class Thing:
    """One resource of the `Fake`'s cloud."""

    type: str
    urn: str
    inputs: Values


@dataclass
class Fake:
    """An in-memory cloud and its provider, for tests of the engine.

    Resources are told apart by type and `name` (auto-named like pulumi's: "<name>-<7 hex>"). Outputs are
    the inputs and a computed `arn`. `calls` has every verb with the resource's name, in order. `fail` maps
    "create a" to what it raises, `delay` to seconds before its effect; `immutable` inputs need a replacement.
    """

    package: str = "fake"
    things: dict[str, Thing] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    fail: dict[str, Exception] = field(default_factory=dict)
    delay: dict[str, float] = field(default_factory=dict)
    immutable: frozenset[str] = frozenset({"name", "kind"})
    delete_before_replace: frozenset[str] = frozenset()
    configured: list[Values] = field(default_factory=list)
    inside: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def __call__(self, package: str, inputs: Mapping[str, Any], environment: Mapping[str, str]) -> Fake:
        """The fake is its own factory."""
        if package != self.package:
            raise ProviderError("", f"there is no provider for package {package}")
        return self

    @property
    def mutations(self) -> list[str]:
        """The calls that changed something, or tried to."""
        return [call for call in self.calls if call.split()[0] in ("create", "update", "delete")]

    def _record_call(self, verb: str, name: str) -> None:
        call = f"{verb} {name}"
        self.calls.append(call)
        time.sleep(self.delay.get(call, 0))
        if not isinstance(self.fail.get(call), PartialFailure):
            self._fail_if_planned(call)

    def _fail_if_planned(self, call: str) -> None:
        if call in self.fail:
            raise self.fail[call]

    def configure(self, inputs: Mapping[str, Any]) -> None:
        self.configured.append(dict(inputs))

    def supports(self, type: str) -> bool:
        return type.startswith(f"{self.package}:")

    def check(
        self, type: str, who: ResourceIdentity, olds: Values | None, news: Values, *, fresh_name: bool
    ) -> CheckResponse:
        if "unwanted" in news:
            return CheckResponse(news, (CheckFailure("unwanted", "is not a property of this type"),))
        if "name" in news:
            return CheckResponse(dict(news))
        if olds and "name" in olds and not fresh_name:
            return CheckResponse({**news, "name": olds["name"]})
        return CheckResponse({**news, "name": f"{who.name}-{secrets.token_hex(4)[:7]}"})

    def diff(self, old: KnownResource, news: Values, *, ignored: tuple[str, ...] = ()) -> DiffResponse:
        changed = tuple(key for key in sorted({*old.inputs, *news}) if old.inputs.get(key) != news.get(key))
        replaces = tuple(key for key in changed if key in self.immutable)
        return DiffResponse(changed, replaces, bool(self.delete_before_replace & {*replaces}))

    def create(self, type: str, who: ResourceIdentity, inputs: Values, *, preview: bool) -> CreateResponse:
        if preview:
            return CreateResponse("", {**inputs, "arn": UNKNOWN})
        self._record_call("create", who.name)
        with self.lock:
            for identity, thing in self.things.items():
                if (thing.type, thing.inputs["name"]) == (type, inputs["name"]):
                    if thing.urn != who.urn:
                        raise ProviderError("AlreadyExists", f"{inputs['name']} belongs to another")
                    return CreateResponse(identity, self._outputs(identity, thing.inputs))
            identity = f"{inputs['name']}-{len(self.calls)}"
            self.things[identity] = Thing(type, who.urn, dict(inputs))
        self._fail_if_planned(f"create {who.name}")
        return CreateResponse(identity, self._outputs(identity, inputs))

    def _outputs(self, identity: str, inputs: Values) -> Values:
        return {**inputs, "arn": f"arn:{self.package}:{identity}"}

    def read(self, known: KnownResource) -> ReadResponse | None:
        self._record_call("read", known.id)
        thing = self.things.get(known.id)
        if thing is None:
            return None
        return ReadResponse(known.id, dict(thing.inputs), self._outputs(known.id, thing.inputs))

    def update(
        self, old: KnownResource, news: Values, *, preview: bool, ignored: tuple[str, ...] = ()
    ) -> Values:
        if preview:
            return self._outputs(old.id, news)
        thing = self.things[old.id]
        name = thing.urn.rpartition("::")[2]
        self._record_call("update", name)
        thing.inputs = dict(news)
        self._fail_if_planned(f"update {name}")
        return self._outputs(old.id, news)

    def delete(self, known: KnownResource) -> None:
        thing = self.things.get(known.id)
        self._record_call("delete", thing.urn.rpartition("::")[2] if thing else known.id)
        self.things.pop(known.id, None)

    def invoke(self, token: str, args: Values) -> Values:
        self._record_call("invoke", token)
        return {"echo": args, "number": len(self.things)}
