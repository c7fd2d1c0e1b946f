"""Pods that do as their image says, for a control plane without a kubelet: nothing runs.

A pod asks for them by `schedulerName: puppets`, so that neither the scheduler nor a node agent takes it. Image `fine`
becomes ready, `absent` cannot be pulled, `crash` ends with 3, `slow` runs and is never ready.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

from infra.kubernetes.client import KubernetesClient, KubernetesRefused, Object

SCHEDULER = "puppets"
NODE = "puppets-1"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class PodPuppets:
    """One node, and a thread that moves its pods until `stop`."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client
        self._ended = threading.Event()
        self._numbers: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        if self._client.get("v1", "Node", NODE) is None:
            self._client.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
        self._beat()
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(30)

    def _beat(self) -> None:
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready"}
        status = {"conditions": [{**ready, "lastHeartbeatTime": _now(), "lastTransitionTime": _now()}]}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
        self._client.patch(node, {"status": status}, "status")

    def _run(self) -> None:
        rounds = 0
        while not self._ended.wait(0.1):
            rounds += 1
            if rounds % 80 == 0:
                self._beat()
            for pod in self._client.list("v1", "Pod"):
                if pod["spec"].get("schedulerName") == SCHEDULER:
                    try:
                        self._move(pod)
                    except KubernetesRefused as refused:
                        if refused.status not in (404, 409):
                            raise

    def _move(self, pod: Object) -> None:
        metadata = pod["metadata"]
        if metadata.get("deletionTimestamp"):
            self._client.delete(pod, grace=0)
        elif not pod["spec"].get("nodeName"):
            binding = {
                "apiVersion": "v1",
                "kind": "Binding",
                "metadata": {"name": metadata["name"]},
                "target": {"apiVersion": "v1", "kind": "Node", "name": NODE},
            }
            path = self._client.kind("v1", "Pod").path(metadata["namespace"], metadata["name"], "binding")
            self._client.request("POST", path, body=binding)
        elif not pod.get("status", {}).get("containerStatuses"):
            self._client.patch(pod, {"status": self._status(pod)}, "status")

    def _status(self, pod: Object) -> Object:
        number = self._numbers.setdefault(pod["metadata"]["uid"], len(self._numbers) + 10)
        containers = [self._container(one) for one in pod["spec"]["containers"]]
        ready = all(one["ready"] for one in containers)
        conditions = [
            {"type": kind, "status": str(ready), "lastTransitionTime": _now()}
            for kind in ("Ready", "ContainersReady")
        ]
        address = f"10.99.{number // 250}.{number % 250}"
        return {
            "phase": "Running" if ready else "Pending",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "hostIP": "127.0.0.1",
            "conditions": conditions,
            "containerStatuses": containers,
        }

    @staticmethod
    def _container(container: Any) -> Object:
        image = str(container["image"])
        state: Object = {"running": {"startedAt": _now()}}
        last: Object = {}
        if image.startswith("absent"):
            state = {
                "waiting": {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{image}"'}
            }
        elif image.startswith("crash"):
            state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting"}}
            last = {
                "terminated": {"exitCode": 3, "reason": "Error", "message": "ModuleNotFoundError: own_shop"}
            }
        return {
            "name": container["name"],
            "image": image,
            "imageID": "",
            "ready": image.startswith("fine"),
            "restartCount": 0,
            "state": state,
            "lastState": last,
        }
