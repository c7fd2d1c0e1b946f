"""When an object is as it should be, by kind: pure rules over what is live.

The rules are those of pulumi-kubernetes (provider/pkg/await); a kind without one is ready when it is there. Two are
stricter: a Deployment that is over its progress deadline has failed at once, and a CustomResourceDefinition is ready
when its kind is served.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from infra.kubernetes.client import Object
from infra.kubernetes.objects import condition
from infra.rehearsal.providers.kubernetes.objects import WAIT_FOR, annotation, metadata_of

SETTLE_SECONDS: Final = 10.0
"""How long a Service without any pods is given to find some (service.go)."""


class ClusterReads(Protocol):
    """What is asked of the API server beside the object itself; `KubernetesClient` is one."""

    def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object | None: ...

    def list(
        self, api_version: str, kind: str, namespace: str = "", labels: str = "", fields: str = ""
    ) -> list[Object]: ...

    def knows(self, api_version: str, kind: str) -> bool: ...


@dataclass(frozen=True)
class Readiness:
    """Whether it is ready; if not, what it waits for, and whether that will never come (`failed`)."""

    ready: bool
    reason: str = ""
    failed: bool = False


@dataclass(frozen=True)
class Sighting:
    """When a rule looks: `elapsed` seconds after the call whose effect is awaited; `before` was live until then."""

    cluster: ClusterReads
    elapsed: float
    before: Object | None = None


READY: Final = Readiness(True)
Rule = Callable[[Object, Sighting], Readiness]


def judge(live: Object, sighting: Sighting) -> Readiness:
    """Whether it is ready now. An annotation `pulumi.com/waitFor` goes before its kind's own rule."""
    wanted = parse_wait_for(annotation(live, WAIT_FOR))
    if wanted:
        missing = [one for one in wanted if not one.holds(live)]
        return Readiness(not missing, "waits for " + ", ".join(one.text for one in missing))
    group = str(live.get("apiVersion", "")).rpartition("/")[0]
    rule = RULES.get((group, str(live.get("kind", ""))))
    return rule(live, sighting) if rule else READY


def _is_observed(live: Object) -> bool:
    return int(live.get("status", {}).get("observedGeneration", 0)) >= int(
        metadata_of(live).get("generation", 0)
    )


def judge_deployment(live: Object, sighting: Sighting) -> Readiness:
    """Every replica is of the newest template and available, and none is of an older one."""
    spec, status = live.get("spec", {}), live.get("status", {})
    if not _is_observed(live):
        return Readiness(False, "the deployment controller has not seen it yet")
    if spec.get("paused"):
        return READY
    wanted = int(spec.get("replicas", 1))
    total, updated, available = (
        int(status.get(key, 0)) for key in ("replicas", "updatedReplicas", "availableReplicas")
    )
    if total == updated == available == wanted:
        return READY
    words = f"{available} of {wanted} replicas are available, {updated} of the newest template"
    progress = condition(live, "Progressing")
    if progress.get("reason") == "ProgressDeadlineExceeded" and progress != condition(
        sighting.before or {}, "Progressing"
    ):
        return Readiness(False, f"{words}; ProgressDeadlineExceeded: {progress.get('message', '')}", True)
    return Readiness(False, words)


def judge_stateful_set(live: Object, sighting: Sighting) -> Readiness:
    """Every replica is ready and of the newest revision."""
    spec, status = live.get("spec", {}), live.get("status", {})
    wanted, ready = int(spec.get("replicas", 1)), int(status.get("readyReplicas", 0))
    current = spec.get("updateStrategy", {}).get("type") == "OnDelete" or (
        status.get("currentRevision") == status.get("updateRevision")
    )
    if _is_observed(live) and ready == wanted and current:
        return READY
    return Readiness(False, f"{ready} of {wanted} replicas are ready")


def judge_daemon_set(live: Object, sighting: Sighting) -> Readiness:
    """A pod of the newest template is available on every node that should have one."""
    status = live.get("status", {})
    wanted, updated, available = (
        int(status.get(key, 0))
        for key in ("desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable")
    )
    on_delete = live.get("spec", {}).get("updateStrategy", {}).get("type") == "OnDelete"
    if _is_observed(live) and available == wanted and (updated == wanted or on_delete):
        return READY
    return Readiness(False, f"pods are available on {available} of {wanted} nodes")


