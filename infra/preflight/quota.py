"""The namespace's ResourceQuotas: whether the pods of a release fit beside what is used.

https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from __future__ import annotations

from collections.abc import Iterator

from infra.kubernetes.base import KubernetesApi
from infra.preflight.base import ClusterNeeds, Lack
from infra.targets.kserve.hosts import room_on
from infra.targets.kserve.manifests import GPU, ISVC, ISVC_KIND
from infra.targets.kserve.names import ENDPOINT_LABEL


def check(api: KubernetesApi, needs: ClusterNeeds) -> Iterator[Lack]:
    """Where the service runs already it is no reason to stop: what is asked for may be what runs."""
    room = room_on(needs.machine)
    one = {"cpu": room.cpu / 1000, "memory": float(room.memory_mib * 2**20)}
    asked = {"pods": 1.0, "count/pods": 1.0, **one, f"requests.{GPU}": float(room.gpus)}
    asked |= {f"{kind}.{name}": need for kind in ("requests", "limits") for name, need in one.items()}
    for quota in api.list("v1", "ResourceQuota", needs.namespace):
        spec = quota.get("spec") or {}
        if spec.get("scopes") or spec.get("scopeSelector"):
            continue
        used = (quota.get("status") or {}).get("used") or {}
        for name, hard in (spec.get("hard") or {}).items():
            free = amount(hard) - amount(used.get(name, "0"))
            need = asked.get(name, 0.0) * needs.replicas
            if need > free:
                what = (
                    f"ResourceQuota {quota['metadata']['name']} leaves {describe(free)} of {name}"
                    f" (of {hard}), and a release of {needs.replicas} x {needs.instance} takes {describe(need)}"
                )
                hint = "a larger quota, a smaller serve.instance or scale.min"
                yield Lack(what=what, hint=hint, stops=not runs(api, needs))


def runs(api: KubernetesApi, needs: ClusterNeeds) -> bool:
    """Whether the service has releases here."""
    if not api.knows(ISVC, ISVC_KIND):
        return False
    return bool(api.list(ISVC, ISVC_KIND, needs.namespace, labels=f"{ENDPOINT_LABEL}={needs.endpoint}"))


def amount(text: object) -> float:
    """A quantity ("1500m", "2Gi"); 0 where it does not read."""
    from lightkube.utils.quantity import parse_quantity

    try:
        return float(parse_quantity(str(text)) or 0)
    except ValueError:
        return 0.0


def describe(number: float) -> str:
    return f"{number / 2**30:.1f}Gi" if number >= 2**20 else f"{number:g}"
