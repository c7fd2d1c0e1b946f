"""A Kubernetes API server, spoken to in its own JSON: objects are plain dicts, of any kind that the server knows.

`lightkube` reads the kubeconfig (certificates, tokens, exec plug-ins) and makes the HTTP client; paths and verbs are
the API's own: https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.kubernetes.kinds import Event as Event
from infra.kubernetes.kinds import Kind as Kind
from infra.kubernetes.refusals import KubernetesRefused as KubernetesRefused
from infra.kubernetes.refusals import KubernetesUnreachable as KubernetesUnreachable
from infra.kubernetes.refusals import is_passing as is_passing
from infra.kubernetes.refusals import is_starting, read_refusal
from modelpack.errors import BadInput

Object = dict[str, Any]
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
SECONDS = 30.0
STARTING_SECONDS, STARTING_PAUSE = 20.0, 0.25
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, AssertionError)
"""What lightkube raises over a kubeconfig that is none."""


@dataclass(frozen=True)
class Forwarded:
    """An answer that came by a proxy."""

    status: int
    headers: Any
    """By name, in any case."""
    parts: Iterator[bytes]


class KubernetesClient:
    """One context of a kubeconfig. Thread-safe.

    Every call raises `KubernetesRefused` for what the server refuses, `KubernetesUnreachable` where none answers.
    """

    def __init__(
        self,
        kubeconfig: Path,
        context: str = "",
        variables: Mapping[str, str] | None = None,
        patience: float = STARTING_SECONDS,
    ) -> None:
        """`variables`: what a program that gives tokens is started with, over this process's own; `patience`: seconds
        for which a server that is only starting is asked again."""
        self._patience = patience
        self._variables = {**os.environ, **(variables or {})}
        self.kubeconfig = kubeconfig
        self.context = context
        self._kinds: dict[tuple[str, str], Kind] = {}
        self._lock = threading.Lock()
        self.namespace = ""
        """The context's own; "default" where it names none."""
        self._http = self._connect()

    def _connect(self) -> Any:
        from lightkube.config.client_adapter import Client, ConnectionParams
        from lightkube.config.kubeconfig import KubeConfig
        from lightkube.core.exceptions import ConfigError
        from yaml import YAMLError

        from infra.kubernetes.exec_login import ExecLogin

        try:
            # trust_env: a proxy of the user's is for what lies outside, and would be asked for loopback too
            config = KubeConfig.from_file(self.kubeconfig).get(self.context or None)
            if config is None:
                raise ConfigError("it has no current context")
            self.namespace = config.namespace
            local = str(config.cluster.server).startswith(("https://127.", "https://localhost"))
            made = Client(config, ConnectionParams(timeout=SECONDS, trust_env=not local))  # type: ignore[arg-type]
            if config.user is not None and config.user.exec is not None:
                made.auth = ExecLogin(config.user.exec, describe(config.cluster), self._variables)
            return made
        except (ConfigError, OSError, *UNREADABLE, YAMLError) as error:
            words = f"it lacks {error}" if isinstance(error, KeyError) else str(error) or "cannot be used"
            raise BadInput(
                f"kubeconfig {self.kubeconfig}: {words}",
                hint="kubectl config get-contexts",
            ) from None

    # ---- verbs ----

    def request(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        content_type: str = "application/json",
        **query: str,
    ) -> Any:
        """One call; the decoded JSON of the answer. `query`: parameters by the API's own names."""
        content = None if body is None else json.dumps(body).encode()
        answer = self._send(method, path, content, content_type, query)
        return answer.json() if answer.content else {}

    def text(self, path: str, **query: str) -> str:
        """An answer that is no JSON: logs, health."""
        return str(self._send("GET", path, None, "text/plain", query).text)

    @contextmanager
    def forward(
        self, path: str, body: bytes, headers: Mapping[str, str], seconds: float
    ) -> Iterator[Forwarded]:
        """One POST by a `proxy` subresource, once; the answer as it comes, whatever its status. The Host header goes
        on to what is asked (apimachinery's UpgradeAwareHandler leaves it). `KubernetesUnreachable` comes of a
        `TimeoutError` where nothing was said for so long."""
        import httpx2

        timeout = httpx2.Timeout(SECONDS, read=seconds)
        try:
            with self._http.stream(
                "POST", path, content=body, headers=dict(headers), timeout=timeout
            ) as answer:
                yield Forwarded(answer.status_code, answer.headers, answer.iter_bytes())
        except httpx2.TimeoutException as error:
            raise KubernetesUnreachable(f"no answer by the API server's proxy ({path})") from TimeoutError(
                str(error)
            )
        except httpx2.HTTPError as error:
            raise KubernetesUnreachable(f"the API server's proxy ({path}) broke off: {error}") from error

    def _send(
        self, method: str, path: str, content: bytes | None, content_type: str, query: Mapping[str, str]
    ) -> Any:
        """The answer; a server that is only starting has done nothing with it yet, and is asked again for a while."""
        patient_until = time.monotonic() + self._patience
        while True:
            answer = self._ask(method, path, content, content_type, query)
            if answer.status_code < 400:
                return answer
            refusal = read_refusal(answer.status_code, answer.text)
            if not is_starting(refusal) or time.monotonic() > patient_until:
                raise refusal
            time.sleep(STARTING_PAUSE)

    def _ask(
        self, method: str, path: str, content: bytes | None, content_type: str, query: Mapping[str, str]
    ) -> Any:
        import httpx2

        # of a body that is none no type is told: /version refuses one that it does not know
        kind = {} if content is None else {"Content-Type": content_type}
        headers = {**kind, "Accept": "application/json, */*"}
        try:
            return self._http.request(method, path, content=content, headers=headers, params=dict(query))
        except httpx2.HTTPError as error:
            raise KubernetesUnreachable(
                f"the Kubernetes API server at {self._http.base_url} does not answer: {error}"
            ) from None

    def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object | None:
        """One object; None when there is none, or the server does not know its kind."""
        try:
            return self._object("GET", self.kind(api_version, kind).path(namespace, name))
        except KubernetesRefused as refused:
            if refused.status == 404:
                return None
            raise

    def list(
        self, api_version: str, kind: str, namespace: str = "", labels: str = "", fields: str = ""
    ) -> list[Object]:
        """All objects of a kind (of a namespace), each with its `apiVersion` and `kind`, which lists leave out."""
        found = self.request(
            "GET", self.kind(api_version, kind).path(namespace), **_selectors(labels, fields)
        )
        named = {"apiVersion": api_version, "kind": kind}
        return [named | item for item in found["items"]]

    def apply(
        self, obj: Object, manager: str, *, force: bool = False, dry_run: bool = False, strict: bool = False
    ) -> Object:
        """Server-side apply as that field manager. A conflict with another's fields is `KubernetesRefused` (409) with
        the fields in `causes`, unless `force`. `strict` refuses fields that the kind does not have."""
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        query |= {"fieldValidation": "Strict"} if strict else {}
        query |= {"dryRun": "All"} if dry_run else {}
        return self._object("PATCH", self.path_of(obj), obj, APPLY, query)

    def create(self, obj: Object, manager: str = "", *, dry_run: bool = False) -> Object:
        """A new object. 409 (`AlreadyExists`) when it is there."""
        query = {"fieldManager": manager} if manager else {}
        path = self.kind(obj["apiVersion"], obj["kind"]).path(obj["metadata"].get("namespace", ""))
        return self._object(
            "POST", path, obj, "application/json", query | ({"dryRun": "All"} if dry_run else {})
        )

    def replace(
        self, obj: Object, subresource: str = "", manager: str = "", *, dry_run: bool = False
    ) -> Object:
        """Put the object in the place of the one with its name and resourceVersion (409 when that moved on)."""
        query = {"fieldManager": manager} if manager else {}
        query |= {"dryRun": "All"} if dry_run else {}
        return self._object("PUT", self.path_of(obj, subresource), obj, query=query)

    def patch(self, obj: Object, change: object, subresource: str = "", manager: str = "") -> Object:
        """A merge patch (RFC 7386) of the object with this one's kind, namespace and name."""
        query = {"fieldManager": manager} if manager else {}
        return self._object("PATCH", self.path_of(obj, subresource), change, MERGE, query)

    def delete(
        self, obj: Object, *, grace: int | None = None, propagation: str = "Background", exactly: bool = False
    ) -> bool:
        """Begin to delete it; False when there is none. `grace` in seconds. It is gone later (finalizers). `exactly`:
        only as it is in hand (409 when it moved on)."""
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        if exactly:
            options["preconditions"] = {key: obj["metadata"][key] for key in ("uid", "resourceVersion")}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        try:
            self._object("DELETE", self.path_of(obj), options)
        except KubernetesRefused as refused:
            if refused.status == 404:
                return False
            raise
        return True

    def watch(
        self, api_version: str, kind: str, since: str, namespace: str = "", labels: str = "", fields: str = ""
    ) -> Iterator[Event]:
        """What happens after the resource version `since`, until the server ends it (some minutes).

        `KubernetesRefused` 410 when that version is too old: list again."""
        import httpx2

        query = {"watch": "true", "resourceVersion": since, "allowWatchBookmarks": "true"}
        query |= {"timeoutSeconds": "240", **_selectors(labels, fields)}
        path = self.kind(api_version, kind).path(namespace)
        timeout = httpx2.Timeout(SECONDS, read=300)
        try:
            with self._http.stream("GET", path, params=query, timeout=timeout) as answer:
                if answer.status_code >= 400:
                    raise read_refusal(answer.status_code, answer.read().decode("utf-8", "replace"))
                for line in answer.iter_lines():
                    said = json.loads(line)
                    if said["type"] == "ERROR":
                        raise read_refusal(said["object"].get("code", 500), json.dumps(said["object"]))
                    yield Event(type=said["type"], object=said["object"])
        except httpx2.HTTPError as error:
            raise KubernetesUnreachable(f"a watch of {kind} broke off: {error}") from None

    def _object(
        self,
        method: str,
        path: str,
        body: object = None,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Object:
        found: Object = self.request(method, path, body=body, content_type=content_type, **(query or {}))
        return found

    # ---- discovery ----

    def kind(self, api_version: str, kind: str) -> Kind:
        """A kind by discovery, asked once. `KubernetesRefused` (404) when the server does not serve it."""
        with self._lock:
            if (api_version, kind) not in self._kinds:
                with suppress_absent():
                    self._discover(api_version)
            found = self._kinds.get((api_version, kind))
        if found is None:
            raise KubernetesRefused(404, "NotFound", f"the cluster has no {kind} of {api_version}")
        return found

    def knows(self, api_version: str, kind: str) -> bool:
        """Whether the server serves that kind now."""
        try:
            self.kind(api_version, kind)
        except KubernetesRefused as refused:
            if refused.status == 404:
                return False
            raise
        return True

    def _discover(self, api_version: str) -> None:
        path = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
        for found in self.request("GET", path)["resources"]:
            if "/" not in found["name"]:
                self._kinds[api_version, found["kind"]] = Kind(
                    api_version=api_version,
                    kind=found["kind"],
                    plural=found["name"],
                    namespaced=found["namespaced"],
                    verbs=frozenset(found["verbs"]),
                )

    def path_of(self, obj: Object, subresource: str = "") -> str:
        """The path of that object."""
        metadata = obj["metadata"]
        kind = self.kind(obj["apiVersion"], obj["kind"])
        return kind.path(metadata.get("namespace", ""), metadata["name"], subresource)

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()


def describe(cluster: Any) -> dict[str, str]:
    """What a program that gives tokens may know of the API server (client.authentication.k8s.io/v1, `Cluster`)."""
    known = {"server": cluster.server, "certificate-authority-data": cluster.certificate_auth_data}
    return {name: str(value) for name, value in known.items() if value}


@contextmanager
def suppress_absent() -> Iterator[None]:
    """A group that the server does not have is said in the words of the kind that was looked for."""
    try:
        yield
    except KubernetesRefused as refused:
        if refused.status != 404:
            raise


def _selectors(labels: str, fields: str) -> dict[str, str]:
    return {name: text for name, text in (("labelSelector", labels), ("fieldSelector", fields)) if text}
