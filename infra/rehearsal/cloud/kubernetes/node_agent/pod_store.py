"""What the node agent asks of the API server: the protocol, its fake, and the real one over `KubernetesClient`."""

from __future__ import annotations

import base64
import copy
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from infra.kubernetes.client import (
    KubernetesClient,
    KubernetesRefused,
    KubernetesUnreachable,
    Object,
    is_passing,
)
from infra.kubernetes.objects import now
from modelpack.errors import EcomdeployError

Store = Literal["ConfigMap", "Secret"]
TOKEN_SECONDS = 24 * 3600
"""A kubelet renews a token; here none lives so long that it must."""
COMPONENT = "kubelet"
"""Who events say they are from: what reads them (kubectl, our own status) looks for a kubelet's."""


class PodStore(Protocol):
    """Thread-safe. Everything raises KubernetesUnreachable where no API server answers or it refuses for now, which
    passes, and KubernetesRefused for what it refuses for a reason."""

    def write_status(self, pod: Object, status: Object) -> None:
        """Merge it into the pod's status; nothing for a pod that is gone."""
        ...

    def finish(self, pod: Object) -> None:
        """Its containers have ended: the API server may forget it."""
        ...

    def tell(self, pod: Object, reason: str, message: str, *, warning: bool = False) -> None:
        """An event of the pod. One that is lost is not told again."""
        ...

    def values(self, store: Store, namespace: str, name: str) -> Mapping[str, str] | None:
        """What a ConfigMap or a Secret holds, as text; None when there is none."""
        ...

    def account(self, pod: Object) -> Mapping[str, str]:
        """The files of its service account by name, with the variables that say where the API server is."""
        ...


def as_told(refused: KubernetesRefused) -> EcomdeployError:
    """A refusal as pods hear it: what etcd's restart or too many calls make of an answer is as none."""
    return (
        KubernetesUnreachable(f"the API server refuses for now: {refused}")
        if is_passing(refused)
        else refused
    )


@dataclass
class FakePodStore:
    """The fake: statuses by pod name as merge patches leave them, every event, what was finished. `refusals`: what the
    API server answers to the next calls of a method, one each."""

    statuses: dict[str, Object] = field(default_factory=dict)
    history: dict[str, list[Object]] = field(default_factory=dict)
    finished: list[str] = field(default_factory=list)
    events: list[tuple[str, str, str]] = field(default_factory=list)
    stores: dict[tuple[str, str, str], Mapping[str, str]] = field(default_factory=dict)
    away: bool = False
    refusals: dict[str, list[KubernetesRefused]] = field(default_factory=dict)

    def write_status(self, pod: Object, status: Object) -> None:
        self._answer("write_status")
        name = pod["metadata"]["name"]
        self.statuses[name] = self.statuses.get(name, {}) | copy.deepcopy(status)
        self.history.setdefault(name, []).append(self.statuses[name])

    def finish(self, pod: Object) -> None:
        self._answer("finish")
        self.finished.append(pod["metadata"]["name"])

    def tell(self, pod: Object, reason: str, message: str, *, warning: bool = False) -> None:
        self.events.append((pod["metadata"]["name"], reason, message))

    def values(self, store: Store, namespace: str, name: str) -> Mapping[str, str] | None:
        self._answer("values")
        return self.stores.get((store, namespace, name))

    def account(self, pod: Object) -> Mapping[str, str]:
        self._answer("account")
        where = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}
        return {**where, "token": "a token", "namespace": pod["metadata"]["namespace"], "ca.crt": "a CA"}

    def _answer(self, method: str) -> None:
        if self.away:
            raise KubernetesUnreachable("the API server is away")
        if refusals := self.refusals.get(method):
            raise as_told(refusals.pop(0))


