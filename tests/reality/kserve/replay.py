"""A recording's steps done again, on a real control plane with pods that run nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from waiting import wait_for

from infra.kubernetes.client import KubernetesClient, KubernetesRefused, KubernetesUnreachable
from infra.rehearsal.cloud.kubernetes.kserve.words import API_VERSION, KIND
from tests.reality.kserve.accepted_differences import accepted
from tests.reality.kserve.recordings import Object, differences, plain, recording

DEADLINE = 90.0
"""Seconds until a step has to look as recorded. Far more than it takes."""
CHILDREN = (
    ("apps/v1", "Deployment"),
    ("v1", "Service"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("networking.k8s.io/v1", "Ingress"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
)
Act = Callable[[KubernetesClient, str], None]


@dataclass
class StoredStatuses:
    """Every stored status of one object in order, equal neighbours once."""

    client: KubernetesClient
    namespace: str
    rows: list[Object] = field(default_factory=list)
    _ending: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def watched(self) -> Iterator[StoredStatuses]:
        """From now on, until the block is left."""
        kind = self.client.kind(API_VERSION, KIND)
        since = self.client.request("GET", kind.path(self.namespace))["metadata"]["resourceVersion"]
        threading.Thread(target=self._watch, args=(str(since),), daemon=True).start()
        try:
            yield self
        finally:
            self._ending.set()

    def _watch(self, since: str) -> None:
        try:
            while not self._ending.is_set():
                for event in self.client.watch(API_VERSION, KIND, since, self.namespace):
                    if self._ending.is_set():
                        return
                    since = str(event.object["metadata"]["resourceVersion"])
                    if event.type != "BOOKMARK":
                        self._add(event.type, event.object)
        except (KubernetesRefused, KubernetesUnreachable):
            return

    def _add(self, kind: str, obj: Object) -> None:
        metadata = obj["metadata"]
        row = {
            "event": kind,
            "generation": metadata["generation"],
            "finalizers": metadata.get("finalizers"),
            "deleting": "deletionTimestamp" in metadata,
            "status": plain(obj.get("status"), self.namespace),
        }
        if not self.rows or self.rows[-1] != row:
            self.rows.append(row)


def found_children(client: KubernetesClient, namespace: str) -> dict[str, list[Object]]:
    """What is in the namespace, as the recordings have it."""
    told: dict[str, list[Object]] = {}
    for version, kind in CHILDREN:
        if client.knows(version, kind):
            some = [_child(kind, plain(one, namespace)) for one in client.list(version, kind, namespace)]
            if some:
                told[kind] = sorted(some, key=lambda one: one["metadata"]["name"])
    return told


def _child(kind: str, obj: Object) -> Object:
    """Without what says nothing about the one that made it: status, kind, the Deployment controller's revision."""
    told = {key: deepcopy(one) for key, one in obj.items() if key not in ("apiVersion", "kind", "status")}
    told["metadata"].pop("generation", None)
    if kind == "Deployment":
        told["metadata"]["annotations"].pop("deployment.kubernetes.io/revision", None)
    return told


def recorded_children(step: Object) -> dict[str, list[Object]]:
    return {kind: [_child(kind, one) for one in some] for kind, some in step["children"].items()}


def change_between(before: Any, after: Any) -> Object:
    """The merge patch that leads from one to the other."""
    change: Object = {}
    for key in before.keys() | after.keys():
        if key not in after:
            change[key] = None
        elif key not in before or not isinstance(after[key], dict) or not isinstance(before[key], dict):
            if before.get(key) != after[key]:
                change[key] = after[key]
        elif inner := change_between(before[key], after[key]):
            change[key] = inner
    return change


def asked_change(before: Object, after: Object) -> Object:
    """What somebody changed of the stored object: its spec, labels and annotations."""
    parts = [
        {
            "metadata": {key: one["metadata"].get(key, {}) for key in ("labels", "annotations")},
            "spec": one["spec"],
        }
        for one in (before, after)
    ]
    return change_between(*parts)


def create(client: KubernetesClient, isvc: Object, namespace: str) -> None:
    client.create(isvc | {"metadata": isvc["metadata"] | {"namespace": namespace}})


