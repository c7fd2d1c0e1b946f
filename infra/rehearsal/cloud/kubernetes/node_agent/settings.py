"""What a pod asks of its container, as the model server's environment; and what it asks that is not to be had here.

Fields: kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/; references to other variables:
kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from infra.kubernetes.client import Object
from infra.rehearsal.cloud.kubernetes.node_agent.pod_store import Store
from infra.rehearsal.cloud.servers.host import NO_ERRAND, Errand
from modelpack.errors import EcomdeployError

PORT_VARIABLE, PORT = "SAGEMAKER_BIND_TO_PORT", 8080
"""Where a model server listens, whatever its pod declares (modelpack/server/main.py)."""
REFERENCE = re.compile(r"\$(\$|\(([-._a-zA-Z][-._a-zA-Z0-9]*)\))")
IN_MEMORY = ("/tmp", "/dev/shm")  # noqa: S108 - of the container
"""Every server has these for itself: a volume there takes nothing from it."""
TOKENS = "/var/run/secrets/kubernetes.io/serviceaccount"
API_VARIABLES = ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")
KEY = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")

Values = Callable[[Store, str, str], Mapping[str, str] | None]
"""What a ConfigMap or Secret holds, by kind, namespace and name."""
Account = Callable[[Object], Mapping[str, str]]
"""The files of a pod's service account, by name."""


class Unconfigured(EcomdeployError):
    """The container cannot be made as its pod asks: a kubelet's CreateContainerConfigError, tried again."""


@dataclass(frozen=True, kw_only=True)
class ContainerSettings:
    """`port`: the one it listens on, for the pod. `secrets` are handed to it past its environment."""

    port: int
    environment: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)
    errand: Errand = NO_ERRAND


def served_port(pod: Object) -> int:
    """The port the pod's server listens on. Raises Unconfigured."""
    for one in pod["spec"]["containers"][0].get("env", ()):
        if one["name"] == PORT_VARIABLE:
            said = one.get("value", "")
            if not said.isdecimal() or not 0 < int(said) < 65536:
                raise Unconfigured(f"{PORT_VARIABLE} must be a port, not {said!r}")
            return int(said)
    return PORT


def check_supported(pod: Object) -> None:
    """Raises Unconfigured for what a model server of the local cloud cannot be given."""
    lacks = list(_lacks(pod["spec"]))
    if lacks:
        raise Unconfigured(f"the local cloud cannot give this pod {'; '.join(lacks)}")


def _lacks(spec: Object) -> Iterator[str]:
    container = spec["containers"][0]
    if len(spec["containers"]) > 1:
        yield "a second container: each model server has a network of its own"
    if spec.get("initContainers"):
        yield "init containers"
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield name
    if container.get("command"):
        yield "another command than its image's own (args it can)"
    volumes = {volume["name"]: volume for volume in spec.get("volumes", ())}
    for mount in container.get("volumeMounts", ()):
        path = mount["mountPath"].rstrip("/")
        memory = "emptyDir" in volumes.get(mount["name"], {}) and path in IN_MEMORY
        if path != TOKENS and not memory:
            yield f"the volume {mount['name']!r} at {path} (an emptyDir at {' or '.join(IN_MEMORY)} it can)"
    lifecycle = container.get("lifecycle") or {}
    if "postStart" in lifecycle or set(lifecycle.get("preStop", {})) - {"sleep"}:
        yield "lifecycle hooks other than preStop.sleep"
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container.get(kind) or {}
        if asked and not ("httpGet" in asked or "tcpSocket" in asked):
            yield f"a {kind} other than httpGet or tcpSocket"
        elif (asked.get("httpGet") or {}).get("scheme", "HTTP") != "HTTP":
            yield f"a {kind} by HTTPS"


