"""The configured providers of one operation, and their verbs in terms of resources: secrets are taken off."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from infra.rehearsal.engine.errors import EngineError
from infra.rehearsal.engine.provider import (
    CreateResponse,
    DiffResponse,
    KnownResource,
    Provider,
    ProviderError,
    ProviderFactory,
    ReadResponse,
    Values,
)
from infra.rehearsal.engine.resource import Resource, package_of
from infra.rehearsal.engine.unconfigured import UnconfiguredProvider
from infra.rehearsal.engine.values import has_unknown, strip


class ProviderPool:
    """Makes each provider once, when it is first needed. Safe from any thread.

    Every method raises `EngineError` for a provider that cannot be had, and what the provider raises.
    """

    def __init__(
        self, factory: ProviderFactory, environment: Mapping[str, str], known: Iterable[Resource]
    ) -> None:
        self._factory = factory
        self._environment = environment
        self._resources = {resource.urn: resource for resource in known if resource.is_provider}
        self._providers: dict[str, Provider] = {}
        self._lock = threading.Lock()

    def declare(self, resource: Resource) -> None:
        """A provider resource of this run; its configuration is the one in force from now on."""
        with self._lock:
            before = self._resources.get(resource.urn)
            if before is None or before.inputs != resource.inputs:
                self._providers.pop(resource.urn, None)
            self._resources[resource.urn] = resource

    def resource(self, urn: str) -> Resource:
        """The provider resource, as this run or else the state has it."""
        if urn not in self._resources:
            raise EngineError(f"provider {urn} is neither declared nor in the state")
        return self._resources[urn]

    def get(self, urn: str) -> Provider:
        """The configured provider of a provider resource."""
        with self._lock:
            if urn not in self._providers:
                self._providers[urn] = self._make(self.resource(urn))
            return self._providers[urn]

    def _make(self, resource: Resource) -> Provider:
        package = package_of(resource.type)
        if has_unknown(resource.inputs):
            return UnconfiguredProvider(package)
        inputs = configuration(strip(resource.inputs))
        try:
            provider = self._factory(package, inputs, self._environment)
            provider.configure(inputs)
        except ProviderError as error:
            raise EngineError(f"provider {resource.name} for {package}: {error}") from error
        return provider

    def list_hosts(self, resource: Resource) -> frozenset[str]:
        """URNs of what a resource is in, so that it is gone where one of them is; none for most."""
        if not resource.custom or resource.is_provider or resource.pending_replacement:
            return frozenset()
        return self.resource(resource.provider_urn).needs if self._of(resource).inside else frozenset()

    def _of(self, resource: Resource) -> Provider:
        return self.get(resource.provider_urn)

    def create(self, new: Resource, *, preview: bool) -> CreateResponse:
        """Create a resource."""
        inputs = strip(new.inputs)
        return self._of(new).create(new.type, new.who, inputs, preview=preview)

    def read(self, old: Resource) -> ReadResponse | None:
        """Read a resource back."""
        return self._of(old).read(recall(old))

    def diff(self, old: Resource, news: Values, ignored: tuple[str, ...] = ()) -> DiffResponse:
        """Compare a resource with new inputs."""
        return self._of(old).diff(recall(old), strip(news), ignored=ignored)

    def update(self, old: Resource, new: Resource, *, preview: bool) -> CreateResponse:
        """Update a resource in place."""
        before = replace(recall(old), type=new.type)
        outputs = self._of(new).update(before, strip(new.inputs), preview=preview, ignored=new.ignore_changes)
        return CreateResponse(old.id, outputs)

    def delete(self, old: Resource) -> None:
        """Delete a resource."""
        self._of(old).delete(recall(old))


def recall(resource: Resource) -> KnownResource:
    """A resource of the state as a provider gets it: without marks of secrets."""
    return KnownResource(resource.type, resource.id, strip(resource.inputs), strip(resource.outputs))


def configuration(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A provider's inputs without their version and the JSON that the SDK wraps around all but strings."""
    return {
        key: _unwrap(value) for key, value in inputs.items() if key not in ("version", "pluginDownloadURL")
    }


def _unwrap(value: Any) -> Any:
    if not isinstance(value, str) or not (value[:1] in ("[", "{") or value in ("true", "false")):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
