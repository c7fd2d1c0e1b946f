"""The statuses that the Gateway API has a controller write: pure, from what was read and what was decided.

Conditions and reasons: https://gateway-api.sigs.k8s.io/reference/spec/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from infra.kubernetes.client import Object
from infra.rehearsal.cloud.kubernetes.gateway.attach import (
    Attachment,
    attach,
    our_classes,
    our_gateways,
    serves,
    takes_routes,
)
from infra.rehearsal.cloud.kubernetes.gateway.observed import GROUP, Observed
from infra.rehearsal.cloud.kubernetes.gateway.rules import RouteProblem, find_unresolved
from infra.rehearsal.cloud.kubernetes.places import CONTROLLER

ADDRESS = "127.0.0.1"
ROUTE_KIND = {"group": GROUP, "kind": "HTTPRoute"}


def differing(observed: Observed, now: str) -> list[tuple[Object, Object]]:
    """The objects whose stored status is not what it should be, each with the whole of what it should be. `now`: the
    time, as Kubernetes writes it, of conditions that change."""
    attached = {_name(route): attach(route, observed) for route in observed.routes}
    ours = our_classes(observed)
    wanted: list[tuple[Object, Object]] = [
        (one, class_status(one, now)) for one in observed.classes if one["metadata"]["name"] in ours
    ]
    joined = [one for found in attached.values() for one in found if one.problem is None]
    wanted += [
        (gateway, gateway_status(gateway, name, joined, now))
        for name, gateway in our_gateways(observed).items()
    ]
    wanted += [
        (route, route_status(route, attached[_name(route)], find_unresolved(route, observed), now))
        for route in observed.routes
    ]
    return [(one, status) for one, status in wanted if status != (one.get("status") or {})]


def _name(obj: Object) -> tuple[str, str]:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


def class_status(one: Object, now: str) -> Object:
    """Of a GatewayClass of ours: accepted."""
    status = dict(one.get("status") or {})
    told = {"Accepted": (True, "Accepted", "the local gateway serves Gateways of this class")}
    status["conditions"] = _conditions(status.get("conditions"), told, one, now)
    return status


def gateway_status(gateway: Object, name: tuple[str, str], joined: Iterable[Attachment], now: str) -> Object:
    """Of a Gateway: its address, and each listener with the number of its routes."""
    status = dict(gateway.get("status") or {})
    counts: dict[str, int] = {}
    for one in joined:
        for listener in one.listeners if one.gateway == name else ():
            counts[listener] = counts.get(listener, 0) + 1
    former = {one["name"]: one for one in status.get("listeners") or ()}
    listeners = gateway["spec"]["listeners"]
    good = [one for one in listeners if serves(one)]
    whole = "Accepted" if len(good) == len(listeners) else "ListenersNotValid"
    ready = (True, "Programmed", "served") if good else (False, "Invalid", "no listener can be served")
    told = {
        "Accepted": (bool(good), whole, "" if whole == "Accepted" else "see the listeners' conditions"),
        "Programmed": ready,
    }
    return status | {
        "addresses": [{"type": "IPAddress", "value": ADDRESS}],
        "conditions": _conditions(status.get("conditions"), told, gateway, now),
        "listeners": [
            _listener_status(one, former.get(one["name"], {}), counts.get(one["name"], 0), gateway, now)
            for one in listeners
        ],
    }


def _listener_status(listener: Object, former: Object, routes: int, gateway: Object, now: str) -> Object:
    kinds = (listener.get("allowedRoutes") or {}).get("kinds") or (ROUTE_KIND,)
    known = all((one.get("group", GROUP), one["kind"]) == (GROUP, "HTTPRoute") for one in kinds)
    http = listener["protocol"] == "HTTP"
    told = {
        "Accepted": (True, "Accepted", "")
        if http
        else (False, "UnsupportedProtocol", f"{listener['protocol']} is not served here, HTTP is"),
        "Programmed": (True, "Programmed", "") if serves(listener) else (False, "Invalid", ""),
        "ResolvedRefs": (True, "ResolvedRefs", "")
        if known
        else (False, "InvalidRouteKinds", "HTTPRoutes are the only routes here"),
    }
    return {
        "name": listener["name"],
        "supportedKinds": [ROUTE_KIND] if http and takes_routes(listener) else [],
        "attachedRoutes": routes,
        "conditions": _conditions(former.get("conditions"), told, gateway, now),
    }


def route_status(
    route: Object, attached: Iterable[Attachment], unresolved: RouteProblem | None, now: str
) -> Object:
    """Of an HTTPRoute: what this controller says of each parent of ours, beside what others say of theirs."""
    status = dict(route.get("status") or {})
    former = list(status.get("parents") or ())

    def conditions(one: Attachment) -> list[Object]:
        told = _verdicts(one.problem, unresolved)
        return _conditions(_former_conditions(former, one.parent), told, route, now)

    own = [
        {"parentRef": one.parent, "controllerName": CONTROLLER, "conditions": conditions(one)}
        for one in attached
    ]
    others = [one for one in former if one["controllerName"] != CONTROLLER]
    # a route that is none of ours keeps the very status that it has, even none
    return status | {"parents": [*others, *own]} if own or len(others) != len(former) else status


def _verdicts(
    problem: RouteProblem | None, unresolved: RouteProblem | None
) -> dict[str, tuple[bool, str, str]]:
    accepted = (False, problem.reason, problem.message) if problem else (True, "Accepted", "")
    resolved = (False, unresolved.reason, unresolved.message) if unresolved else (True, "ResolvedRefs", "")
    return {"Accepted": accepted, "ResolvedRefs": resolved}


def _former_conditions(former: Iterable[Object], parent: Object) -> list[Object]:
    for one in former:
        if one["controllerName"] == CONTROLLER and one["parentRef"] == parent:
            return list(one.get("conditions") or ())
    return []


def _conditions(
    former: Iterable[Any] | None, told: Mapping[str, tuple[bool, str, str]], obj: Object, now: str
) -> list[Object]:
    """What is told, and what others told in types of their own; the time is that of the last change of a status."""
    kept = {one["type"]: one for one in former or ()}
    found = []
    for kind, (holds, reason, message) in told.items():
        word = "True" if holds else "False"
        before = kept.get(kind) or {}
        since = before["lastTransitionTime"] if before.get("status") == word else now
        found.append(
            {
                "type": kind,
                "status": word,
                "reason": reason,
                "message": message,
                "observedGeneration": obj["metadata"].get("generation", 0),
                "lastTransitionTime": since,
            }
        )
    return [one for kind, one in kept.items() if kind not in told] + found
