"""The agent's nodes: pretended machines, told to the API server with what they can hold, and that they are alive.

kubernetes.io/docs/reference/node/node-status/; leases: kubernetes.io/docs/concepts/architecture/leases/

A Node that Karpenter brings is a machine that boots: not ready at first sight, or its pods would be bound to what is
not there yet, and without its GPUs until a device plugin has told of them (both measured on Karpenter 1.14).
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra import instances
from infra.kubernetes.client import KubernetesClient, KubernetesRefused, KubernetesUnreachable, Object
from infra.kubernetes.follow import Follow
from infra.kubernetes.objects import condition, now, precise_now
from modelpack.errors import BadInput

LABEL = "ecomdeploy.dev/agent"
PRETENDED = "kwok://"
"""What the provider ID of a Node of Karpenter's begins with here (addons/karpenter)."""
INSTANCE_TYPE, GPUS = "node.kubernetes.io/instance-type", "nvidia.com/gpu"
BOOT_SECONDS = 3.0
"""Of a machine that Karpenter brings; on AWS half a minute to a minute."""
LEASE_SECONDS, EVERY_SECONDS, STATUS_EVERY = 40, 10.0, 6
"""A lease's length, how often it is renewed, and at every which of these times the whole status is told."""
LEASES = "kube-node-lease"
PODS = 250
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
RETRY_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class NodeWanted:
    """One node as `nodes.json` says it: quantities as Kubernetes writes them."""

    name: str
    cpu: str = "64"
    memory: str = "256Gi"
    gpus: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, str], ...] = ()


def read_nodes(path: Path) -> tuple[NodeWanted, ...]:
    """A list of {name, cpu, memory, gpus, labels, taints}; without the file one large node. Raises BadInput."""
    if not path.exists():
        return (NodeWanted(name="local-1"),)
    try:
        listed = json.loads(path.read_text())
        return tuple(
            NodeWanted(**{**one, "cpu": str(one.get("cpu", "64")), "taints": tuple(one.get("taints", ()))})
            for one in listed
        )
    except (OSError, ValueError, TypeError, AttributeError) as problem:
        raise BadInput(f"no list of nodes: {problem}", where=str(path)) from None


def node_of(wanted: NodeWanted) -> Object:
    """The Node to make, without its status."""
    machine = ARCHITECTURES.get(platform.machine(), platform.machine())
    own = {
        "kubernetes.io/hostname": wanted.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine,
        LABEL: "local",
    }
    spec: Object = {"taints": [dict(taint) for taint in wanted.taints]} if wanted.taints else {}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": wanted.name, "labels": {**own, **wanted.labels}},
        "spec": spec,
    }


def capacity_of(wanted: NodeWanted) -> Object:
    held = {"cpu": wanted.cpu, "memory": wanted.memory, "pods": str(PODS), "ephemeral-storage": "100Gi"}
    return held | ({GPUS: str(wanted.gpus)} if wanted.gpus else {})


def is_pretended(node: Object) -> bool:
    """Whether Karpenter brought it."""
    return str(node["spec"].get("providerID", "")).startswith(PRETENDED)


def is_new(node: Object) -> bool:
    """Whether it has not booted: nobody said yet that it is ready, or that it was."""
    told = condition(node, "Ready")
    return not told or told.get("reason") == _BOOTING[0]


def machine_status(node: Object, *, ready: bool) -> Object:
    """What a machine of Karpenter's holds: its GPUs once it is ready. Of its own figures Karpenter tells only what was
    asked of it; what is left for pods it tells in full, and that stays."""
    held = instances.nodes().get((node["metadata"].get("labels") or {}).get(INSTANCE_TYPE, ""))
    if held is None:
        return {}
    whole = {"cpu": str(held.vcpus), "memory": f"{held.memory_mib}Mi"}
    gpus = {GPUS: str(held.gpu.count)} if held.gpu else {}
    usable = gpus if ready else dict.fromkeys(gpus, "0")
    return {"capacity": whole | gpus} | ({"allocatable": usable} if usable else {})


