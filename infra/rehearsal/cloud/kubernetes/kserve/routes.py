"""What brings callers to an InferenceService in Standard mode: an Ingress, HTTPRoutes, or nothing. Pure functions."""

from __future__ import annotations

from infra.rehearsal.cloud.kubernetes.kserve.children import (
    KServeSettings,
    annotations_for_children,
    child_name,
    entry_component,
    host_of,
    is_cluster_local,
    owner_reference,
)
from infra.rehearsal.cloud.kubernetes.kserve.words import Component, Object


def wanted_routes(isvc: Object, settings: KServeSettings) -> list[Object]:
    """The objects that bring callers in: an Ingress, HTTPRoutes (those of components first), or none."""
    if settings.routes == "none" or is_cluster_local(isvc):
        return []
    if settings.routes == "ingress":
        return [_ingress(isvc, settings)]
    parts: list[Component] = ["predictor"]
    parts += [one for one in ("transformer", "explainer") if one in isvc["spec"]]
    entry = entry_component(isvc)
    own = [_http_route(isvc, child_name(isvc, one), one, settings) for one in parts]
    return [*own, _http_route(isvc, isvc["metadata"]["name"], entry, settings)]


def _ingress(isvc: Object, settings: KServeSettings) -> Object:
    name = isvc["metadata"]["name"]
    predictor = child_name(isvc, "predictor")
    backends = [(name, child_name(isvc, entry_component(isvc)))]
    if "transformer" in isvc["spec"]:
        # recorded: the transformer's own host leads to the predictor
        backends.append((child_name(isvc, "transformer"), predictor))
    if "explainer" in isvc["spec"]:
        backends.append((child_name(isvc, "explainer"),) * 2)
    backends.append((predictor, predictor))
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": _route_metadata(isvc, name),
        "spec": {
            "ingressClassName": settings.ingress_class,
            "rules": [
                {"host": host_of(front, isvc, settings), "http": {"paths": [_ingress_path(back)]}}
                for front, back in backends
            ],
        },
    }


def _ingress_path(service: str) -> Object:
    backend = {"service": {"name": service, "port": {"number": 80}}}
    return {"path": "/", "pathType": "Prefix", "backend": backend}


def _http_route(isvc: Object, name: str, component: Component, settings: KServeSettings) -> Object:
    namespace = isvc["metadata"]["namespace"]
    told = [
        {"name": "KServe-Isvc-Name", "value": isvc["metadata"]["name"]},
        {"name": "KServe-Isvc-Namespace", "value": namespace},
    ]
    backend = {
        "group": "",
        "kind": "Service",
        "name": child_name(isvc, component),
        "namespace": namespace,
        "port": 80,
        "weight": 1,
    }
    rule = {
        "backendRefs": [backend],
        "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": told}}],
        "matches": [{"path": {"type": "RegularExpression", "value": "^/.*$"}}],
        "timeouts": {"request": f"{isvc['spec'][component].get('timeout', 60)}s"},
    }
    parent = {
        "group": "gateway.networking.k8s.io",
        "kind": "Gateway",
        "namespace": settings.gateway[0],
        "name": settings.gateway[1],
    }
    metadata = _route_metadata(isvc, name)
    labels = isvc["metadata"].get("labels")
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": metadata | ({"labels": labels} if labels else {}),
        "spec": {
            "hostnames": [host_of(name, isvc, settings)],
            "parentRefs": [parent],
            "rules": [rule],
        },
    }


def _route_metadata(isvc: Object, name: str) -> Object:
    return {
        "name": name,
        "namespace": isvc["metadata"]["namespace"],
        "annotations": annotations_for_children(isvc),
        "ownerReferences": [owner_reference(isvc)],
    }
