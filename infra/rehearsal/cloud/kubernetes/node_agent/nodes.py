"""The agent's nodes: pretended machines, told to the API server with what they can hold, and that they are alive.

kubernetes.io/docs/reference/node/node-status/; leases: kubernetes.io/docs/concepts/architecture/leases/
"""

from __future__ import annotations

import json
import os
import platform
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.kubernetes.client import KubernetesClient, KubernetesRefused, KubernetesUnreachable, Object
from infra.kubernetes.follow import Follow
from infra.kubernetes.objects import now, precise_now
from modelpack.errors import BadInput

LABEL = "ecomdeploy.dev/agent"
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
    return held | ({"nvidia.com/gpu": str(wanted.gpus)} if wanted.gpus else {})


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
    """Its own nodes are there and stay alive, and so do those that others make and leave to it by `LABEL`."""

    def __init__(
        self, client: KubernetesClient, own: Iterable[NodeWanted], port: int, changed: Callable[[], object]
    ) -> None:
        """`port`: of the kubelet API; `changed` is called when nodes come or go."""
        self._client = client
        self._own = {wanted.name: wanted for wanted in own}
        self._port = port
        self._changed = changed
        self._woken = threading.Event()
        self._stopped = threading.Event()
        self._follow = Follow(client, "v1", "Node", changed=self._woken.set, labels=f"{LABEL}=local")
        self._kept: set[str] = set()
        self._version = ""

    def names(self) -> list[str]:
        """The nodes that are ours."""
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
                pause = EVERY_SECONDS
            except (KubernetesRefused, KubernetesUnreachable) as problem:
                print(f"nodes: {problem}", flush=True)
                pause = RETRY_SECONDS
            if self._woken.wait(pause) and not self._stopped.is_set():
                self._stopped.wait(
                    RETRY_SECONDS / 10
                )  # our own heartbeats wake us too: look at them together

    def _adopt(self) -> None:
        """Make our own where they are missing, take over those of others, let go those that are gone."""
        if not self._version:
            self._version = str(self._client.request("GET", "/version")["gitVersion"])
        if not self._follow.listed.is_set():
            return
        there = {node["metadata"]["name"] for node in self._follow.all()}
        made = set(self._own) - there
        for name in made:
            self._make(self._own[name])
        there |= made
        new, gone = (there - self._kept) | made, self._kept - there
        for name in sorted(new):
            if name not in self._own:
                # before it is ready, as a kubelet does: pods are bound only once it is
                self._tell(name, ready=False)
            self._tell(name, ready=True)
            self._renew(name)
        self._kept = there
        if new or gone:
            self._changed()

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
