"""What the gateway has read from the API server, and how it is looked up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from infra.kubernetes.client import Object

GROUP = "gateway.networking.k8s.io"
API = f"{GROUP}/v1"
SERVICE_OF_SLICE = "kubernetes.io/service-name"


@dataclass(frozen=True, order=True)
class Backend:
    """A port of a Service, by its number."""

    namespace: str
    service: str
    port: int


@dataclass(frozen=True)
class Observed:
    """The objects of one moment, as the API server gives them."""

    classes: tuple[Object, ...] = ()
    gateways: tuple[Object, ...] = ()
    routes: tuple[Object, ...] = ()
    grants: tuple[Object, ...] = ()
    namespaces: tuple[Object, ...] = ()
    services: tuple[Object, ...] = ()
    slices: tuple[Object, ...] = ()

    @cached_property
    def ports(self) -> dict[tuple[str, str], tuple[Object, ...]]:
        """The TCP ports of each Service that has addresses of its own, by namespace and name."""
        return {
            (service["metadata"]["namespace"], service["metadata"]["name"]): tuple(
                port for port in service["spec"].get("ports") or () if port.get("protocol", "TCP") == "TCP"
            )
            for service in self.services
            if service["spec"].get("type") != "ExternalName"
        }

    @cached_property
    def labels(self) -> dict[str, dict[str, str]]:
        """The labels of each namespace."""
        return {one["metadata"]["name"]: one["metadata"].get("labels") or {} for one in self.namespaces}

    @cached_property
    def _slices(self) -> dict[tuple[str, str], list[Object]]:
        found: dict[tuple[str, str], list[Object]] = {}
        for one in self.slices:
            metadata = one["metadata"]
            service = (metadata.get("labels") or {}).get(SERVICE_OF_SLICE, "")
            found.setdefault((metadata["namespace"], service), []).append(one)
        return found

    def port(self, backend: Backend) -> Object | None:
        """The Service's port of that number; None without the Service or the port."""
        ports = self.ports.get((backend.namespace, backend.service), ())
        return next((port for port in ports if port["port"] == backend.port), None)

    def ready(self, backend: Backend) -> tuple[tuple[str, int], ...]:
        """Address and port of each ready endpoint, where its process listens, in order."""
        named = self.port(backend)
        if named is None:
            return ()
        slices = self._slices.get((backend.namespace, backend.service), ())
        return tuple(sorted(set(_addresses(slices, named.get("name") or ""))))

    def permits(self, source: str, backend: Backend) -> bool:
        """Whether HTTPRoutes of the namespace `source` may name that Service (ReferenceGrant)."""
        if source == backend.namespace:
            return True
        wanted = {"group": GROUP, "kind": "HTTPRoute", "namespace": source}
        return any(
            grant["metadata"]["namespace"] == backend.namespace
            and wanted in grant["spec"]["from"]
            and any(
                to["group"] == "" and to["kind"] == "Service" and to.get("name") in (None, backend.service)
                for to in grant["spec"]["to"]
            )
            for grant in self.grants
        )


def _addresses(slices: Iterable[Object], port_name: str) -> Iterable[tuple[str, int]]:
    for one in slices:
        if one.get("addressType") != "IPv4":
            continue
        numbers = [
            port["port"]
            for port in one.get("ports") or ()
            if (port.get("name") or "") == port_name and port.get("port")
        ]
        for endpoint in one.get("endpoints") or ():
            # the API's words: an unknown readiness is to be read as ready
            if (endpoint.get("conditions") or {}).get("ready", True) is not False:
                for address in endpoint["addresses"]:
                    yield from ((loopback_of(address), number) for number in numbers)


def loopback_of(address: str) -> str:
    """Where the process of a pod listens: a pod's 10.a.b.c is 127.a.b.c on this machine, for the API server takes no
    loopback address for a pod."""
    return "127." + address[3:] if address.startswith("10.") else address
