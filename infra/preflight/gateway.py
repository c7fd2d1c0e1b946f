"""The Gateway API's kinds, the Gateway that routes attach to, its class, and whether it takes routes of the namespace.

https://gateway-api.sigs.k8s.io/reference/spec/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from infra.kubernetes.base import KubernetesApi, Object
from infra.kubernetes.client import KubernetesRefused
from infra.kubernetes.objects import condition
from infra.preflight.base import ClusterNeeds, Lack

GROUP = "gateway.networking.k8s.io/v1"
INSTALL = "https://gateway-api.sigs.k8s.io/guides/getting-started/"


def check(api: KubernetesApi, needs: ClusterNeeds) -> Iterator[Lack]:
    missing = [kind for kind in ("GatewayClass", "Gateway", "HTTPRoute") if not api.knows(GROUP, kind)]
    if missing:
        yield Lack(
            what=f"the cluster has no {', '.join(missing)} of {GROUP}",
            hint=f"install the Gateway API: {INSTALL}",
        )
        return
    namespace, name = needs.cluster.gateway.split("/")
    gateway = api.get(GROUP, "Gateway", name, namespace)
    if gateway is None:
        hint = f"make one, or name yours (gateway: NAMESPACE/NAME): {needs.kubectl} get gateways -A"
        yield Lack(what=f"there is no Gateway {needs.cluster.gateway}", hint=hint)
        return
    yield from check_class(api, gateway, needs)
    told = condition(gateway, "Programmed")
    if told.get("status") == "False":
        words = f"{told.get('reason')}: {told.get('message', '')}"
        hint = f"{needs.kubectl} --namespace {namespace} describe gateway {name}"
        yield Lack(what=f"Gateway {needs.cluster.gateway} is not programmed ({words})", hint=hint)
    if not any(takes(api, one, namespace, needs.namespace) for one in gateway["spec"].get("listeners") or ()):
        what = (
            f"no listener of Gateway {needs.cluster.gateway} takes HTTPRoutes of namespace {needs.namespace}"
        )
        yield Lack(
            what=what, hint="allowedRoutes: {namespaces: {from: All}} on a listener, or a Selector that fits"
        )


def check_class(api: KubernetesApi, gateway: Object, needs: ClusterNeeds) -> Iterator[Lack]:
    """Classes are the whole cluster's; who may not read them is told nothing."""
    name = str(gateway["spec"].get("gatewayClassName"))
    try:
        found = api.get(GROUP, "GatewayClass", name)
    except KubernetesRefused as refused:
        if refused.status != 403:
            raise
        return
    hint = "install its controller, or name a Gateway of another class (gateway: NAMESPACE/NAME)"
    if found is None:
        yield Lack(what=f"Gateway {needs.cluster.gateway} is of a class that is not there: {name}", hint=hint)
    elif condition(found, "Accepted").get("status") != "True":
        yield Lack(what=f"no controller has taken the GatewayClass {name} up", hint=hint)


def takes(api: KubernetesApi, listener: Mapping[str, Any], here: str, namespace: str) -> bool:
    """Whether routes of that namespace may attach to a listener."""
    if listener.get("protocol") not in ("HTTP", "HTTPS"):
        return False
    allowed = (listener.get("allowedRoutes") or {}).get("namespaces") or {}
    source = allowed.get("from", "Same")
    if source in ("All", "Same"):
        return source == "All" or here == namespace
    if source != "Selector":
        return False
    found = api.get("v1", "Namespace", namespace) or {"metadata": {}}
    return fits(allowed.get("selector") or {}, found["metadata"].get("labels") or {})


def fits(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.34/#labelselector-v1-meta"""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for one in selector.get("matchExpressions") or ():
        key, values = one["key"], one.get("values") or ()
        if not {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }.get(one["operator"], False):
            return False
    return True
