"""The nouns of the state: Resource, PendingOperation, Snapshot, and their checkpoint v3 JSON.

Source: pulumi/pulumi, sdk/go/common/apitype/core.go (CheckpointV3, DeploymentV3, ResourceV3, OperationV2).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from infra.rehearsal.engine import values
from infra.rehearsal.engine.errors import Unsupported
from infra.rehearsal.engine.provider import ResourceIdentity, Values
from infra.rehearsal.engine.state.crypt import Vault

STACK_TYPE: Final = "pulumi:pulumi:Stack"
PROVIDER_PREFIX: Final = "pulumi:providers:"
ENGINE_VERSION: Final = "v3.272.0"


@dataclass(frozen=True)
class Resource:
    """One resource as the state holds it; also the new of one before its first call (`id` empty)."""

    urn: str
    type: str
    custom: bool
    id: str = ""
    parent: str = ""
    provider: str = ""
    inputs: Values = field(default_factory=dict)
    outputs: Values = field(default_factory=dict)
    dependencies: tuple[str, ...] = ()
    property_dependencies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    protect: bool = False
    retain_on_delete: bool = False
    delete: bool = False
    pending_replacement: bool = False
    init_errors: tuple[str, ...] = ()
    additional_secret_outputs: tuple[str, ...] = ()
    ignore_changes: tuple[str, ...] = ()
    created: str = ""
    modified: str = ""
    rest: Mapping[str, Any] = field(default_factory=dict)
    """What else another engine wrote of it: kept as it is."""

    @property
    def name(self) -> str:
        return self.urn.rpartition("::")[2]

    @property
    def is_provider(self) -> bool:
        return self.type.startswith(PROVIDER_PREFIX)

    @property
    def is_default_provider(self) -> bool:
        """Made by the engine itself, and hidden from people."""
        return self.is_provider and (self.name == "default" or self.name.startswith("default_"))

    @property
    def provider_urn(self) -> str:
        """The URN part of `provider` ('urn::id')."""
        return self.provider.rpartition("::")[0]

    @property
    def needs(self) -> frozenset[str]:
        """URNs that must be there before it and may only go after it."""
        linked = {*self.dependencies, self.parent, self.provider_urn}
        for urns in self.property_dependencies.values():
            linked.update(urns)
        return frozenset(linked - {"", self.urn})

    def among(self, urns: Collection[str]) -> Resource:
        """Itself without dependencies on what is not among `urns`."""
        links = {
            key: tuple(urn for urn in needed if urn in urns)
            for key, needed in self.property_dependencies.items()
        }
        kept = tuple(urn for urn in self.dependencies if urn in urns)
        return replace(self, dependencies=kept, property_dependencies=links)

    def inherit(self, old: Resource) -> Resource:
        """The same thing in the cloud, declared again: its id, outputs and times, and what of `rest` stays."""
        rest = {key: value for key, value in old.rest.items() if key not in OPTIONS}
        return replace(
            self, id=old.id, outputs=old.outputs, created=old.created, modified=old.modified, rest=rest
        )

    def differs(self, other: Resource) -> bool:
        """Whether the state would hold something else."""
        return self != other or any(
            values.differ(*both) for both in ((self.inputs, other.inputs), (self.outputs, other.outputs))
        )

    @property
    def who(self) -> ResourceIdentity:
        """What a provider is told about it."""
        _, _, stack = self.urn.split("::")[0].rpartition(":")
        return ResourceIdentity(urn=self.urn, name=self.name, project=self.urn.split("::")[1], stack=stack)


@dataclass(frozen=True)
class PendingOperation:
    """A call that was begun and whose end is not recorded: creating, updating or deleting."""

    type: str
    resource: Resource


@dataclass(frozen=True)
class Snapshot:
    """All that the state of one stack holds."""

    resources: tuple[Resource, ...] = ()
    pending: tuple[PendingOperation, ...] = ()
    salt: str = ""

    @property
    def by_urn(self) -> dict[str, Resource]:
        """The live ones: what waits for deletion after a replacement is left out."""
        return {resource.urn: resource for resource in self.resources if not resource.delete}


def package_of(type_token: str) -> str:
    """ "aws:s3/bucket:Bucket" -> "aws", "pulumi:providers:aws" -> "aws"."""
    if type_token.startswith(PROVIDER_PREFIX):
        return type_token.removeprefix(PROVIDER_PREFIX)
    return type_token.partition(":")[0]


def urn_of(stack: str, project: str, parent: str, type_token: str, name: str) -> str:
    """A URN carries the types of its parents, the stack itself left out."""
    chain = parent.split("::")[2] if parent else STACK_TYPE
    qualified = type_token if chain == STACK_TYPE else f"{chain}${type_token}"
    return f"urn:pulumi:{stack}::{project}::{qualified}::{name}"


def now() -> str:
    """The time in the form that checkpoints and history use."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


