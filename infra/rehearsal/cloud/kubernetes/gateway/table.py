"""The routing table: which requests go where, in which shares. Plain data between the API's objects and the proxy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from infra.rehearsal.cloud.kubernetes.gateway.observed import Backend

ANY_HOST = "*"


@dataclass(frozen=True)
class TextMatch:
    """A header or a query parameter with that very value, or one that the whole of an RE2 expression matches."""

    name: str
    value: str
    expression: bool = False


@dataclass(frozen=True)
class RequestMatch:
    """What a request must look like. `path` of kind "prefix" is by whole elements, without a slash at its end."""

    kind: Literal["exact", "expression", "prefix"] = "prefix"
    path: str = ""
    method: str = ""
    headers: tuple[TextMatch, ...] = ()
    parameters: tuple[TextMatch, ...] = ()


@dataclass(frozen=True)
class HeaderChange:
    """Headers set, added to and taken away, in this order."""

    replaced: tuple[tuple[str, str], ...] = ()
    added: tuple[tuple[str, str], ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True)
class BackendShare:
    """A part of a rule's requests. `backend` None: it could not be resolved, and its share is answered by 500."""

    backend: Backend | None
    weight: int


@dataclass(frozen=True)
class MirrorShare:
    """A copy of that many requests of a million, whose answers nobody gets."""

    backend: Backend
    millionths: int


@dataclass(frozen=True, kw_only=True)
class RouteEntry:
    """One way that a request can go. `route`: namespace and name of the HTTPRoute, ("", "") for a Service's own host.

    `request` and `attempt`: seconds for the whole answer and for one backend's, 0 without end.
    """

    route: tuple[str, str]
    match: RequestMatch = RequestMatch()
    shares: tuple[BackendShare, ...] = ()
    request: float = 0
    attempt: float = 0
    request_headers: HeaderChange = HeaderChange()
    response_headers: HeaderChange = HeaderChange()
    mirrors: tuple[MirrorShare, ...] = ()


@dataclass(frozen=True)
class RoutingTable:
    """`hosts`: each name, `*.name` or "*" with its entries, the first that matches counts. `endpoints`: where the
    ready processes of each backend listen. `h2c`: backends that speak HTTP/2 without TLS."""

    hosts: Mapping[str, tuple[RouteEntry, ...]] = field(default_factory=dict)
    endpoints: Mapping[Backend, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    h2c: frozenset[Backend] = frozenset()


def used_backends(entry: RouteEntry) -> Iterator[Backend]:
    """Those that may get one of its requests."""
    yield from (share.backend for share in entry.shares if share.backend and share.weight)
    yield from (mirror.backend for mirror in entry.mirrors)
