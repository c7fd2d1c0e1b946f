"""What the gateway says of GatewayClasses, Gateways and HTTPRoutes. Judge: the conditions and reasons that the Gateway
API's specification gives (https://gateway-api.sigs.k8s.io/reference/spec/)."""

from __future__ import annotations

from typing import Any

import pytest
from gateway_objects import backend, gateway, gateway_class, grant, listener, observe, route, service

from infra.rehearsal.cloud.kubernetes.gateway.observed import Observed
from infra.rehearsal.cloud.kubernetes.gateway.statuses import differing
from infra.rehearsal.cloud.kubernetes.places import CONTROLLER

NOW, LATER = "2026-02-02T10:00:00Z", "2026-02-02T11:00:00Z"
PARENT = {"namespace": "kserve", "name": "kserve-ingress-gateway"}
SERVICE = service("ml", "s")
ROUTE = route("ml", "shop", {"backendRefs": [backend("s")]})


def status(observed: Observed, kind: str, now: str = NOW) -> dict[str, Any]:
    """What is to be written of the first object of that kind."""
    return next(status for obj, status in differing(observed, now) if obj["kind"] == kind)


def told(conditions: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one["reason"]) for one in conditions}


def of_route(*objects: dict[str, Any]) -> dict[str, tuple[str, str]]:
    (parent,) = status(observe(*objects), "HTTPRoute")["parents"]
    assert parent["controllerName"] == CONTROLLER
    return told(parent["conditions"])