def is_served(client: KubernetesClient) -> bool:
    """Whether the kind is there and its webhooks answer."""
    try:
        client.list(API_VERSION, KIND)
        obj = recording("a1")["input"] | {"metadata": {"name": "probe", "namespace": "default"}}
        client.create(obj, dry_run=True)
    except KubernetesRefused:
        return False
    return True


def until_alike(look: Callable[[], list[str]]) -> list[str]:
    """What still differs when the deadline is over; nothing as soon as nothing does."""
    end = time.monotonic() + DEADLINE
    while (told := look()) and time.monotonic() < end:
        time.sleep(0.1)
    return told


def unlike(client: KubernetesClient, namespace: str, step: Object, known: set[str]) -> list[str]:
    """How the object and its children differ from a recorded step, but for what is known to in the status."""
    isvc = client.get(API_VERSION, KIND, step["stored"]["metadata"]["name"], namespace)
    assert isvc is not None
    mine = plain(isvc, namespace)
    told = list(differences(found_children(client, namespace), recorded_children(step)))
    told += differences(mine["spec"], step["stored"]["spec"], "spec")
    return told + unlike_status(mine.get("status"), step, known)


def unlike_status(mine: Object | None, step: Object, known: set[str]) -> list[str]:
    found = differences(mine, step["stored"].get("status"))
    return [f"status{line}" for line in found if line.split(": ")[0] not in known]


def milestones(rows: list[Object]) -> list[Any]:
    """The order of what the statuses say, equal neighbours once: readiness, and of a service that is Ready whether its
    model is. Reasons and counts on the way follow how quick pods and controllers are; `test_kserve_status.py` has them.
    """
    told: list[Any] = []
    for row in rows:
        status = row["status"] or {}
        words = {one["type"]: one["status"] for one in status.get("conditions", [])}
        ready = {kind: words.get(kind) for kind in ("Ready", "IngressReady", "Stopped")}
        loaded = status.get("modelStatus", {}).get("transitionStatus") if ready["Ready"] == "True" else None
        kept = {key: one for key, one in row.items() if key != "status"}
        one = kept | ready | {"loaded": loaded}
        if not told or told[-1] != one:
            told.append(one)
    return told


@dataclass
class Replay:
    """A recording played again. `by_hand`: what somebody did in a step beside changing the object; `at_rest`: whether
    nothing is under way in a namespace any more."""

    client: KubernetesClient
    namespace: str
    by_hand: Mapping[str, Act]
    at_rest: Callable[[str], bool]

    def play(self, name: str) -> None:
        """All steps, compared after each; then the order of the statuses."""
        found = recording(name)
        isvc = {**found["input"], "metadata": found["input"]["metadata"] | {"namespace": self.namespace}}
        before: Object = {}
        with StoredStatuses(KubernetesClient(self.client.kubeconfig), self.namespace).watched() as order:
            for step in found["steps"]:
                begun = len(order.rows)
                if not before:
                    self.client.create(isvc)
                if act := self.by_hand.get(step["step"]):
                    act(self.client, self.namespace)
                if before and (change := asked_change(before, step["stored"])):
                    self.client.patch(isvc, change)
                before = step["stored"]
                self._compare(name, step, order, begun)
            wait_for(lambda: milestones(order.rows)[-1:] == milestones(found["timeline"])[-1:])
        mine, theirs = milestones(order.rows), milestones(found["timeline"])
        assert (mine == theirs) or "order" in accepted("timeline", name), list(differences(mine, theirs))

    def _compare(self, name: str, step: Object, order: StoredStatuses, begun: int) -> None:
        """The step is seen as it was recorded, and is still so once nothing is under way any more: the stand-in may yet
        undo it, and what it has not looked at yet it undoes in a later step. A status recorded on the way to another
        may be over before it is looked at: it has to be among those stored since the step began."""
        known = accepted("status", name, step["step"])
        client, namespace = self.client, self.namespace

        def passed() -> list[str]:
            told = unlike(client, namespace, step, known)
            was_so = any(not unlike_status(row["status"], step, known) for row in order.rows[begun:])
            return [line for line in told if not (was_so and line.startswith("status"))]

        assert not until_alike(passed), step["step"]
        wait_for(lambda: self.at_rest(namespace))
        moved = accepted("rest", name, step["step"])
        told = unlike(client, namespace, step, known)
        assert {line.split(": ")[0].removeprefix("status") for line in told} == moved, (step["step"], told)
