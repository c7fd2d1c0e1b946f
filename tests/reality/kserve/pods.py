"""Nodes whose pods run nothing: each becomes what its annotations `lab/...` say, as when the recordings were made.

lab/ready-after SECONDS, lab/never-ready, lab/crash MESSAGE, lab/image-error; without one a pod is Ready after 0.3 s.
When that was recorded, controllers had long counted a pod when it got Ready or crashed. On a busy machine they have
not, and see another pod than KServe did: so each pod first waits for them (`have_settled`), then for its seconds.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from infra.kubernetes.client import MERGE, KubernetesClient, KubernetesRefused, KubernetesUnreachable
from infra.kubernetes.follow import Follow

Object = dict[str, Any]
GPU_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
CALM = (
    ("Ready", "True", "KubeletReady"),
    ("MemoryPressure", "False", "KubeletHasSufficientMemory"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID"),
)


NEVER_READY = frozenset({"lab/never-ready", "lab/crash", "lab/image-error"})


def is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def is_coming(pod: Object) -> bool:
    """Whether it has a node and is going to be Ready there."""
    never = NEVER_READY & (pod["metadata"].get("annotations") or {}).keys()
    return "nodeName" in pod["spec"] and not never and not is_ready(pod)


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class PretendedNodes:
    """Three nodes: two with CPUs, one with four GPUs and their taint."""

    client: KubernetesClient
    gpus: dict[str, int] = field(default_factory=lambda: {"cpu-1": 0, "cpu-2": 0, "gpu-1": 4})
    have_settled: Callable[[str], bool] = lambda _: True
    """Whether everybody has seen a namespace's pods as they are; who has more than the nodes at work says it."""
    _seen: dict[str, str] = field(default_factory=dict)
    _addresses: Iterator[int] = field(default_factory=lambda: itertools.count(2))
    _ending: threading.Event = field(default_factory=threading.Event)
    _changed: threading.Event = field(default_factory=threading.Event)

    def start(self) -> Callable[[], None]:
        """Register, and answer for pods; what ends it."""
        for name, gpus in self.gpus.items():
            self._register(name, gpus)
        self._beat()
        pods = Follow(self.client, "v1", "Pod", self._changed.set).start()
        threading.Thread(target=self._work, args=(pods,), daemon=True).start()

        def end() -> None:
            self._ending.set()
            self._changed.set()
            pods.stop()

        return end

    def _register(self, name: str, gpus: int) -> None:
        labels = {"kubernetes.io/hostname": name} | ({"nvidia.com/gpu.present": "true"} if gpus else {})
        spec = {"taints": [GPU_TAINT]} if gpus else {}
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": labels},
            "spec": spec,
        }
        try:
            self.client.create(node)
        except KubernetesRefused as refused:
            if refused.status != 409:
                raise

    def _beat(self) -> None:
        for name, gpus in self.gpus.items():
            room = {"cpu": "16", "memory": "64Gi", "pods": "110", "ephemeral-storage": "100Gi"}
            room |= {"nvidia.com/gpu": str(gpus)} if gpus else {}
            conditions = [
                {"type": kind, "status": state, "reason": reason, "lastHeartbeatTime": now()}
                for kind, state, reason in CALM
            ]
            told = {"capacity": room, "allocatable": room, "conditions": conditions}
            self.client.request(
                "PATCH", f"/api/v1/nodes/{name}/status", body={"status": told}, content_type=MERGE
            )

    def _work(self, pods: Follow) -> None:
        beaten = time.monotonic()
        while not self._ending.is_set():
            self._changed.wait(5)
            self._changed.clear()
            if time.monotonic() - beaten > 10:
                self._quietly(self._beat)
                beaten = time.monotonic()
            for pod in pods.all():
                self._look(pod)

    def _look(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        if pod["spec"].get("nodeName") not in self.gpus:
            return
        if "deletionTimestamp" in pod["metadata"]:
            if self._seen.get(uid) != "gone":
                self._seen[uid] = "gone"
                threading.Thread(target=self._quietly, args=(self._end, pod), daemon=True).start()
        elif uid not in self._seen:
            self._seen[uid] = "runs"
            threading.Thread(target=self._quietly, args=(self._run, pod), daemon=True).start()

    def _quietly(self, act: Callable[..., None], *arguments: Object) -> None:
        try:
            act(*arguments)
        except (KubernetesRefused, KubernetesUnreachable):
            return

    def _end(self, pod: Object) -> None:
        time.sleep(0.2)
        self.client.delete(pod | {"apiVersion": "v1", "kind": "Pod"}, grace=0)

    def _settle(self, pod: Object) -> None:
        """Until the pod, which runs and is not Ready, is counted."""
        while not self._ending.is_set() and not self.have_settled(pod["metadata"]["namespace"]):
            time.sleep(0.1)

    def _run(self, pod: Object) -> None:
        marks = pod["metadata"].get("annotations") or {}
        if "lab/image-error" in marks:
            waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}
            self._tell(pod, ready=False, state={"waiting": waiting})
            return
        self._tell(pod, ready=False)
        self._settle(pod)
        if "lab/crash" in marks:
            ended = {"exitCode": 1, "reason": "Error", "message": marks["lab/crash"]}
            ended |= {"startedAt": now(), "finishedAt": now()}
            time.sleep(0.3)
            self._tell(pod, ready=False, state={"terminated": ended})
            time.sleep(0.5)
            waiting = {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}
            self._tell(pod, ready=False, state={"waiting": waiting}, last={"terminated": ended})
            return
        time.sleep(float(marks.get("lab/ready-after", "0.3")))
        if "lab/never-ready" not in marks:
            self._tell(pod, ready=True)

    def _tell(
        self, pod: Object, *, ready: bool, state: Object | None = None, last: Object | None = None
    ) -> None:
        word = "True" if ready else "False"
        states = {"PodReadyToStartContainers": "True", "Initialized": "True", "PodScheduled": "True"}
        states |= {"Ready": word, "ContainersReady": word}
        containers = [
            {
                "name": one["name"],
                "image": one["image"],
                "imageID": one["image"],
                "containerID": f"lab://{hashlib.sha256(one['name'].encode()).hexdigest()}",
                "ready": ready,
                "started": not state,
                "restartCount": 1 if last else 0,
                "state": state or {"running": {"startedAt": now()}},
                "lastState": last or {},
            }
            for one in pod["spec"]["containers"]
        ]
        address = f"10.244.1.{next(self._addresses) % 250 + 2}"
        told = {
            "phase": "Pending" if state and "waiting" in state and not last else "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": now(),
            "conditions": [{"type": kind, "status": is_so} for kind, is_so in states.items()],
            "containerStatuses": containers,
        }
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status"
        self.client.request("PATCH", path, body={"status": told}, content_type=MERGE)