def judge_replication_controller(live: Object, sighting: Sighting) -> Readiness:
    """Every replica is available."""
    wanted = int(live.get("spec", {}).get("replicas", 1))
    available = int(live.get("status", {}).get("availableReplicas", 0))
    return Readiness(available == wanted, f"{available} of {wanted} replicas are available")


def judge_service(live: Object, sighting: Sighting) -> Readiness:
    """Its load balancer has an address, and the pods that it selects are ready; with no pods at all it is given
    some seconds to find them, and is then ready: nobody says that there must be any."""
    spec = live.get("spec", {})
    if spec.get("type") == "LoadBalancer" and not live.get("status", {}).get("loadBalancer", {}).get(
        "ingress"
    ):
        return Readiness(False, "its load balancer has no address yet")
    if spec.get("type") == "ExternalName" or spec.get("clusterIP") == "None" or not spec.get("selector"):
        return READY
    metadata = metadata_of(live)
    slices = sighting.cluster.list(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        metadata["namespace"],
        labels=f"kubernetes.io/service-name={metadata['name']}",
    )
    states = [
        (endpoint.get("conditions") or {}).get("ready", True)
        for one in slices
        for endpoint in one.get("endpoints") or ()
    ]
    if False in states:
        return Readiness(False, f"{states.count(False)} of the {len(states)} pods behind it are not ready")
    if states or sighting.elapsed >= SETTLE_SECONDS:
        return READY
    return Readiness(False, "no pod that spec.selector selects is ready")


def judge_ingress(live: Object, sighting: Sighting) -> Readiness:
    """A controller has given it an address."""
    there = bool(live.get("status", {}).get("loadBalancer", {}).get("ingress"))
    return Readiness(there, "no ingress controller has given it an address")


def judge_job(live: Object, sighting: Sighting) -> Readiness:
    """It has completed; a suspended one has nothing to wait for."""
    failed = condition(live, "Failed")
    if failed.get("status") == "True":
        return Readiness(False, f"{failed.get('reason', 'Failed')}: {failed.get('message', '')}", True)
    if live.get("spec", {}).get("suspend") or condition(live, "Complete").get("status") == "True":
        return READY
    status = live.get("status", {})
    words = f"{status.get('succeeded', 0)} of {live.get('spec', {}).get('completions', 1)} completions"
    return Readiness(False, f"{words}, {status.get('failed', 0)} failed pods")


def judge_pod(live: Object, sighting: Sighting) -> Readiness:
    """It is ready, or has ended well."""
    status = live.get("status", {})
    phase = status.get("phase", "Pending")
    if phase == "Failed":
        words = (
            f"{status.get('reason', 'Failed')}: {status.get('message', 'a container ended with an error')}"
        )
        return Readiness(False, words, True)
    ready = phase == "Succeeded" or condition(live, "Ready").get("status") == "True"
    return Readiness(ready, f"its phase is {phase}")


def judge_claim(live: Object, sighting: Sighting) -> Readiness:
    """It is bound, or is bound only when a pod uses it."""
    phase = live.get("status", {}).get("phase", "Pending")
    if phase == "Bound":
        return READY
    name = live.get("spec", {}).get("storageClassName", "")
    storage = sighting.cluster.get("storage.k8s.io/v1", "StorageClass", name) if name else None
    waits = bool(storage) and (storage or {}).get("volumeBindingMode") == "WaitForFirstConsumer"
    return Readiness(waits, f"its phase is {phase}, its storage class {name or '(none)'}")


def judge_volume(live: Object, sighting: Sighting) -> Readiness:
    """It is available or bound."""
    phase = live.get("status", {}).get("phase", "Pending")
    return Readiness(phase in ("Available", "Bound"), f"its phase is {phase}")


