"""Keep one child object as it has to be: created when absent, repaired when it drifted, with KServe's own idea of
what counts as drift for each kind (recording d8, d12, g8)."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from infra.kubernetes.client import KubernetesClient
from infra.rehearsal.cloud.kubernetes.kserve.children import Workload
from infra.rehearsal.cloud.kubernetes.kserve.words import MANAGER, Object

REVISION = "deployment.kubernetes.io/revision"
HANDED_ON = ("labels", "annotations", "ownerReferences")


def is_part(wanted: Any, found: Any) -> bool:
    """Whether everything wanted is in `found`; what else is there does not count, nor do further entries of a list."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(is_part(value, found.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) <= len(found) and all(map(is_part, wanted, found))
    return bool(wanted == found)


def owns(isvc: Object, obj: Object) -> bool:
    """Whether the InferenceService is the object's controller."""
    references = obj["metadata"].get("ownerReferences") or ()
    return any(one.get("controller") and one["uid"] == isvc["metadata"]["uid"] for one in references)


def find(client: KubernetesClient, wanted: Object) -> Object | None:
    """The stored object of that kind, namespace and name."""
    metadata = wanted["metadata"]
    return client.get(wanted["apiVersion"], wanted["kind"], metadata["name"], metadata["namespace"])


def ensure_service(client: KubernetesClient, wanted: Object) -> Object:
    """Ports and selector count; labels and annotations come along with those only."""
    found = find(client, wanted)
    if found is None:
        return client.create(wanted, MANAGER)
    parts = {name: wanted["spec"][name] for name in ("ports", "selector")}
    if parts == {name: found["spec"].get(name) for name in parts}:
        return found
    return client.replace(_dress(found, wanted) | {"spec": found["spec"] | parts}, manager=MANAGER)


def ensure_autoscaler(client: KubernetesClient, wanted: Object) -> Object:
    """Written at each reconcile; the API server stores nothing where nothing changed."""
    found = find(client, wanted)
    if found is None:
        return client.create(wanted, MANAGER)
    return client.replace(_dress(found, wanted) | {"spec": wanted["spec"]}, manager=MANAGER)


def ensure_route(client: KubernetesClient, wanted: Object) -> Object:
    """An Ingress or HTTPRoute: only what is asked for counts, and only its spec."""
    found = find(client, wanted)
    if found is None:
        return client.create(wanted, MANAGER)
    if is_part(wanted["spec"], found["spec"]):
        return found
    return client.replace(_dress(found, wanted) | {"spec": wanted["spec"]}, manager=MANAGER)


@dataclass
class Deployments:
    """Deployments, whose defaults only the API server knows: a dry run tells whether one drifted. What was found in
    order is remembered by its generation, so that its status may change without another one."""

    client: KubernetesClient
    _checked: dict[str, tuple[int, str]] = field(default_factory=dict)

    def ensure(self, work: Workload) -> Object:
        """The stored Deployment."""
        wanted = work.deployment
        found = find(self.client, wanted)
        if found is None:
            return self._remember(self.client.create(wanted, MANAGER), wanted)
        if self._checked.get(found["metadata"]["uid"]) == self._key(found, wanted):
            return found
        changed = _dress(found, wanted) | {"spec": deepcopy(wanted["spec"])}
        revision = (found["metadata"].get("annotations") or {}).get(REVISION)
        if revision is not None:
            changed["metadata"]["annotations"][REVISION] = revision
        if work.keeps_replicas:
            changed["spec"]["replicas"] = found["spec"].get("replicas", 1)
        if self.client.replace(changed, manager=MANAGER, dry_run=True)["spec"] != found["spec"]:
            found = self.client.replace(changed, manager=MANAGER)
        return self._remember(found, wanted)

    def _remember(self, found: Object, wanted: Object) -> Object:
        self._checked[found["metadata"]["uid"]] = self._key(found, wanted)
        return found

    @staticmethod
    def _key(found: Object, wanted: Object) -> tuple[int, str]:
        return found["metadata"]["generation"], json.dumps(wanted, sort_keys=True)


def _dress(found: Object, wanted: Object) -> Object:
    """The stored object with the wanted metadata."""
    metadata = found["metadata"] | {
        name: deepcopy(wanted["metadata"][name]) for name in HANDED_ON if name in wanted["metadata"]
    }
    return found | {"metadata": metadata}
