"""Which HTTPRoutes belong to which listeners of our Gateways, and under which hostnames."""

from __future__ import annotations

from dataclasses import dataclass

from infra.kubernetes.client import Object
from infra.rehearsal.cloud.kubernetes.gateway.hostnames import intersect
from infra.rehearsal.cloud.kubernetes.gateway.observed import GROUP, Observed
from infra.rehearsal.cloud.kubernetes.gateway.rules import RouteProblem, find_unsupported
from infra.rehearsal.cloud.kubernetes.gateway.table import ANY_HOST
from infra.rehearsal.cloud.kubernetes.places import CONTROLLER

NO_PARENT = "no listener of the Gateway has this name and port"


@dataclass(frozen=True)
class Attachment:
    """One parentRef of a route to a Gateway of ours. `problem` None: accepted, for `hostnames` at `listeners`."""

    parent: Object
    gateway: tuple[str, str]
    problem: RouteProblem | None
    listeners: tuple[str, ...] = ()
    hostnames: tuple[str, ...] = ()


def our_classes(observed: Observed) -> set[str]:
    return {
        one["metadata"]["name"] for one in observed.classes if one["spec"]["controllerName"] == CONTROLLER
    }


def our_gateways(observed: Observed) -> dict[tuple[str, str], Object]:
    classes = our_classes(observed)
    return {
        (one["metadata"]["namespace"], one["metadata"]["name"]): one
        for one in observed.gateways
        if one["spec"]["gatewayClassName"] in classes
    }


def attach(route: Object, observed: Observed) -> tuple[Attachment, ...]:
    """One for each parentRef that names a Gateway of ours. Other parents are other controllers' to speak of."""
    gateways = our_gateways(observed)
    found = []
    for parent in route["spec"].get("parentRefs") or ():
        if (parent.get("group", GROUP), parent.get("kind", "Gateway")) != (GROUP, "Gateway"):
            continue
        name = parent.get("namespace") or route["metadata"]["namespace"], parent["name"]
        if name in gateways:
            found.append(_judge(route, parent, name, gateways[name], observed))
    return tuple(found)


def _judge(
    route: Object, parent: Object, name: tuple[str, str], gateway: Object, observed: Observed
) -> Attachment:
    def refuse(reason: str, message: str) -> Attachment:
        return Attachment(parent, name, RouteProblem(reason, message))

    listeners = [
        one
        for one in gateway["spec"]["listeners"]
        if parent.get("sectionName") in (None, one["name"]) and parent.get("port") in (None, one["port"])
    ]
    if not listeners:
        return refuse("NoMatchingParent", NO_PARENT)
    namespace = route["metadata"]["namespace"]
    open_ones = [one for one in listeners if serves(one) and _allows(one, name[0], namespace, observed)]
    if not open_ones:
        message = f"the listener takes no HTTPRoutes from the namespace {namespace}"
        return refuse("NotAllowedByListeners", message)
    shared = {one["name"]: _common_hosts(route, one) for one in open_ones}
    hostnames = tuple(dict.fromkeys(host for hosts in shared.values() for host in hosts))
    if not hostnames:
        message = f"none of the route's hostnames is one of the listener's ({open_ones[0].get('hostname')})"
        return refuse("NoMatchingListenerHostname", message)
    used = tuple(listener for listener, hosts in shared.items() if hosts)
    return Attachment(parent, name, find_unsupported(route), used, hostnames)


def serves(listener: Object) -> bool:
    """Whether it can be served at all: plain HTTP, for HTTPRoutes."""
    return listener["protocol"] == "HTTP" and takes_routes(listener)


def takes_routes(listener: Object) -> bool:
    """Whether HTTPRoute is among the kinds that the listener allows; those of its protocol unless it says so."""
    kinds = (listener.get("allowedRoutes") or {}).get("kinds")
    return not kinds or any((one.get("group", GROUP), one["kind"]) == (GROUP, "HTTPRoute") for one in kinds)


def _allows(listener: Object, own: str, namespace: str, observed: Observed) -> bool:
    allowed = (listener.get("allowedRoutes") or {}).get("namespaces") or {}
    whence = allowed.get("from", "Same")
    if whence == "Selector":
        return selects(allowed.get("selector") or {}, observed.labels.get(namespace, {}))
    return whence == "All" or (whence == "Same" and own == namespace)


def selects(selector: Object, labels: dict[str, str]) -> bool:
    """Kubernetes' label selector: all of its labels and expressions hold."""
    wanted = (selector.get("matchLabels") or {}).items()
    return all(labels.get(key) == value for key, value in wanted) and all(
        _holds(one, labels.get(one["key"])) for one in selector.get("matchExpressions") or ()
    )


def _holds(expression: Object, value: str | None) -> bool:
    values = expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case _:
            return value is None


def _common_hosts(route: Object, listener: Object) -> tuple[str, ...]:
    wide = listener.get("hostname") or ANY_HOST
    wanted = route["spec"].get("hostnames") or (ANY_HOST,)
    return tuple(found for host in wanted if (found := intersect(wide, host)))
