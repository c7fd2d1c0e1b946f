"""Whether any node has room for a pod: with the GPU that the image is for, its label, and no taint that keeps it off.

None of it stops anybody: an autoscaler may bring the node, and a full cluster may be emptier in a minute.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from infra.kubernetes.base import KubernetesApi, Object
from infra.kubernetes.distributions import Distribution, distributions
from infra.preflight.base import ClusterNeeds, Lack
from infra.preflight.quota import amount
from infra.targets.kserve.hosts import room_on
from infra.targets.kserve.manifests import GPU

AUTOSCALER = "a larger node or another serve.instance; where an autoscaler brings nodes, nothing"


def check(api: KubernetesApi, needs: ClusterNeeds) -> Iterator[Lack]:
    nodes = [one for one in api.list("v1", "Node") if not (one.get("spec") or {}).get("unschedulable")]
    told = distributions()[needs.cluster.distribution]
    yield from check_distribution(nodes, told)
    machine, room = needs.machine, room_on(needs.machine)
    if machine.gpu:
        values = told.gpu_values(machine.name, machine.gpu.name)
        nodes = [one for one in nodes if labels(one).get(told.gpu_label) in values]
        if not nodes:
            listed = " or ".join(values) or f"of {machine.gpu.name}, which {told.name} is not known to have"
            what = f"no node has the label {told.gpu_label}: {listed} ({machine.name})"
            yield Lack(
                what=what, hint="label GPU nodes so, or another distribution: of the environment", stops=False
            )
            return
    asked = {"cpu": room.cpu / 1000, "memory": room.memory_mib * 2**20, GPU: float(room.gpus)}
    large = [one for one in nodes if all(has(one, name) >= need for name, need in asked.items())]
    if not large:
        most = f"{room.cpu}m of CPU, {room.memory_mib}Mi" + (f", {room.gpus} of {GPU}" if room.gpus else "")
        what = f"no node is large enough for a pod of {machine.name} ({most})"
        yield Lack(what=what, hint=AUTOSCALER, stops=False)
        return
    tolerated = {GPU, *(key for key, _ in told.taints)} if machine.gpu else set()
    kept = [taints(one) - tolerated for one in large]
    if all(kept):
        listed = ", ".join(sorted(set().union(*kept)))
        what = f"every node that is large enough has a taint that keeps the pods off: {listed}"
        yield Lack(what=what, hint=AUTOSCALER, stops=False)


def check_distribution(nodes: Sequence[Object], told: Distribution) -> Iterator[Lack]:
    """Whether the nodes are of the cloud that the environment says."""
    ids = [str((one.get("spec") or {}).get("providerID", "")) for one in nodes]
    for other in distributions().values():
        if other.provider_id and other != told and any(each.startswith(other.provider_id) for each in ids):
            what = f"the nodes are {other.name}'s, and the environment says distribution: {told.name}"
            yield Lack(what=what, hint=f"distribution: {other.name}", stops=False)


def labels(node: Object) -> dict[str, str]:
    return node["metadata"].get("labels") or {}


def has(node: Object, resource: str) -> float:
    """What a node has to give of it."""
    return amount(((node.get("status") or {}).get("allocatable") or {}).get(resource, "0"))


def taints(node: Object) -> set[str]:
    """Those that keep pods off."""
    listed = (node.get("spec") or {}).get("taints") or ()
    return {str(one["key"]) for one in listed if one.get("effect") in ("NoSchedule", "NoExecute")}
