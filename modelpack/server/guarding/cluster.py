"""The API server as a pod reaches it: by its service account's token, for the one Lease and the one HTTPRoute that the
account may touch. Source: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.error import HTTPError
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

from modelpack.server.guarding.record import GUARD, LEASE

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
MANAGER = "ecomdeploy-rollout"
"""The field manager that owns where the route leads, whoever moves it."""
SECONDS = 10.0
APPLY, MERGE = "application/apply-patch+yaml", "application/merge-patch+json"
Object = dict[str, Any]


class Refused(Exception):
    """The API server said no, or nothing. `status`: HTTP's, 0 where nothing was said."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status


class RolloutObjects(Protocol):
    """What a guard may touch. Everything raises Refused."""

    def lease(self) -> Object | None: ...

    def replace_lease(self, lease: Object) -> Object:
        """In the place of the version it has; Refused 409 where that moved on."""
        ...

    def sign(self, rollout: str) -> None:
        """Say on the Lease that the guard of that rollout is at work."""
        ...

    def route(self) -> Object | None: ...

    def put_route(self, rules: list[Any]) -> None:
        """Where the route leads from now on."""
        ...


@dataclass(frozen=True)
class InCluster:
    """The real one. `server`: "https://HOST:PORT"."""

    server: str
    namespace: str
    endpoint: str
    lease_name: str
    account: Path = ACCOUNT

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> InCluster:
        """Of the pod's variables. Raises KeyError."""
        host = environment["KUBERNETES_SERVICE_HOST"]
        shown = f"[{host}]" if ":" in host else host
        return cls(
            server=f"https://{shown}:{environment['KUBERNETES_SERVICE_PORT']}",
            namespace=environment["ECOMDEPLOY_NAMESPACE"],
            endpoint=environment["ECOMDEPLOY_ENDPOINT"],
            lease_name=environment["ECOMDEPLOY_LEASE"],
        )

    def lease(self) -> Object | None:
        return self._get(self._lease)

    def replace_lease(self, lease: Object) -> Object:
        return self._call("PUT", self._lease, lease)

    def sign(self, rollout: str) -> None:
        self._call("PATCH", self._lease, {"metadata": {"annotations": {GUARD: rollout}}}, MERGE)

    def route(self) -> Object | None:
        return self._get(self._route)

    def put_route(self, rules: list[Any]) -> None:
        wanted = {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": self.endpoint, "namespace": self.namespace},
            "spec": {"rules": rules},
        }
        self._call("PATCH", f"{self._route}?fieldManager={MANAGER}&force=true", wanted, APPLY)

    @property
    def _lease(self) -> str:
        return f"/apis/{LEASE}/namespaces/{self.namespace}/leases/{self.lease_name}"

    @property
    def _route(self) -> str:
        return f"/apis/gateway.networking.k8s.io/v1/namespaces/{self.namespace}/httproutes/{self.endpoint}"

    def _get(self, path: str) -> Object | None:
        try:
            return self._call("GET", path)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def _call(
        self, method: str, path: str, body: Object | None = None, kind: str = "application/json"
    ) -> Object:
        try:
            # read each time: the kubelet renews it
            token = (self.account / "token").read_text().strip()
            context = ssl.create_default_context(cafile=str(self.account / "ca.crt"))
            headers = {"Authorization": f"Bearer {token}", "Accept": "application/json", "Content-Type": kind}
            data = None if body is None else json.dumps(body).encode()
            asked = Request(f"{self.server}{path}", data, headers, method=method)  # noqa: S310 - the API server's
            with build_opener(ProxyHandler({}), HTTPSHandler(context=context)).open(
                asked, timeout=SECONDS
            ) as answer:
                found: Object = json.loads(answer.read())
                return found
        except HTTPError as error:
            raise Refused(error.code, f"{method} {path}: {error.code} {error.read(300)!r}") from None
        except (OSError, ValueError) as error:
            raise Refused(0, f"{method} {path}: {getattr(error, 'reason', error)}") from None


@dataclass
class FakeRolloutObjects:
    """The fake: one Lease and one route in memory; `changes` in order; `refusals`: what the next calls raise."""

    kept: Object | None = None
    rules: list[Any] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    refusals: list[Refused] = field(default_factory=list)

    def lease(self) -> Object | None:
        self._answer()
        return self.kept

    def replace_lease(self, lease: Object) -> Object:
        self._answer()
        self.changes.append("lease")
        self.kept = lease
        return lease

    def sign(self, rollout: str) -> None:
        self._answer()
        self.changes.append(f"sign {rollout}")

    def route(self) -> Object | None:
        return {"spec": {"rules": self.rules}}

    def put_route(self, rules: list[Any]) -> None:
        self._answer()
        self.changes.append("route")
        self.rules = rules

    def _answer(self) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
