"""An HTTPRoute's rules as entries of the table, and what of them cannot be done or found.

Meanings: https://gateway-api.sigs.k8s.io/reference/spec/ (HTTPRouteRule and what it holds).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from infra.kubernetes.client import Object
from infra.rehearsal.cloud.kubernetes.gateway.observed import Backend, Observed
from infra.rehearsal.cloud.kubernetes.gateway.table import (
    BackendShare,
    HeaderChange,
    MirrorShare,
    RequestMatch,
    RouteEntry,
    TextMatch,
)

RULE_FIELDS = {"name", "matches", "filters", "backendRefs", "timeouts"}
FILTERS = {"RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror"}
PROTOCOLS = {None, "http", "kubernetes.io/h2c"}
EVERY_REQUEST = {"path": {"type": "PathPrefix", "value": "/"}}
MILLION = 1_000_000
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@dataclass(frozen=True)
class RouteProblem:
    """A reason of the Gateway API's, and words for people."""

    reason: str
    message: str


def read_entries(route: Object, observed: Observed) -> tuple[RouteEntry, ...]:
    """The rules in the order that the API wants them tried in among themselves: see `precedence`."""
    name = route["metadata"]["namespace"], route["metadata"]["name"]
    entries = [entry for rule in _rules(route) for entry in _entries(name, rule, observed)]
    return tuple(sorted(entries, key=lambda entry: precedence(entry.match)))


def _rules(route: Object) -> list[Object]:
    return route["spec"].get("rules") or [{}]


def precedence(match: RequestMatch) -> tuple[int, int, bool, int, int]:
    """Smaller for what is tried first. Expressions, which the API leaves to each implementation, come between the
    exact paths and the prefixes."""
    kind = ("exact", "expression", "prefix").index(match.kind)
    return kind, -len(match.path), not match.method, -len(match.headers), -len(match.parameters)


def _entries(route: tuple[str, str], rule: Object, observed: Observed) -> Iterator[RouteEntry]:
    filters = {one["type"]: one for one in rule.get("filters") or ()}
    timeouts = rule.get("timeouts") or {}
    for match in rule.get("matches") or (EVERY_REQUEST,):
        yield RouteEntry(
            route=route,
            match=_match(match),
            shares=tuple(
                BackendShare(_resolve(route[0], reference, observed)[0], reference.get("weight", 1))
                for reference in rule.get("backendRefs") or ()
            ),
            request=seconds(timeouts.get("request", "0s")),
            attempt=seconds(timeouts.get("backendRequest", "0s")),
            request_headers=_headers(filters, "RequestHeaderModifier", "requestHeaderModifier"),
            response_headers=_headers(filters, "ResponseHeaderModifier", "responseHeaderModifier"),
            mirrors=tuple(_mirrors(route[0], rule, observed)),
        )


def _match(match: Object) -> RequestMatch:
    path = match.get("path") or {}
    kinds: dict[str, Literal["exact", "expression", "prefix"]] = {
        "Exact": "exact",
        "RegularExpression": "expression",
    }
    kind = kinds.get(path.get("type", "PathPrefix"), "prefix")
    value = str(path.get("value", "/"))
    return RequestMatch(
        kind=kind,
        path=value.rstrip("/") if kind == "prefix" else value,
        method=str(match.get("method", "")),
        headers=_texts(match.get("headers")),
        parameters=_texts(match.get("queryParams")),
    )


def _texts(matches: list[Object] | None) -> tuple[TextMatch, ...]:
    """Of several for one name, in any case, only the first counts."""
    named: dict[str, TextMatch] = {}
    for one in matches or ():
        text = TextMatch(one["name"], one["value"], one.get("type") == "RegularExpression")
        named.setdefault(one["name"].lower(), text)
    return tuple(named.values())


def _headers(filters: dict[str, Object], kind: str, key: str) -> HeaderChange:
    change = filters.get(kind, {}).get(key) or {}

    def pairs(word: str) -> tuple[tuple[str, str], ...]:
        return tuple((one["name"], one["value"]) for one in change.get(word) or ())

    return HeaderChange(replaced=pairs("set"), added=pairs("add"), removed=tuple(change.get("remove") or ()))


def _mirrors(namespace: str, rule: Object, observed: Observed) -> Iterator[MirrorShare]:
    for one in rule.get("filters") or ():
        if one["type"] != "RequestMirror":
            continue
        wanted = one["requestMirror"]
        backend, _ = _resolve(namespace, wanted["backendRef"], observed)
        fraction = wanted.get("fraction") or {"numerator": wanted.get("percent", 100)}
        part = Fraction(fraction["numerator"], fraction.get("denominator", 100))
        if backend:
            yield MirrorShare(backend, int(part * MILLION))