class KubernetesPodStore:
    """The real one. The same event again only raises its count, as a kubelet's does."""

    def __init__(self, client: KubernetesClient, port: int = 0, authority: Path | None = None) -> None:
        """`port`: of the API server on loopback; `authority`: the certificate that it is known by."""
        self._client = client
        self._port = port
        self._authority = authority
        self._told: dict[tuple[str, str, str], tuple[str, int]] = {}
        self._lock = threading.Lock()

    def write_status(self, pod: Object, status: Object) -> None:
        # the uid: of a pod deleted by force another one may have the name by now
        change = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}
        try:
            self._client.patch(_reference(pod), change, "status")
        except KubernetesRefused as refused:
            if refused.status not in (404, 409):
                raise as_told(refused) from None

    def finish(self, pod: Object) -> None:
        # a grace period in the query is ignored where there is a body
        options = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": pod["metadata"]["uid"]},
        }
        try:
            self._client.request("DELETE", self._client.path_of(_reference(pod)), body=options)
        except KubernetesRefused as refused:
            if refused.status not in (404, 409):
                raise as_told(refused) from None

    def tell(self, pod: Object, reason: str, message: str, *, warning: bool = False) -> None:
        key = (pod["metadata"]["uid"], reason, message)
        with self._lock:
            name, count = self._told.get(key, ("", 0))
        try:
            name = self._count(pod, name, count + 1) or self._create(pod, reason, message, warning)
        except (KubernetesRefused, KubernetesUnreachable):
            return  # its namespace is being deleted, or the API server restarts
        with self._lock:
            self._told[key] = name, count + 1

    def forget(self, pod: Object) -> None:
        """The pod is gone, and with it its events' counts."""
        with self._lock:
            for key in [key for key in self._told if key[0] == pod["metadata"]["uid"]]:
                del self._told[key]

    def _count(self, pod: Object, name: str, count: int) -> str:
        """The name of the event whose count was raised; "" when there is none (any more)."""
        if not name:
            return ""
        event = _object("Event", pod["metadata"]["namespace"], name)
        try:
            self._client.patch(event, {"count": count, "lastTimestamp": now()})
        except KubernetesRefused as refused:
            if refused.status == 404:
                return ""
            raise
        return name

    def _create(self, pod: Object, reason: str, message: str, warning: bool) -> str:
        metadata, moment = pod["metadata"], now()
        name = f"{metadata['name'][:230]}.{uuid.uuid4().hex[:16]}"
        container = pod["spec"]["containers"][0]["name"]
        self._client.create(
            _object("Event", metadata["namespace"], name)
            | {
                "involvedObject": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "name": metadata["name"],
                    "namespace": metadata["namespace"],
                    "uid": metadata["uid"],
                    "resourceVersion": metadata["resourceVersion"],
                    "fieldPath": f"spec.containers{{{container}}}",
                },
                "reason": reason,
                "message": message[:1024],
                "type": "Warning" if warning else "Normal",
                "count": 1,
                "firstTimestamp": moment,
                "lastTimestamp": moment,
                "source": {"component": COMPONENT, "host": pod["spec"]["nodeName"]},
                "reportingComponent": COMPONENT,
                "reportingInstance": pod["spec"]["nodeName"],
            }
        )
        return name

    def values(self, store: Store, namespace: str, name: str) -> Mapping[str, str] | None:
        try:
            found = self._client.get("v1", store, name, namespace)
        except KubernetesRefused as refused:
            raise as_told(refused) from None
        if found is None:
            return None
        data: dict[str, str] = found.get("data") or {}
        if store == "ConfigMap":
            return data
        return {key: base64.b64decode(text).decode("utf-8", "replace") for key, text in data.items()}

    def account(self, pod: Object) -> Mapping[str, str]:
        space, name = pod["metadata"]["namespace"], pod["spec"]["serviceAccountName"]
        owner = {
            "kind": "Pod",
            "apiVersion": "v1",
            "name": pod["metadata"]["name"],
            "uid": pod["metadata"]["uid"],
        }
        asked = {"spec": {"expirationSeconds": TOKEN_SECONDS, "boundObjectRef": owner}}
        path = f"/api/v1/namespaces/{space}/serviceaccounts/{name}/token"
        try:
            found = self._client.request("POST", path, body=asked)
        except KubernetesRefused as refused:
            raise as_told(refused) from None
        return {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(self._port),
            "token": str(found["status"]["token"]),
            "namespace": space,
            "ca.crt": self._authority.read_text() if self._authority else "",
        }


def _reference(pod: Object) -> Object:
    return _object("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"])


def _object(kind: str, namespace: str, name: str) -> Object:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"namespace": namespace, "name": name}}
