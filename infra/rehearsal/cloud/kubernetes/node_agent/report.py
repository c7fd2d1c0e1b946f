"""What the API server knows of a pod, kept up with what its runner sees."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from infra.kubernetes.client import KubernetesRefused, KubernetesUnreachable, Object
from infra.kubernetes.objects import now
from infra.rehearsal.cloud.kubernetes.node_agent.pod_store import PodStore
from infra.rehearsal.cloud.kubernetes.node_agent.status import earlier_view, status_of


class PodReport:
    """One pod's. `pod` is as the API server has it, `address` its own once it has one; with `gone` nothing is told."""

    def __init__(self, pod: Object, store: PodStore) -> None:
        self.pod = pod
        self.view = earlier_view(pod, now())
        self.address = ""
        self.gone = False
        self._store = store
        self._began = (pod.get("status") or {}).get("startTime") or now()
        self._written: Object | None = None
        self._said = ""

    def show(self, **changes: Any) -> None:
        """Change fields of the view, and tell."""
        self.view = replace(self.view, **changes)
        self.write()

    def write(self) -> None:
        """Tell what is not known yet; where the API server does not answer, the next look tries again."""
        if self.gone:
            return
        before = self._written or self.pod.get("status") or {}
        status = status_of(self.pod, self.view, before, address=self.address, began=self._began, now=now())
        if status == self._written:
            return
        try:
            self._store.write_status(self.pod, status)
        except KubernetesUnreachable:
            return
        except KubernetesRefused as refused:
            self.say(f"its status is refused: {refused}")
        self._written = status

    def say(self, words: str) -> None:
        """Onto the log of this part; the same again is not said."""
        if words != self._said:
            print(f"pod {self.pod['metadata']['name']}: {words}", flush=True)
            self._said = words

    def tell(self, reason: str, message: str, *, warning: bool = False) -> None:
        """An event."""
        self._store.tell(self.pod, reason, message, warning=warning)
