"""A lease that all who reach a cluster see: a Lease of coordination.k8s.io in the service's namespace, there while a
writer is at work and no longer (https://kubernetes.io/docs/concepts/architecture/leases/).

The record of `stacks/records/lease.py` is in an annotation; Kubernetes' own fields say the same to `kubectl get lease`.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from infra.kubernetes.base import KubernetesApi, Object
from infra.kubernetes.client import KubernetesRefused
from infra.kubernetes.objects import precise_now

LEASE = ("coordination.k8s.io/v1", "Lease")
RECORD = "ecomdeploy.dev/record"
MANAGER = "ecomdeploy"
LOST = (404, 409, 422)
"""Another writer was faster, in one of three ways."""


class LeaseObject:
    """A `stacks.records.lease.LeaseRecord` under one name."""

    def __init__(self, api: KubernetesApi, namespace: str, name: str, seconds: float) -> None:
        self.api, self.namespace, self.name, self.seconds = api, namespace, name, seconds

    def read(self, name: str) -> bytes | None:
        return record_of(self._look())

    def age(self, name: str) -> float | None:
        """By the API server's clock on both sides, so that ours need not be right: when it last took a write of ours,
        and what time it would write on a new object now."""
        found = self._look()
        if found is None:
            return None
        entries = found["metadata"].get("managedFields") or ()
        last = max((str(one.get("time", "")) for one in entries), default="")
        now = self.api.create(
            self._object({}, {}) | {"metadata": self._metadata(f"{self.name}-now")}, dry_run=True
        )
        then = moment(last or str(found["metadata"].get("creationTimestamp", "")))
        return max(0.0, (moment(now["metadata"].get("creationTimestamp", "")) - then).total_seconds())

    def write(self, name: str, data: bytes, *, was: bytes | None) -> bool:
        """A freed lease is deleted: nothing of ours stays in the namespace for having been there."""
        found = self._look()
        if record_of(found) != was:
            return False
        said = json.loads(data)
        try:
            if said.get("free"):
                return found is not None and self.api.delete(found, exactly=True)
            obj = self._object(said, {RECORD: data.decode()})
            if found is None:
                self.api.create(obj, MANAGER)
            else:
                obj["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
                self.api.replace(obj, manager=MANAGER)
        except KubernetesRefused as refused:
            if refused.status in LOST:
                return False
            raise
        return True

    def _look(self) -> Object | None:
        return self.api.get(*LEASE, self.name, self.namespace)

    def _metadata(self, name: str, annotations: dict[str, str] | None = None) -> Object:
        labels = {"app.kubernetes.io/managed-by": "ecomdeploy"}
        return {
            "name": name,
            "namespace": self.namespace,
            "labels": labels,
            "annotations": annotations or {},
        }

    def _object(self, said: dict[str, Any], annotations: dict[str, str]) -> Object:
        holder = {"holderIdentity": str(said["who"])} if "who" in said else {}
        return {
            "apiVersion": LEASE[0],
            "kind": LEASE[1],
            "metadata": self._metadata(self.name, annotations),
            "spec": {**holder, "leaseDurationSeconds": int(self.seconds), "renewTime": precise_now()},
        }


def record_of(found: Object | None) -> bytes | None:
    """The record; of a Lease without one (somebody else's, or edited) an empty one, which nobody can read."""
    if found is None:
        return None
    return str((found["metadata"].get("annotations") or {}).get(RECORD, "")).encode()


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