def settled(observed: Observed) -> Observed:
    """The same objects with the statuses that they were to get."""
    wanted = {id(obj): new for obj, new in differing(observed, NOW)}

    def done(objects: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        return tuple(one | {"status": wanted[id(one)]} if id(one) in wanted else one for one in objects)

    return Observed(
        classes=done(observed.classes),
        gateways=done(observed.gateways),
        routes=done(observed.routes),
        services=observed.services,
    )


def test_class_gateway_and_route_that_are_well() -> None:
    seen = observe(SERVICE, ROUTE)
    assert told(status(seen, "GatewayClass")["conditions"]) == {"Accepted": ("True", "Accepted")}
    said = status(seen, "Gateway")
    assert said["addresses"] == [{"type": "IPAddress", "value": "127.0.0.1"}]
    assert told(said["conditions"]) == {
        "Accepted": ("True", "Accepted"),
        "Programmed": ("True", "Programmed"),
    }
    (one,) = said["listeners"]
    assert (one["name"], one["attachedRoutes"]) == ("http", 1)
    assert one["supportedKinds"] == [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute"}]
    assert told(one["conditions"]) == {
        "Accepted": ("True", "Accepted"),
        "Programmed": ("True", "Programmed"),
        "ResolvedRefs": ("True", "ResolvedRefs"),
    }
    (parent,) = status(seen, "HTTPRoute")["parents"]
    assert parent["parentRef"] == PARENT
    assert told(parent["conditions"]) == {
        "Accepted": ("True", "Accepted"),
        "ResolvedRefs": ("True", "ResolvedRefs"),
    }
    assert {one["observedGeneration"] for one in parent["conditions"]} == {1}


@pytest.mark.parametrize(
    ("reference", "objects", "reason"),
    [
        (backend("missing"), [], "BackendNotFound"),
        (backend("s", port=81), [SERVICE], "BackendNotFound"),
        (backend("out"), [service("ml", "out", type="ExternalName")], "BackendNotFound"),
        (backend("s", kind="Pod"), [SERVICE], "InvalidKind"),
        (backend("s", group="example.com", kind="Service"), [SERVICE], "InvalidKind"),
        (backend("s", namespace="data"), [service("data", "s")], "RefNotPermitted"),
        (backend("missing", namespace="data"), [grant("data", "ml")], "BackendNotFound"),
        (backend("s"), [service("ml", "s", protocol="kubernetes.io/wss")], "UnsupportedProtocol"),
    ],
)
def test_a_backend_that_does_not_resolve_is_told_and_the_route_stays_accepted(
    reference: dict[str, Any], objects: list[dict[str, Any]], reason: str
) -> None:
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": reference}}
    mirrored = {"backendRefs": [backend("good")], "filters": [mirror]}
    for rule in ({"backendRefs": [reference]}, {"backendRefs": [backend("good"), reference]}, mirrored):
        assert of_route(service("ml", "good"), *objects, route("ml", "shop", rule)) == {
            "Accepted": ("True", "Accepted"),
            "ResolvedRefs": ("False", reason),
        }


def test_a_grant_permits() -> None:
    crossing = route("ml", "shop", {"backendRefs": [backend("s", namespace="data")]})
    assert of_route(service("data", "s"), grant("data", "ml"), crossing)["ResolvedRefs"][0] == "True"


LABELLED = {"kind": "Namespace", "metadata": {"name": "ml", "labels": {"team": "shop"}}}


def selecting(selector: dict[str, Any]) -> dict[str, Any]:
    return listener(allowedRoutes={"namespaces": {"from": "Selector", "selector": selector}})


@pytest.mark.parametrize(
    ("one", "changes", "accepted"),
    [
        (listener(), {}, ("True", "Accepted")),
        (listener(whence="Same"), {}, ("False", "NotAllowedByListeners")),
        (listener(whence="None"), {}, ("False", "NotAllowedByListeners")),
        (selecting({"matchLabels": {"team": "shop"}}), {}, ("True", "Accepted")),
        (selecting({"matchLabels": {"team": "other"}}), {}, ("False", "NotAllowedByListeners")),
        (
            selecting({"matchExpressions": [{"key": "team", "operator": "In", "values": ["shop"]}]}),
            {},
            ("True", "Accepted"),
        ),
        (
            selecting({"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}),
            {},
            ("False", "NotAllowedByListeners"),
        ),
        (listener(), {"sectionName": "http"}, ("True", "Accepted")),
        (listener(), {"sectionName": "other"}, ("False", "NoMatchingParent")),
        (listener(), {"port": 80}, ("True", "Accepted")),
        (listener(), {"port": 81}, ("False", "NoMatchingParent")),
        (listener(hostname="*.example.com"), {}, ("True", "Accepted")),
        (listener(hostname="*.example.org"), {}, ("False", "NoMatchingListenerHostname")),
        (listener(protocol="HTTPS"), {}, ("False", "NotAllowedByListeners")),
    ],
)
def test_whether_a_listener_takes_a_route(
    one: dict[str, Any], changes: dict[str, Any], accepted: tuple[str, str]
) -> None:
    tried = route("ml", "shop", {"backendRefs": [backend("s")]}, parents=({**PARENT, **changes},))
    seen = observe(gateway_class(), gateway(one), SERVICE, LABELLED, tried)
    (parent,) = status(seen, "HTTPRoute")["parents"]
    assert parent["parentRef"] == {**PARENT, **changes}
    assert told(parent["conditions"])["Accepted"] == accepted
    assert status(seen, "Gateway")["listeners"][0]["attachedRoutes"] == int(accepted[0] == "True")


def test_what_is_not_supported_is_not_accepted() -> None:
    rule = {"backendRefs": [backend("s")], "filters": [{"type": "URLRewrite", "urlRewrite": {}}]}
    assert of_route(SERVICE, route("ml", "shop", rule))["Accepted"] == ("False", "UnsupportedValue")


@pytest.mark.parametrize(
    ("more", "own", "whole"),
    [
        ({"protocol": "HTTPS", "port": 443}, "UnsupportedProtocol", ("True", "ListenersNotValid")),
        (
            {"allowedRoutes": {"kinds": [{"kind": "TLSRoute"}]}},
            "InvalidRouteKinds",
            ("True", "ListenersNotValid"),
        ),
    ],
)
def test_a_listener_that_cannot_be_served_is_told_beside_one_that_is(
    more: dict[str, Any], own: str, whole: tuple[str, str]
) -> None:
    said = status(observe(gateway_class(), gateway(listener(), listener("odd", **more))), "Gateway")
    assert told(said["conditions"]) == {"Accepted": whole, "Programmed": ("True", "Programmed")}
    good, odd = said["listeners"]
    assert all(state == "True" for state, _ in told(good["conditions"]).values())
    assert own in {reason for state, reason in told(odd["conditions"]).values() if state == "False"}
    assert odd["supportedKinds"] == []


def test_a_gateway_without_a_listener_that_can_be_served_is_not_accepted() -> None:
    said = status(observe(gateway_class(), gateway(listener(protocol="TCP"))), "Gateway")
    assert told(said["conditions"]) == {
        "Accepted": ("False", "ListenersNotValid"),
        "Programmed": ("False", "Invalid"),
    }


# ---- whose words are whose ----


def test_other_controllers_classes_gateways_and_parents_are_left_alone() -> None:
    theirs = {"parentRef": {"name": "other"}, "controllerName": "example.com/other", "conditions": []}
    both = route("ml", "shop", {"backendRefs": [backend("s")]}, parents=({"name": "other"}, PARENT))
    both["status"] = {"parents": [theirs]}
    alien = route("ml", "alien", {}, parents=({"namespace": "kserve", "name": "other"},))
    objects = (
        gateway_class(),
        gateway(),
        gateway_class("theirs", "example.com/other"),
        gateway(klass="theirs", name="other"),
    )
    written = differing(observe(*objects, SERVICE, both, alien), NOW)
    assert [(obj["kind"], obj["metadata"]["name"]) for obj, _ in written] == [
        ("GatewayClass", "ecomdeploy-local"),
        ("Gateway", "kserve-ingress-gateway"),
        ("HTTPRoute", "shop"),
    ]
    others, own = written[-1][1]["parents"]
    assert others == theirs
    assert own["parentRef"] == PARENT


def test_nothing_is_written_twice() -> None:
    assert differing(settled(observe(SERVICE, ROUTE)), LATER) == []


def test_a_parent_that_is_gone_takes_what_was_said_of_it_along() -> None:
    seen = settled(observe(SERVICE, ROUTE))
    (had,) = seen.routes
    moved = had | {"spec": had["spec"] | {"parentRefs": []}}
    said = status(observe(*seen.classes, *seen.gateways, SERVICE, moved), "HTTPRoute", LATER)
    assert said == {"parents": []}


def test_the_time_of_a_condition_is_that_of_its_change() -> None:
    seen = settled(observe(SERVICE, ROUTE))
    (had,) = seen.routes
    changed = had | {"metadata": had["metadata"] | {"generation": 2}}
    (parent,) = status(observe(*seen.classes, *seen.gateways, changed), "HTTPRoute", LATER)["parents"]
    times = {one["type"]: one["lastTransitionTime"] for one in parent["conditions"]}
    assert times == {"Accepted": NOW, "ResolvedRefs": LATER}
    assert {one["observedGeneration"] for one in parent["conditions"]} == {2}
