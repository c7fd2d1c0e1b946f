"""From the objects to the routing table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from infra.kubernetes.client import Object
from infra.rehearsal.cloud.kubernetes.gateway.attach import attach
from infra.rehearsal.cloud.kubernetes.gateway.hostnames import covers, specificity
from infra.rehearsal.cloud.kubernetes.gateway.observed import Backend, Observed
from infra.rehearsal.cloud.kubernetes.gateway.rules import precedence, read_entries
from infra.rehearsal.cloud.kubernetes.gateway.table import (
    BackendShare,
    RequestMatch,
    RouteEntry,
    RoutingTable,
    TextMatch,
    used_backends,
)

DOMAIN = "svc.cluster.local"


def build_table(observed: Observed) -> RoutingTable:
    """The table: every accepted route under its hostnames, every Service under its own name."""
    hosts = _service_hosts(observed) | _route_hosts(observed)
    backends = {one for entries in hosts.values() for entry in entries for one in used_backends(entry)}
    return RoutingTable(
        hosts=dict(sorted(hosts.items())),
        endpoints={one: observed.ready(one) for one in sorted(backends)},
        h2c=frozenset(one for one in backends if _protocol(observed, one) == "kubernetes.io/h2c"),
    )


def _protocol(observed: Observed, backend: Backend) -> str:
    return str((observed.port(backend) or {}).get("appProtocol", ""))


def _route_hosts(observed: Observed) -> dict[str, tuple[RouteEntry, ...]]:
    attached = [(host, route) for route in observed.routes for host in _hostnames(route, observed)]
    read = {_name(route): read_entries(route, observed) for _, route in attached}
    hosts: dict[str, tuple[RouteEntry, ...]] = {}
    for host in {host for host, _ in attached}:
        # What a wildcard says counts for each name that it covers, after what is said of the name itself.
        ranked = [
            (
                (not specificity(pattern)[0], -specificity(pattern)[1]),
                precedence(entry.match),
                _age(route),
                entry,
            )
            for pattern, route in attached
            if covers(pattern, host)
            for entry in read[_name(route)]
        ]
        hosts[host] = tuple(entry for *_, entry in sorted(ranked, key=lambda one: one[:3]))
    return hosts


def _hostnames(route: Object, observed: Observed) -> Iterator[str]:
    """Each once, though two parents give it."""
    accepted = (one for one in attach(route, observed) if one.problem is None)
    yield from dict.fromkeys(host for one in accepted for host in one.hostnames)


def _name(route: Object) -> tuple[str, str]:
    return route["metadata"]["namespace"], route["metadata"]["name"]


def _age(route: Object) -> tuple[Any, ...]:
    return route["metadata"].get("creationTimestamp", ""), "/".join(_name(route))


def _service_hosts(observed: Observed) -> dict[str, tuple[RouteEntry, ...]]:
    """`<service>.<namespace>.svc.cluster.local` asks a Service itself: its port 80, else its first, or the one after
    the name (`:8080`)."""
    return {
        f"{service}.{namespace}.{DOMAIN}": tuple(_service_entries(namespace, service, ports))
        for (namespace, service), ports in observed.ports.items()
        if ports
    }


def _service_entries(namespace: str, service: str, ports: tuple[Object, ...]) -> Iterator[RouteEntry]:
    numbers = sorted((int(port["port"]) for port in ports), key=lambda number: number != 80)
    for number in numbers[1:]:
        asked = TextMatch(":authority", f".*:{number}", expression=True)
        yield _whole(Backend(namespace, service, number), RequestMatch(headers=(asked,)))
    yield _whole(Backend(namespace, service, numbers[0]), RequestMatch())


def _whole(backend: Backend, match: RequestMatch) -> RouteEntry:
    return RouteEntry(route=("", ""), match=match, shares=(BackendShare(backend, 1),))
