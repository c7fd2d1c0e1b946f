"""The node agent: every pod that the API server has on one of its nodes has a runner here, and no other pod does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from infra.kubernetes.client import Object
from infra.rehearsal.cloud.kubernetes.node_agent.pod import Means, PodRunner

END_SECONDS = 15.0
"""How long all servers together may take to end with the agent."""


class NodeAgent:
    """`pods`: those there are, on whatever node; `nodes`: the names of ours. Thread-safe."""

    def __init__(
        self, means: Means, pods: Callable[[], Iterable[Object]], nodes: Callable[[], Iterable[str]]
    ) -> None:
        self._means = means
        self._pods = pods
        self._nodes = nodes
        self._runners: dict[str, PodRunner] = {}
        self._lock = threading.Lock()
        self._stopped = False

    def nodes(self) -> list[str]:
        """The names of its nodes."""
        return sorted(self._nodes())

    def runners(self) -> list[PodRunner]:
        """One for each pod."""
        with self._lock:
            return list(self._runners.values())

    def find(self, namespace: str, name: str) -> PodRunner | None:
        """The runner of one pod."""
        for runner in self.runners():
            metadata = runner.pod["metadata"]
            if (metadata["namespace"], metadata["name"]) == (namespace, name):
                return runner
        return None

    def reconcile(self) -> None:
        """Begin what is new, tell each what changed of it, end what is gone."""
        mine = set(self._nodes())
        wanted = {pod["metadata"]["uid"]: pod for pod in self._pods() if pod["spec"].get("nodeName") in mine}
        with self._lock:
            if self._stopped:
                return
            if not self._runners:
                addresses = ((pod.get("status") or {}).get("podIP") for pod in wanted.values())
                self._means.addresses.keep(ip for ip in addresses if ip)
            for uid, pod in wanted.items():
                runner = self._runners.get(uid)
                if runner is None:
                    self._runners[uid] = PodRunner(pod, self._means).start()
                elif runner.pod is not pod:
                    runner.update(pod)
            for uid in set(self._runners) - set(wanted):
                self._runners.pop(uid).leave(gone=True)

    def stop(self) -> None:
        """End every server, all at once; their pods are another agent's then."""
        with self._lock:
            self._stopped = True
            runners = list(self._runners.values())
        for runner in runners:
            runner.leave(gone=False)
        until = time.monotonic() + END_SECONDS
        for runner in runners:
            runner.done.wait(max(0.0, until - time.monotonic()))
        self._means.host.stop_all()
