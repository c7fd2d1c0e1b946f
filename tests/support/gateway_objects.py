"""Objects of the Gateway API and of Services as an API server gives them, short."""

from __future__ import annotations

from typing import Any

from infra.rehearsal.cloud.kubernetes.gateway.observed import API, SERVICE_OF_SLICE, Observed
from infra.rehearsal.cloud.kubernetes.places import CONTROLLER, GATEWAY, GATEWAY_CLASS

Object = dict[str, Any]
GATEWAY_NAMESPACE, GATEWAY_NAME = GATEWAY.split("/")
FIRST = "2026-01-01T00:00:00Z"


def service(namespace: str, name: str, *ports: int, protocol: str | None = None, **spec: Any) -> Object:
    """A Service; each port has the name `p<number>`."""
    listed = [
        {"name": f"p{number}", "port": number, "protocol": "TCP"}
        | ({"appProtocol": protocol} if protocol else {})
        for number in ports or (80,)
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"ports": listed, **spec},
    }


def endpoints(
    namespace: str, name: str, *found: tuple[str, bool | None], port: int = 80, at: int = 8080
) -> Object:
    """An EndpointSlice of a Service's port: addresses and whether each is ready."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": namespace,
            "name": f"{name}-{port}",
            "labels": {SERVICE_OF_SLICE: name},
        },
        "addressType": "IPv4",
        "ports": [{"name": f"p{port}", "port": at, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": [address], "conditions": {} if ready is None else {"ready": ready}}
            for address, ready in found
        ],
    }


def backend(name: str, weight: int = 1, port: int = 80, **more: Any) -> Object:
    return {"name": name, "port": port, "weight": weight, **more}


def route(
    namespace: str,
    name: str,
    *rules: Object,
    hosts: tuple[str, ...] = ("shop.example.com",),
    created: str = FIRST,
    parents: tuple[Object, ...] = ({"namespace": GATEWAY_NAMESPACE, "name": GATEWAY_NAME},),
) -> Object:
    return {
        "apiVersion": API,
        "kind": "HTTPRoute",
        "metadata": {"namespace": namespace, "name": name, "generation": 1, "creationTimestamp": created},
        "spec": {"parentRefs": list(parents), "hostnames": list(hosts), "rules": list(rules)},
    }


def gateway_class(name: str = GATEWAY_CLASS, controller: str = CONTROLLER) -> Object:
    return {
        "apiVersion": API,
        "kind": "GatewayClass",
        "metadata": {"name": name, "generation": 1},
        "spec": {"controllerName": controller},
    }


def listener(name: str = "http", *, whence: str = "All", **more: Any) -> Object:
    return {
        "name": name,
        "port": 80,
        "protocol": "HTTP",
        "allowedRoutes": {"namespaces": {"from": whence}},
        **more,
    }


def gateway(*listeners: Object, klass: str = GATEWAY_CLASS, name: str = GATEWAY_NAME) -> Object:
    return {
        "apiVersion": API,
        "kind": "Gateway",
        "metadata": {"namespace": GATEWAY_NAMESPACE, "name": name, "generation": 1},
        "spec": {"gatewayClassName": klass, "listeners": list(listeners or (listener(),))},
    }


def grant(namespace: str, whose: str, service_name: str | None = None) -> Object:
    """Lets HTTPRoutes of `whose` name the Services (that one) of `namespace`."""
    to = {"group": "", "kind": "Service"} | ({"name": service_name} if service_name else {})
    group = "gateway.networking.k8s.io"
    return {
        "apiVersion": f"{group}/v1beta1",
        "kind": "ReferenceGrant",
        "metadata": {"namespace": namespace, "name": f"from-{whose}"},
        "spec": {"from": [{"group": group, "kind": "HTTPRoute", "namespace": whose}], "to": [to]},
    }


def observe(*objects: Object) -> Observed:
    """Those, with the Gateway that the local cloud has when none is among them."""
    if not any(one["kind"] == "Gateway" for one in objects):
        objects = (gateway_class(), gateway(), *objects)

    def kind(name: str) -> tuple[Object, ...]:
        return tuple(one for one in objects if one["kind"] == name)

    return Observed(
        classes=kind("GatewayClass"),
        gateways=kind("Gateway"),
        routes=kind("HTTPRoute"),
        grants=kind("ReferenceGrant"),
        namespaces=kind("Namespace"),
        services=kind("Service"),
        slices=kind("EndpointSlice"),
    )
