"""The release records of a service on a cluster: one ConfigMap each, in its namespace, beside what they tell of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from infra.kubernetes.base import KubernetesApi, Object

RECORDS = "ecomdeploy.dev/records"
"""A label: of which endpoint."""
KEPT = "ecomdeploy.dev/kept"
"""The same for what is read only when somebody asks for one release: rollouts and packs, which are larger."""
SELDOM = ("rollouts/", "packs/")
MANAGER = "ecomdeploy"


@dataclass(frozen=True)
class ClusterRecords:
    """Publisher and Sweeper. `client` makes one of the cluster's. A bucket's name is not looked at: there is none,
    and the namespace is in its place."""

    client: Callable[[], KubernetesApi]
    namespace: str
    endpoint: str

    def is_reachable(self, bucket: str) -> bool:
        """Whether the namespace may be looked into. Raises KubernetesRefused where not."""
        self._list(RECORDS)
        return True

    def publish(self, bucket: str, records: Mapping[str, bytes]) -> int:
        there, written = self.read(bucket, tuple(records)), 0
        for key, data in records.items():
            if there.get(key) != data:
                self.client().apply(self._object(key, data), MANAGER, force=True)
                written += 1
        return written

    def names(self, bucket: str, folder: str) -> tuple[str, ...]:
        found = self._read_all(label_of(folder))
        below = (key.removeprefix(folder) for key in found if key.startswith(folder))
        return tuple(name for name in below if "/" not in name)

    def read(self, bucket: str, keys: Sequence[str]) -> Mapping[str, bytes]:
        there: dict[str, bytes] = {}
        for label in {label_of(key) for key in keys}:
            there |= self._read_all(label)
        return {key: there[key] for key in keys if key in there}

    def empty(self, bucket: str, repository: str) -> None:
        """The records go. The images stay: the registry is the user's, and many allow no deletion."""
        for found in (*self._list(RECORDS), *self._list(KEPT)):
            self.client().delete(found)

    def _list(self, label: str) -> list[Object]:
        return self.client().list("v1", "ConfigMap", self.namespace, labels=f"{label}={self.endpoint}")

    def _read_all(self, label: str) -> dict[str, bytes]:
        found = (each.get("data") or {} for each in self._list(label))
        return {each["key"]: each["record"].encode() for each in found if each.keys() >= {"key", "record"}}

    def _object(self, key: str, data: bytes) -> Object:
        digest = hashlib.sha256(key.encode()).hexdigest()[:10]
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": f"{self.endpoint}-record-{digest}",
                "namespace": self.namespace,
                "labels": {"app.kubernetes.io/managed-by": "ecomdeploy", label_of(key): self.endpoint},
            },
            "data": {"key": key, "record": data.decode()},
        }


def label_of(key: str) -> str:
    """The label of a record, or of the records of a folder."""
    return KEPT if key.startswith(SELDOM) else RECORDS
