"""The configured providers of one operation, by the URN of their provider resource."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from infra.rehearsal.engine.provider import Provider, ProviderFactory, Refused
from infra.rehearsal.engine.resource import Resource
from infra.rehearsal.engine.values import has_unknown, strip


class NoProvider(Exception):
    """A provider that cannot be had; the text says why."""


class Hosts:
    """Makes each provider once, when it is first needed. Safe from any thread."""

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

    def resource(self, urn: str) -> Resource | None:
        """The provider resource, as this run or else the state has it."""
        return self._resources.get(urn)

    def of(self, resource: Resource) -> Provider:
        """The provider that serves a resource of the state; raises `NoProvider`."""
        return self.get(resource.provider_urn)

    def get(self, urn: str) -> Provider:
        """The configured provider of a provider resource; raises `NoProvider`."""
        with self._lock:
            if urn not in self._providers:
                resource = self._resources.get(urn)
                if resource is None:
                    raise NoProvider(f"provider {urn} is neither declared nor in the state")
                self._providers[urn] = self._make(resource)
            return self._providers[urn]

    def _make(self, resource: Resource) -> Provider:
        if has_unknown(resource.inputs):
            raise NoProvider(
                f"the configuration of provider {resource.name} depends on values that are not known yet: "
                "use the Pulumi CLI"
            )
        inputs = configuration(strip(resource.inputs))
        try:
            provider = self._factory(resource.package, inputs, self._environment)
            provider.configure(inputs)
        except Refused as error:
            raise NoProvider(f"provider {resource.name} for {resource.package}: {error}") from error
        return provider


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
