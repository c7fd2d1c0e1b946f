"""The objects of a kind as they stand now: listed once, then watched, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from infra.kubernetes.client import KubernetesClient, KubernetesRefused, KubernetesUnreachable, Object

PAUSE_SECONDS = 0.5
"""Before a watch that broke off, or a kind that is not served yet, is tried again."""

Name = tuple[str, str]
"""Namespace ("" for none) and name."""


def name_of(obj: Object) -> Name:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


@dataclass
class Follow:
    """`changed` is called after each change, from this thread, and must be quick (set an event, say); `listed` is set
    once the first list is in. A restarted API server, and a kind whose CRD comes later, are waited for."""

    client: KubernetesClient
    api_version: str
    kind: str
    changed: Callable[[], object] = lambda: None
    namespace: str = ""
    labels: str = ""
    fields: str = ""
    listed: threading.Event = field(default_factory=threading.Event)
    _objects: dict[Name, Object] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def start(self) -> Follow:
        """Begin; returns itself."""
        threading.Thread(target=self._run, name=f"follow {self.kind}", daemon=True).start()
        return self

    def stop(self) -> None:
        """End after what is being read now; the thread may wait for the server's next word until then."""
        self._stopped.set()

    def all(self) -> list[Object]:
        """The objects now. Nobody may change them."""
        with self._lock:
            return list(self._objects.values())

    def get(self, name: str, namespace: str = "") -> Object | None:
        """One of them."""
        with self._lock:
            return self._objects.get((namespace, name))

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                since = self._list()
                while not self._stopped.is_set():
                    since = self._watch(since)
            except (KubernetesRefused, KubernetesUnreachable):
                self._stopped.wait(PAUSE_SECONDS)

    def _list(self) -> str:
        kind = self.client.kind(self.api_version, self.kind)
        query = {"labelSelector": self.labels} if self.labels else {}
        query |= {"fieldSelector": self.fields} if self.fields else {}
        found = self.client.request("GET", kind.path(self.namespace), **query)
        named = {"apiVersion": self.api_version, "kind": self.kind}
        with self._lock:
            self._objects = {name_of(item): named | item for item in found["items"]}
        self.listed.set()
        self.changed()
        return str(found["metadata"]["resourceVersion"])

    def _watch(self, since: str) -> str:
        selected = self.namespace, self.labels, self.fields
        for event in self.client.watch(self.api_version, self.kind, since, *selected):
            since = str(event.object["metadata"]["resourceVersion"])
            if self._stopped.is_set():
                break
            if event.type == "BOOKMARK":
                continue
            with self._lock:
                if event.type == "DELETED":
                    self._objects.pop(name_of(event.object), None)
                else:
                    self._objects[name_of(event.object)] = event.object
            self.changed()
        return since