_PLAIN: Final = ("id", "parent", "provider", "created", "modified")
_FLAGS: Final = ("protect", "retain_on_delete", "delete", "pending_replacement")
_LISTS: Final = ("dependencies", "init_errors", "additional_secret_outputs", "ignore_changes")
_REFUSED: Final = {
    "external": "a resource that was read, not made",
    "taint": "a resource that waits to be replaced (`pulumi state taint`)",
    "viewOf": "a view of another resource",
}
"""Flags under which a resource is handled otherwise: a state with one is refused whole."""
OPTIONS: Final = frozenset(
    {
        "customTimeouts",
        "deletedWith",
        "hideDiff",
        "importID",
        "replaceOnChanges",
        "replaceWith",
        "replacementTrigger",
        "resourceHooks",
    }
)
"""Keys that are the program's to say. It is refused with them, so it has declared the resource without."""


def _key(attribute: str) -> str:
    """ResourceV3 says in camel case what we say in words."""
    first, *rest = attribute.split("_")
    return first + "".join(word.capitalize() for word in rest)


_KNOWN: Final = frozenset(
    {"urn", "type", "custom", "inputs", "outputs", "propertyDependencies"}
    | {_key(name) for name in (*_PLAIN, *_FLAGS, *_LISTS)}
)


def resource_to_json(resource: Resource, vault: Vault) -> dict[str, Any]:
    """ResourceV3; what is empty is left out."""

    def hide(inner: Any) -> dict[str, Any]:
        text = json.dumps(inner, separators=(",", ":"), sort_keys=True)
        return values.sign(values.SECRET, ciphertext=vault.encrypt(text))

    document = {_key(name): getattr(resource, name) for name in (*_PLAIN, *_FLAGS, *_LISTS)}
    document |= {
        "inputs": values.encode(resource.inputs, hide),
        "outputs": values.encode(resource.outputs, hide),
        "propertyDependencies": dict(resource.property_dependencies),
    }
    there = {key: value for key, value in document.items() if value}
    return {**resource.rest, "urn": resource.urn, "custom": resource.custom, "type": resource.type, **there}


def resource_from_json(document: Mapping[str, Any], vault: Vault) -> Resource:
    """The inverse of `resource_to_json`; raises `Unsupported` for what this engine would handle wrongly."""
    urn = document["urn"]
    for key, what in _REFUSED.items():
        if document.get(key):
            raise Unsupported(f"{what} in the state ({urn})")
    known = {name: document[_key(name)] for name in (*_PLAIN, *_FLAGS) if _key(name) in document}
    known |= {name: tuple(document.get(_key(name)) or ()) for name in _LISTS}
    links = document.get("propertyDependencies") or {}
    try:
        inputs, outputs = (
            values.decode(document.get(side) or {}, vault.decrypt) for side in ("inputs", "outputs")
        )
    except Unsupported as error:
        raise Unsupported(f"{error.what} in the state ({urn})") from None
    return Resource(
        urn=urn,
        type=document["type"],
        custom=bool(document.get("custom")),
        inputs=inputs,
        outputs=outputs,
        property_dependencies={key: tuple(urns or ()) for key, urns in links.items()},
        rest={key: value for key, value in document.items() if key not in _KNOWN},
        **known,
    )


def snapshot_from_json(document: Mapping[str, Any], vault: Vault) -> Snapshot:
    """A snapshot from DeploymentV3; of a stack that never was deployed from {}."""
    pending = [
        PendingOperation(one["type"], resource_from_json(one["resource"], vault))
        for one in document.get("pending_operations") or ()
    ]
    resources = [resource_from_json(one, vault) for one in document.get("resources") or ()]
    return Snapshot(tuple(resources), tuple(pending), vault.salt_text)


def manifest() -> dict[str, str]:
    """The engine checks that `magic` is the sha256 of `version` (pkg/resource/deploy/manifest.go)."""
    return {
        "time": now(),
        "magic": hashlib.sha256(ENGINE_VERSION.encode()).hexdigest(),
        "version": ENGINE_VERSION,
    }
