"""The Lease of a rollout in steps, as its leader writes it (modelpack/server/guarding/record.py says what it holds)."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType

from infra.kubernetes.base import KubernetesApi, Object
from infra.kubernetes.client import KubernetesRefused
from infra.kubernetes.objects import precise_now
from infra.targets.kserve.manifests import ROUTE, ROUTE_KIND
from modelpack.errors import EcomdeployError, Unhealthy
from modelpack.server.guarding.record import (
    ALARM,
    GUARD,
    LEASE,
    LEASE_KIND,
    StepsRecord,
    lease_name,
    read_record,
    write_record,
)

TRIES = 20
BEATS = 4
"""Signs of life within the time of silence that ends a rollout."""


class WentBack(Unhealthy):
    """The rollout was turned back: by its guard, or by somebody who asked for it. `record` says why."""

    def __init__(self, record: StepsRecord) -> None:
        why = "an alarm rang" if record.cause == ALARM else record.reason
        super().__init__(f"traffic went back to {record.old}: {why}")
        self.record = record


@dataclass(frozen=True)
class RolloutLease:
    """Of one endpoint. Everything raises as `KubernetesApi` does."""

    api: KubernetesApi
    namespace: str
    endpoint: str

    def read(self) -> StepsRecord | None:
        """The last rollout in steps, however it ended; None where there was none."""
        return read_record(self._get())

    def has_guard(self, rollout: str) -> bool:
        """Whether the guard of that rollout has said that it is at work."""
        annotations = (self._get() or {}).get("metadata", {}).get("annotations") or {}
        return annotations.get(GUARD) == rollout

    def begin(self, record: StepsRecord) -> None:
        """The Lease of a new rollout; it goes with the route.

        Raises:
            EcomdeployError: another rollout is under way, or the route is gone.
        """
        route = self.api.get(ROUTE, ROUTE_KIND, self.endpoint, self.namespace)
        if route is None:
            raise EcomdeployError(f"there is no endpoint {self.endpoint}", hint="ecomdeploy up makes it")
        there = self._get()
        before = read_record(there)
        if before and before.watching:
            raise EcomdeployError(f"{self.endpoint} is on its way to {before.new}; wait until that has ended")
        owner = {key: route[key] for key in ("apiVersion", "kind")} | {
            key: route["metadata"][key] for key in ("name", "uid")
        }
        bare: Object = {
            "apiVersion": LEASE,
            "kind": LEASE_KIND,
            "metadata": {
                "name": lease_name(self.endpoint),
                "namespace": self.namespace,
                "labels": dict(route["metadata"].get("labels") or {}),
                "ownerReferences": [owner],
            },
        }
        wanted = self._renew(write_record(there or bare, record), record)
        self.api.replace(wanted) if there else self.api.create(wanted)

    def change(self, rollout: str, edit: Callable[[StepsRecord], StepsRecord]) -> StepsRecord:
        """Write another record of a rollout that is under way, and with it a sign of life.

        Raises:
            WentBack: it was turned back. Unhealthy: there is another, or it has ended.
        """
        for _ in range(TRIES):
            lease = self._get()
            record = read_record(lease)
            if lease is None or record is None or record.id != rollout:
                raise Unhealthy(f"another rollout of {self.endpoint} has begun meanwhile")
            if not record.watching:
                raise WentBack(record)
            edited = edit(record)
            try:
                self.api.replace(self._renew(write_record(lease, edited), edited))
                return edited
            except KubernetesRefused as refused:
                if refused.status != 409:
                    raise
        raise EcomdeployError(f"the Lease {lease_name(self.endpoint)} changes again and again")

    def mark_restored(self, rollout: str) -> None:
        """All traffic is on the old release again; nothing where another rollout has begun."""
        lease = self._get()
        record = read_record(lease)
        if lease is not None and record is not None and record.id == rollout and not record.restored:
            try:
                self.api.replace(write_record(lease, replace(record, restored=True)))
            except KubernetesRefused as refused:
                if refused.status != 409:  # the guard wrote the same
                    raise

    def _get(self) -> Object | None:
        return self.api.get(LEASE, LEASE_KIND, lease_name(self.endpoint), self.namespace)

    def _renew(self, lease: Object, record: StepsRecord) -> Object:
        spec = {
            **(lease.get("spec") or {}),
            "holderIdentity": f"{socket.gethostname()}/{os.getpid()}",
            "leaseDurationSeconds": max(1, round(record.silence)),
            "renewTime": precise_now(),
        }
        return {**lease, "spec": spec}


class Heartbeat:
    """Signs of life while a rollout is led, however long one look at it takes. A cloud that does not answer is asked
    again; a rollout that was turned back is told by the next look."""

    def __init__(self, lease: RolloutLease, record: StepsRecord) -> None:
        self._lease, self._record = lease, record
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(self._record.silence / BEATS):
            try:
                self._lease.change(self._record.id, lambda record: record)
            except Unhealthy:
                return
            except EcomdeployError:
                continue