def node_status(
    name: str, before: Object, capacity: Object | None, *, ready: bool, port: int, version: str, moment: str
) -> Object:
    """The status to merge; `capacity` None leaves what stands there. `port`: of the kubelet API; `version`: of
    Kubernetes."""
    found = {one["type"]: one for one in before.get("conditions") or ()}
    told = [
        ("Ready", ready, *(_READY if ready else _BOOTING)),
        ("MemoryPressure", False, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", False, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", False, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ]
    conditions = [
        {
            "type": kind,
            "status": str(true),
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": moment,
            "lastTransitionTime": found[kind]["lastTransitionTime"]
            if found.get(kind, {}).get("status") == str(true)
            else moment,
        }
        for kind, true, reason, message in told
    ]
    others = [one for kind, one in found.items() if kind not in {kind for kind, *_ in told}]
    status: Object = {
        "conditions": [*conditions, *others],
        "addresses": [
            {"type": "InternalIP", "address": "127.0.0.1"},
            {"type": "Hostname", "address": name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "nodeInfo": _info(version),
    }
    return status | ({"capacity": capacity, "allocatable": capacity} if capacity else {})


_READY = ("KubeletReady", "the local cloud's node agent runs its pods")
_BOOTING = ("KubeletNotReady", "the local cloud's node agent has just found it")


def _info(version: str) -> Object:
    return {
        "kubeletVersion": version,
        "kubeProxyVersion": "",
        "osImage": "ecomdeploy local cloud",
        "kernelVersion": os.uname().release,
        "containerRuntimeVersion": "ecomdeploy://1",
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "operatingSystem": "linux",
        "machineID": "",
        "systemUUID": "",
        "bootID": "",
    }


class NodeKeeper:
    """Its own nodes are there and stay alive, and so do those that others make and leave to it by `LABEL`, and those
    that Karpenter brings."""

    def __init__(
        self,
        client: KubernetesClient,
        own: Iterable[NodeWanted],
        port: int,
        changed: Callable[[], object],
        boot_seconds: float = BOOT_SECONDS,
    ) -> None:
        """`port`: of the kubelet API; `changed` is called when nodes come or go."""
        self._client = client
        self._own = {wanted.name: wanted for wanted in own}
        self._port = port
        self._changed = changed
        self._boot_seconds = boot_seconds
        self._woken = threading.Event()
        self._stopped = threading.Event()
        self._follow = Follow(client, "v1", "Node", changed=self._woken.set)
        self._kept: set[str] = set()
        self._booting: dict[str, float] = {}
        """Until when, by time.monotonic()."""
        self._version = ""

    def names(self) -> list[str]:
        """The nodes that are ours, and up."""
        return sorted(self._kept)

    def start(self) -> NodeKeeper:
        """Begin; returns itself."""
        self._follow.start()
        threading.Thread(target=self._run, name="nodes", daemon=True).start()
        return self

    def stop(self) -> None:
        self._stopped.set()
        self._follow.stop()
        self._woken.set()

    def _run(self) -> None:
        beats = 0
        while not self._stopped.is_set():
            self._woken.clear()
            try:
                self._adopt()
                for name in self.names():
                    self._beat(name, whole=beats % STATUS_EVERY == 0)
                beats += 1
                pause = self._until_next()
            except (KubernetesRefused, KubernetesUnreachable) as problem:
                print(f"nodes: {problem}", flush=True)
                pause = RETRY_SECONDS
            if self._woken.wait(pause) and not self._stopped.is_set():
                self._stopped.wait(
                    RETRY_SECONDS / 10
                )  # our own heartbeats wake us too: look at them together

    def _until_next(self) -> float:
        """Seconds: a heartbeat's, or less where a machine is up before."""
        soon = min(self._booting.values(), default=float("inf")) - time.monotonic()
        return max(0.0, min(EVERY_SECONDS, soon))

    def _adopt(self) -> None:
        """Make our own where they are missing, take over those of others, let go those that are gone."""
        if not self._version:
            self._version = str(self._client.request("GET", "/version")["gitVersion"])
        if not self._follow.listed.is_set():
            return
        nodes = {node["metadata"]["name"]: node for node in self._follow.all() if self._is_ours(node)}
        made = set(self._own) - set(nodes)
        for name in made:
            self._make(self._own[name])
        there = set(nodes) | made
        up = {name for name in there if name in made or not self._boots(nodes[name])}
        new, gone = (up - self._kept) | made, self._kept - there
        for name in sorted(new):
            if name not in self._own and not is_pretended(nodes[name]):
                # before it is ready, as a kubelet does: pods are bound only once it is
                self._tell(name, ready=False)
            self._tell(name, ready=True)
            self._renew(name)
            self._booting.pop(name, None)
        self._booting = {name: until for name, until in self._booting.items() if name in there}
        self._kept = up
        if new or gone:
            self._changed()

    def _is_ours(self, node: Object) -> bool:
        labelled = (node["metadata"].get("labels") or {}).get(LABEL) == "local"
        return labelled or is_pretended(node)

    def _boots(self, node: Object) -> bool:
        """Whether a machine of Karpenter's is not up yet; one seen for the first time is told not to be ready."""
        name = node["metadata"]["name"]
        if name in self._kept or not is_pretended(node):
            return False
        if name not in self._booting:
            if not is_new(node):
                return False  # an agent before this one had it
            self._tell(name, ready=False)
            self._booting[name] = time.monotonic() + self._boot_seconds
        return time.monotonic() < self._booting[name]

    def _make(self, wanted: NodeWanted) -> None:
        try:
            self._client.create(node_of(wanted))
        except KubernetesRefused as refused:
            if refused.status != 409:
                raise

    def _beat(self, name: str, whole: bool) -> None:
        if whole:
            self._tell(name, ready=True)
        self._renew(name)

    def _tell(self, name: str, ready: bool) -> None:
        found = self._client.get("v1", "Node", name)
        if found is None:
            return
        wanted = self._own.get(name)
        status = node_status(
            name,
            found.get("status") or {},
            capacity_of(wanted) if wanted else None,
            ready=ready,
            port=self._port,
            version=self._version,
            moment=now(),
        )
        if is_pretended(found):
            status |= machine_status(found, ready=ready)
        named = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
        self._client.patch(named, {"status": status}, "status")

    def _renew(self, name: str) -> None:
        lease: dict[str, Any] = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": LEASES},
        }
        spec = {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": precise_now()}
        try:
            self._client.patch(lease, {"spec": spec})
        except KubernetesRefused as refused:
            if refused.status != 404:
                raise
            node = self._client.get("v1", "Node", name)
            if node:
                owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"]}
                lease["metadata"]["ownerReferences"] = [owner]
                self._client.create({**lease, "spec": spec})