def has_account(pod: Object) -> bool:
    """Whether it is to be somebody for the API server: it names a service account, and its token is mounted."""
    container, name = pod["spec"]["containers"][0], pod["spec"].get("serviceAccountName", "default")
    mounts = [mount["mountPath"].rstrip("/") for mount in container.get("volumeMounts", ())]
    return name != "default" and TOKENS in mounts


def settings_of(
    pod: Object, address: str, values: Values, account: Account | None = None
) -> ContainerSettings:
    """Raises Unconfigured, and what `values` and `account` raise."""
    check_supported(pod)
    container, namespace = pod["spec"]["containers"][0], pod["metadata"]["namespace"]
    plain: dict[str, str] = {}
    secret: dict[str, str] = {}

    def keep(name: str, text: str, hidden: bool) -> None:
        plain.pop(name, None)
        secret.pop(name, None)
        (secret if hidden else plain)[name] = text

    for one in container.get("envFrom", ()):
        for reference, store in _SOURCES:
            if asked := one.get(reference):
                for name, text in _whole(store, namespace, asked, values).items():
                    keep(one.get("prefix", "") + name, text, store == "Secret")
    for one in container.get("env", ()):
        if "valueFrom" in one:
            found = _value(one["valueFrom"], pod, address, values)
            if found is not None:
                keep(one["name"], found, "secretKeyRef" in one["valueFrom"])
        else:
            known = {**plain, **secret}
            told = one.get("value", "")
            hidden = any(match[2] in secret for match in REFERENCE.finditer(told))
            keep(one["name"], expand(told, known), hidden)
    files: dict[str, str] = {}
    if account and has_account(pod):
        files = dict(account(pod))
        plain = {name: files.pop(name) for name in API_VARIABLES} | plain
    errand = Errand(arguments=tuple(container.get("args") or ()), account=files)
    return ContainerSettings(port=served_port(pod), environment=plain, secrets=secret, errand=errand)


_SOURCES: tuple[tuple[str, Store], ...] = (("configMapRef", "ConfigMap"), ("secretRef", "Secret"))
_KEYS: tuple[tuple[str, Store], ...] = (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret"))


def expand(text: str, known: Mapping[str, str]) -> str:
    """`$(NAME)` becomes that variable's text where there is one, `$$` a dollar."""

    def replace(match: re.Match[str]) -> str:
        return "$" if match[1] == "$" else known.get(match[2], match[0])

    return REFERENCE.sub(replace, text)


def _whole(store: Store, namespace: str, asked: Object, values: Values) -> Mapping[str, str]:
    found = values(store, namespace, asked["name"])
    if found is None and not asked.get("optional"):
        raise Unconfigured(f'{store.lower()} "{asked["name"]}" not found')
    return found or {}


def _value(source: Object, pod: Object, address: str, values: Values) -> str | None:
    """None: there is none, and it is optional."""
    for reference, store in _KEYS:
        if asked := source.get(reference):
            found = _whole(store, pod["metadata"]["namespace"], asked, values)
            if asked["key"] not in found and not asked.get("optional"):
                where = f"{store} {pod['metadata']['namespace']}/{asked['name']}"
                raise Unconfigured(f"couldn't find key {asked['key']} in {where}")
            return found.get(asked["key"])
    if path := (source.get("fieldRef") or {}).get("fieldPath"):
        return _field(path, pod, address)
    raise Unconfigured(f"the local cloud cannot give this pod a variable from {', '.join(source)}")


def _field(path: str, pod: Object, address: str) -> str:
    """A field of the pod, as the downward API gives it."""
    metadata, spec = pod["metadata"], pod["spec"]
    if match := KEY.fullmatch(path):
        return str(metadata.get(match[1], {}).get(match[2], ""))
    fields = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": spec["nodeName"],
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.hostIP": "127.0.0.1",
        "status.hostIPs": "127.0.0.1",
        "status.podIP": address,
        "status.podIPs": address,
    }
    if path not in fields:
        raise Unconfigured(f"there is no field {path} of a pod to take a variable from")
    return str(fields[path])
