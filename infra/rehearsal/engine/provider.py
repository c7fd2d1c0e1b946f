"""What the embedded engine asks of a provider: pulumi's ResourceProvider verbs as plain Python values.

Values are JSON-like: None, bool, int (whole floats are folded back before they arrive), float, str,
list, dict, plus `UNKNOWN` in previews and `Asset`. Secrets never reach a provider: the engine strips the
mark before a call and puts it back on outputs that came from marked inputs.

Source of the verbs: pulumi's provider.proto (CheckConfig, Configure, Check, Diff, Create, Read, Update, Delete, Invoke).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

Values = dict[str, Any]


class Unknown:
    """The one value a preview does not know yet. Compare with `is UNKNOWN`."""

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __copy__(self) -> Unknown:
        return self

    def __deepcopy__(self, memo: object) -> Unknown:
        return self


UNKNOWN: Final = Unknown()


@dataclass(frozen=True)
class Asset:
    """A StringAsset or FileAsset; `hash` is the sha256 of the bytes."""

    hash: str
    text: str | None = None
    path: Path | None = None


@dataclass(frozen=True)
class Failure:
    """One input that cannot be: `property` is a dotted path."""

    property: str
    reason: str


class Refused(Exception):
    """The cloud's API said no. `code` is its error code ("ValidationException", "ResourceLimitExceeded")."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}" if code else message)
        self.code = code
        self.message = message


class PartialFailure(Refused):
    """A create or update that left something behind: it goes into the state, to be mended or deleted by the next run."""

    def __init__(self, code: str, message: str, *, id: str, outputs: Values) -> None:
        super().__init__(code, message)
        self.id = id
        self.outputs = outputs


@dataclass(frozen=True)
class Checked:
    """Inputs with names and defaults filled in."""

    inputs: Values
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True)
class Diffed:
    """`changed` are top-level input keys that differ (empty: nothing to do); `replaces` those that need a new resource."""

    changed: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    delete_before_replace: bool = False


@dataclass(frozen=True)
class Found:
    """What is there. `inputs` are read back from the API, so that drift is seen; `outputs` the whole state."""

    id: str
    inputs: Values
    outputs: Values


@dataclass(frozen=True)
class Made:
    """The result of a create: the provider's id, and the outputs. In a preview outputs may hold UNKNOWN and id is ""."""

    id: str
    outputs: Values


@dataclass(frozen=True)
class Named:
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

    def configure(self, inputs: Mapping[str, Any]) -> None:
        """Take the provider's configuration; raise `Refused` when it may not be used (account guard).

        The SDK sends everything but strings JSON-encoded; the engine has decoded lists, maps and booleans.
        """

    def check(self, type: str, who: Named, olds: Values | None, news: Values, *, fresh_name: bool) -> Checked:
        """Validate and complete. `olds` are the old inputs (keeps an auto-name) unless `fresh_name` is set,
        which the engine does for a create-before-delete replacement. A type or property that is not
        known is a failure that names it."""
        ...

    def diff(self, type: str, id: str, old_inputs: Values, old_outputs: Values, news: Values) -> Diffed:
        """Compare checked inputs; ignore_changes was already applied by the engine. UNKNOWN differs from everything."""
        ...

    def create(self, type: str, who: Named, inputs: Values, *, preview: bool, timeout: float | None) -> Made:
        """Create and wait until usable. When a resource with the same identity and this project's tags is there
        already (a kill between the call and the record), adopt it instead of failing."""
        ...

    def read(self, type: str, id: str, inputs: Values, outputs: Values) -> Found | None:
        """Read back; None when it is gone. `inputs` and `outputs` are the last known ones (empty dicts on import)."""
        ...

    def update(
        self, type: str, id: str, old_inputs: Values, old_outputs: Values, news: Values, *,
        preview: bool, timeout: float | None,
    ) -> Values:
        """Update in place and return the new outputs."""
        ...

    def delete(self, type: str, id: str, inputs: Values, outputs: Values, *, timeout: float | None) -> None:
        """Delete and wait until gone. Already gone is fine."""

    def invoke(self, token: str, args: Values) -> Values:
        """A data source ("aws:index/getCallerIdentity:getCallerIdentity")."""
        ...

    def supports(self, type: str) -> bool:
        """Whether the table has this resource type."""
        ...


ProviderFactory = Callable[[str, Mapping[str, Any], Mapping[str, str]], Provider]
"""(package, configuration, environment) -> a provider not yet configured; the engine calls `configure` next.
Raises `Refused` for a package it does not have."""


@dataclass
class Fake:
    """An in-memory provider for tests of the engine: `things` by id, `calls` in order, `fail` names to refuse."""

    package: str = "fake"
    things: dict[str, Values] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    fail: Sequence[str] = ()