def judge_quota(live: Object, sighting: Sighting) -> Readiness:
    """Its limits are in force."""
    ready = live.get("spec", {}).get("hard") == live.get("status", {}).get("hard")
    return Readiness(ready, "its limits are not in force yet")


def judge_secret(live: Object, sighting: Sighting) -> Readiness:
    """A service account's token is there."""
    waits = live.get("type") == "kubernetes.io/service-account-token" and not live.get("data")
    return Readiness(not waits, "its token has not been issued; is its service account there?")


def judge_definition(live: Object, sighting: Sighting) -> Readiness:
    """It is established, and the API server serves its kind, which comes seconds later."""
    refused = condition(live, "NamesAccepted")
    if refused.get("status") == "False" and _reason(refused) != "NotAccepted":
        return Readiness(False, f"{_reason(refused)}: {refused.get('message', '')}", True)
    if condition(live, "Established").get("status") != "True":
        return Readiness(False, "it is not established")
    spec = live.get("spec", {})
    for version in spec.get("versions") or ():
        served = f"{spec.get('group')}/{version.get('name')}"
        if version.get("served") and not sighting.cluster.knows(
            served, spec.get("names", {}).get("kind", "")
        ):
            return Readiness(False, f"the API server does not serve {served} yet")
    return READY


def _reason(found: Mapping[str, Any]) -> str:
    return str(found.get("reason", ""))


RULES: Final[Mapping[tuple[str, str], Rule]] = {
    ("apps", "DaemonSet"): judge_daemon_set,
    ("apps", "Deployment"): judge_deployment,
    ("apps", "StatefulSet"): judge_stateful_set,
    ("batch", "Job"): judge_job,
    ("", "PersistentVolume"): judge_volume,
    ("", "PersistentVolumeClaim"): judge_claim,
    ("", "Pod"): judge_pod,
    ("", "ReplicationController"): judge_replication_controller,
    ("", "ResourceQuota"): judge_quota,
    ("", "Secret"): judge_secret,
    ("", "Service"): judge_service,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): judge_definition,
    ("networking.k8s.io", "Ingress"): judge_ingress,
}


@dataclass(frozen=True)
class Wish:
    """One part of `pulumi.com/waitFor`: a condition with a status, or a path with a value (none: that it is there)."""

    text: str
    condition: str = ""
    path: tuple[str | int, ...] = ()
    value: str | None = None

    def holds(self, live: Object) -> bool:
        """Whether the object fulfils it."""
        if self.condition:
            status = str(condition(live, self.condition).get("status", ""))
            return status.lower() == str(self.value).lower()
        found: Any = live
        for part in self.path:
            try:
                found = found[part]
            except (KeyError, IndexError, TypeError):
                return False
        text = found if isinstance(found, str) else json.dumps(found)
        return bool(self.value is None or text == self.value)


_JSONPATH: Final = re.compile(r"jsonpath=\{((?:\.[\w-]+|\[\d+\])+)\}(?:=(.*))?")
_PART: Final = re.compile(r"\.([\w-]+)|\[(\d+)\]")
_CONDITION: Final = re.compile(r"condition=([^=]+)(?:=(.+))?")


def parse_wait_for(text: str) -> tuple[Wish, ...]:
    """`condition=Ready`, `condition=Ready=False`, `jsonpath={.status.phase}=Running`, or a JSON list of such.

    Raises ValueError for another form: of JSONPath only keys and indices are known here."""
    if not text:
        return ()
    try:
        listed = json.loads(text)
    except ValueError:
        listed = text
    found: list[Wish] = []
    for one in listed if isinstance(listed, list) else [text]:
        path, named = _JSONPATH.fullmatch(str(one)), _CONDITION.fullmatch(str(one))
        if named is not None:
            found.append(Wish(str(one), condition=named[1], value=named[2] or "True"))
        elif path is not None:
            parts = tuple(word or int(index) for word, index in _PART.findall(path[1]))
            found.append(Wish(str(one), path=parts, value=path[2]))
        else:
            raise ValueError(f"{one!r} is neither condition=TYPE nor jsonpath={{.a.b}}=VALUE")
    return tuple(found)