# ---- what does not resolve ----


def _resolve(
    namespace: str, reference: Object, observed: Observed
) -> tuple[Backend, None] | tuple[None, RouteProblem]:
    """The backend that a reference in that namespace means, or why there is none."""
    named = f"{reference.get('group', '')}/{reference.get('kind', 'Service')}".lstrip("/")
    if named != "Service":
        return None, RouteProblem("InvalidKind", f"backendRefs can name Services only, not {named}")
    backend = Backend(
        reference.get("namespace") or namespace, reference["name"], int(reference.get("port", 0))
    )
    where = f"Service {backend.namespace}/{backend.service}"
    if not observed.permits(namespace, backend):
        grant = f"a ReferenceGrant in {backend.namespace} that lets HTTPRoutes of {namespace} name it"
        return None, RouteProblem("RefNotPermitted", f"{where} needs {grant}")
    if (backend.namespace, backend.service) not in observed.ports:
        return None, RouteProblem(
            "BackendNotFound", f"{where} does not exist, or has no endpoints of its own"
        )
    port = observed.port(backend)
    if port is None:
        return None, RouteProblem("BackendNotFound", f"{where} has no port {backend.port}")
    if port.get("appProtocol") not in PROTOCOLS:
        return None, RouteProblem(
            "UnsupportedProtocol", f"{where} speaks {port['appProtocol']}; HTTP can be routed"
        )
    return backend, None


def find_unresolved(route: Object, observed: Observed) -> RouteProblem | None:
    """The first reference, of a backend or a mirror, that does not resolve."""
    for rule in _rules(route):
        mirrored = [
            one["requestMirror"]["backendRef"] for one in rule.get("filters") or () if "requestMirror" in one
        ]
        for reference in (*(rule.get("backendRefs") or ()), *mirrored):
            _, problem = _resolve(route["metadata"]["namespace"], reference, observed)
            if problem:
                return problem
    return None


def find_unsupported(route: Object) -> RouteProblem | None:
    """The first thing that a rule asks for and this gateway does not do, told rather than left out."""
    for number, rule in enumerate(_rules(route)):
        for problem in _gaps(rule):
            return RouteProblem("UnsupportedValue", f"rules[{number}]: {problem}")
    return None


def _gaps(rule: Object) -> Iterator[str]:
    yield from (f"{name} is not supported here" for name in sorted(set(rule) - RULE_FIELDS))
    for one in rule.get("filters") or ():
        if one["type"] not in FILTERS:
            yield f"the filter {one['type']} is not supported here, only {', '.join(sorted(FILTERS))}"
        yield from _header_gaps(one)
    for reference in rule.get("backendRefs") or ():
        if reference.get("filters"):
            yield "filters of a single backendRef are not supported here"
    for match in rule.get("matches") or ():
        path = match.get("path") or {}
        texts = [*(match.get("headers") or ()), *(match.get("queryParams") or ())]
        for one in (path, *texts):
            if one.get("type") == "RegularExpression" and (wrong := _wrong_expression(one["value"])):
                yield f"{one['value']!r} is no RE2 expression: {wrong}"


def _header_gaps(filter_: Object) -> Iterator[str]:
    """What the schema lets through and Envoy does not take."""
    change = filter_.get("requestHeaderModifier") or filter_.get("responseHeaderModifier") or {}
    changed = [*(change.get("set") or ()), *(change.get("add") or ())]
    names = [*(one["name"] for one in changed), *(change.get("remove") or ())]
    if "host" in map(str.lower, names):
        yield f"{filter_['type']} cannot change the header Host here"
    for one in changed:
        if not one["value"].isprintable():
            yield f"the value of {one['name']} is no header's: {one['value']!r}"


def _wrong_expression(text: str) -> str:
    """What RE2, which the proxy matches by, says against it; empty when it takes it."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(text, options)
    except re2.error as error:
        said = error.args[0] if error.args else error
        return said.decode() if isinstance(said, bytes) else str(said)
    return ""


def seconds(duration: str) -> float:
    """Of a Gateway API duration such as 1m30s: https://gateway-api.sigs.k8s.io/geps/gep-2257/"""
    return sum(int(count) * UNITS[unit] for count, unit in re.findall(r"(\d{1,5})(ms|h|m|s)", duration))
