"""What of a Kubernetes API server most need of it, and its fake. `KubernetesClient` is the real one."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from infra.kubernetes.client import Forwarded, KubernetesRefused
from modelpack.errors import EcomdeployError

Object = dict[str, Any]


class KubernetesApi(Protocol):
    """Objects as plain dicts; every call raises as `KubernetesClient`'s."""

    def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object | None: ...

    def list(
        self, api_version: str, kind: str, namespace: str = "", labels: str = "", fields: str = ""
    ) -> list[Object]: ...

    def apply(self, obj: Object, manager: str, *, force: bool = False, dry_run: bool = False) -> Object: ...

    def patch(self, obj: Object, change: object, subresource: str = "", manager: str = "") -> Object: ...

    def create(self, obj: Object, manager: str = "", *, dry_run: bool = False) -> Object: ...

    def replace(self, obj: Object, subresource: str = "", manager: str = "") -> Object: ...

    def delete(self, obj: Object, *, exactly: bool = False) -> bool: ...

    def knows(self, api_version: str, kind: str) -> bool: ...

    def text(self, path: str, **query: str) -> str: ...

    def forward(
        self, path: str, body: bytes, headers: Mapping[str, str], seconds: float
    ) -> AbstractContextManager[Forwarded]: ...


@dataclass
class FakeKubernetes:
    """The fake: objects in memory, and no controller at work on them. `texts`: by path; `changes`: what was changed, in
    order; `managers`: who applied an object last; `failures`: what the next reads raise, one each; `unserved`: kinds
    that the server does not know; `denied`: what whoever asks may not, as "verb resource"; `refusals`: by kind, what
    a create of one raises; `forwarded`: the answers of what is behind the proxy, by path; `asked`: path and Host
    header of each.
    `moment`: what time it is there."""

    objects: dict[tuple[str, str, str], Object] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    managers: dict[tuple[str, str, str], str] = field(default_factory=dict)
    failures: list[EcomdeployError] = field(default_factory=list)
    unserved: set[str] = field(default_factory=set)
    denied: set[str] = field(default_factory=set)
    refusals: dict[str, EcomdeployError] = field(default_factory=dict)
    forwarded: dict[str, Forwarded] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    moment: str = "2026-01-01T00:00:00Z"
    _versions: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def put(self, obj: Object) -> Object:
        """An object as it is to stand there."""
        self.objects[key_of(obj)] = copy.deepcopy(obj)
        return obj

    def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object | None:
        if self.failures:
            raise self.failures.pop(0)
        return copy.deepcopy(self.objects.get((kind, namespace, name)))

    def list(
        self, api_version: str, kind: str, namespace: str = "", labels: str = "", fields: str = ""
    ) -> list[Object]:
        wanted = dict(one.split("=", 1) for one in labels.split(",") if one)
        return [
            copy.deepcopy(one)
            for (of, where, _), one in sorted(self.objects.items())
            if of == kind
            and namespace in ("", where)
            and wanted.items() <= (one["metadata"].get("labels") or {}).items()
        ]

    def apply(self, obj: Object, manager: str, *, force: bool = False, dry_run: bool = False) -> Object:
        at = key_of(obj)
        self.changes.append(f"apply {at[0]} {at[2]}")
        self.managers[at] = manager
        self.objects[at] = merge(self.objects.get(at, {}), obj)
        return copy.deepcopy(self.objects[at])

    def patch(self, obj: Object, change: object, subresource: str = "", manager: str = "") -> Object:
        at = key_of(obj)
        self.changes.append(f"patch {at[0]} {at[2]}" + (f" {subresource}" if subresource else ""))
        self.objects[at] = merge(self.objects[at], change if isinstance(change, dict) else {})
        return copy.deepcopy(self.objects[at])

    def create(self, obj: Object, manager: str = "", *, dry_run: bool = False) -> Object:
        if obj["kind"] == "SelfSubjectAccessReview":
            wanted = obj["spec"]["resourceAttributes"]
            resource = "/".join(part for part in (wanted["resource"], wanted.get("subresource", "")) if part)
            return {**obj, "status": {"allowed": f"{wanted['verb']} {resource}" not in self.denied}}
        if obj["kind"] in self.refusals:
            raise self.refusals[obj["kind"]]
        at = key_of(obj)
        if at in self.objects:
            raise KubernetesRefused(409, "AlreadyExists", f"{at[0]} {at[2]} already exists")
        born = merge(obj, {"metadata": {"creationTimestamp": self.moment}})
        return born if dry_run else self._keep(born, "create")

    def replace(self, obj: Object, subresource: str = "", manager: str = "") -> Object:
        at = key_of(obj)
        there = self.objects.get(at, {"metadata": {}})["metadata"].get("resourceVersion")
        if there != obj["metadata"].get("resourceVersion"):
            raise KubernetesRefused(409, "Conflict", f"{at[0]} {at[2]} has been modified")
        return self._keep(obj, "replace")

    def _keep(self, obj: Object, verb: str) -> Object:
        at = key_of(obj)
        self.changes.append(f"{verb} {at[0]} {at[2]}")
        entry = {"manager": "somebody", "operation": "Update", "time": self.moment}
        news = {"resourceVersion": str(next(self._versions)), "managedFields": [entry]}
        self.objects[at] = merge(obj, {"metadata": news})
        return copy.deepcopy(self.objects[at])

    def delete(self, obj: Object, *, exactly: bool = False) -> bool:
        at = key_of(obj)
        there = self.objects.get(at, {"metadata": {}})["metadata"].get("resourceVersion")
        if exactly and there != obj["metadata"]["resourceVersion"]:
            raise KubernetesRefused(409, "Conflict", f"{at[0]} {at[2]} has been modified")
        self.changes.append(f"delete {at[0]} {at[2]}")
        return self.objects.pop(at, None) is not None

    def knows(self, api_version: str, kind: str) -> bool:
        return kind not in self.unserved

    def text(self, path: str, **query: str) -> str:
        return self.texts[path]

    @contextmanager
    def forward(
        self, path: str, body: bytes, headers: Mapping[str, str], seconds: float
    ) -> Iterator[Forwarded]:
        self.asked.append((path, headers["Host"]))
        yield self.forwarded[path]


def key_of(obj: Mapping[str, Any]) -> tuple[str, str, str]:
    metadata = obj["metadata"]
    return obj["kind"], metadata.get("namespace", ""), metadata["name"]


def merge(old: Mapping[str, Any], new: Mapping[str, Any]) -> Object:
    """RFC 7386: mappings are merged, null takes away, all else is put in the place of what was."""
    found = dict(old)
    for name, value in new.items():
        if value is None:
            found.pop(name, None)
        elif isinstance(value, Mapping):
            found[name] = merge(found[name] if isinstance(found.get(name), Mapping) else {}, value)
        else:
            found[name] = copy.deepcopy(value)
    return found
