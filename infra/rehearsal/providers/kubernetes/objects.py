"""Pulumi's inputs and Kubernetes' objects: tokens, names, annotations, and the keys that the state keeps.

Both are the same plain JSON but for three things: a preview's inputs may hold UNKNOWN, the SDKs write
`x_kubernetes_…` for `x-kubernetes-…`, and the outputs carry three keys of the provider's own.
Source of all names: pulumi/pulumi-kubernetes, provider/pkg/provider/provider.go and provider/pkg/metadata.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

from infra.kubernetes.client import Object
from infra.rehearsal.engine.provider import UNKNOWN, Values
from infra.rehearsal.engine.values import Secret, has_unknown

AUTONAMED: Final = "pulumi.com/autonamed"
SKIP_AWAIT: Final = "pulumi.com/skipAwait"
WAIT_FOR: Final = "pulumi.com/waitFor"
TIMEOUT: Final = "pulumi.com/timeoutSeconds"
REPLACE_UNREADY: Final = "pulumi.com/replaceUnready"
PATCH_FORCE: Final = "pulumi.com/patchForce"
FIELD_MANAGER: Final = "pulumi.com/patchFieldManager"
PROPAGATION: Final = "pulumi.com/deletionPropagationPolicy"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"

INPUTS_KEY: Final = "__inputs"
INITIAL_KEY: Final = "__initialApiVersion"
MANAGER_KEY: Final = "__fieldManager"
INTERNAL: Final = (INPUTS_KEY, INITIAL_KEY, MANAGER_KEY)
SECRET_FIELDS: Final = ("data", "stringData")
SERVERS_OWN: Final = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "uid",
)
"""Of `metadata`, what only the server writes."""

_TOKEN: Final = re.compile(r"kubernetes:([^/:]+)/(v[^/:]+):(\w+)")
_NO_GROUPS: Final = frozenset({"helm.sh", "kustomize", "yaml"})
"""What pulumi-kubernetes has beside the API's own kinds: charts, releases, folders and files of manifests."""
_DASHED: Final = {
    f"x_kubernetes_{word}": f"x-kubernetes-{word.replace('_', '-')}"
    for word in (
        *("embedded_resource", "int_or_string", "list_map_keys", "list_type", "map_type"),
        *("preserve_unknown_fields", "validations"),
    )
}
_UNDERSCORED: Final = {dashed: word for word, dashed in _DASHED.items()}


def kind_of(token: str) -> tuple[str, str] | None:
    """(apiVersion, kind) of a resource type; None for what is no kind of an API server's, nor its list or patch.

    Only built-in groups have lists and patches: a stranger's kind may end in these words."""
    match = _TOKEN.fullmatch(token)
    if match is None or match[1] in _NO_GROUPS:
        return None
    group, version, kind = match.groups()
    built_in = "." not in group or group.endswith(".k8s.io")
    if built_in and kind.endswith(("List", "Patch")):
        return None
    return (version if group == "core" else f"{group}/{version}"), kind


def to_object(inputs: Mapping[str, Any]) -> Object:
    """What the server is sent: without nulls, and without what belongs to the provider."""
    found: Object = _rename({key: value for key, value in inputs.items() if key not in INTERNAL}, _DASHED)
    return found


def _rename(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {names.get(key, key): _rename(item, names) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_rename(item, names) for item in value]
    return value


def to_values(live: Object) -> Values:
    """A live object as the SDKs spell it; without `managedFields`, which are bookkeeping and as long as the rest."""
    metadata = {key: value for key, value in live.get("metadata", {}).items() if key != "managedFields"}
    found: Values = _rename({**live, "metadata": metadata}, _UNDERSCORED)
    return found


def to_state(inputs: Values, live: Object, manager: str, initial: str) -> Values:
    """The outputs of a resource: the live object, and what the provider will want to know of it."""
    return mark_secrets(to_values(live)) | {
        INPUTS_KEY: mark_secrets(inputs),
        INITIAL_KEY: initial,
        MANAGER_KEY: manager,
    }


def mark_secrets(values: Values) -> Values:
    """A Secret's contents as secrets, whether or not the program said so."""
    if values.get("kind") != "Secret" or values.get("apiVersion") != "v1":
        return values
    return {
        key: Secret(value) if key in SECRET_FIELDS and not isinstance(value, Secret) else value
        for key, value in values.items()
    }


def metadata_of(obj: Mapping[str, Any]) -> dict[str, Any]:
    """An object's metadata; empty where a preview does not know it."""
    found = obj.get("metadata")
    return found if isinstance(found, dict) else {}


def annotation(obj: Mapping[str, Any], key: str) -> str:
    """An annotation's value; "" when there is none."""
    annotations = metadata_of(obj).get("annotations")
    found = annotations.get(key) if isinstance(annotations, dict) else None
    return found if isinstance(found, str) else ""


def is_autonamed(obj: Mapping[str, Any]) -> bool:
    """Whether its name is Pulumi's making."""
    return annotation(obj, AUTONAMED) == "true"


def identity_of(obj: Mapping[str, Any]) -> str:
    """The resource's id: namespace/name, or the name alone."""
    metadata = metadata_of(obj)
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])


def place_of(identity: str) -> tuple[str, str]:
    """(namespace, name) of an id."""
    namespace, _, name = identity.rpartition("/")
    return namespace, name


def title(obj: Mapping[str, Any]) -> str:
    """How people are told of it: "Deployment shop/web"."""
    metadata = metadata_of(obj)
    where = f"{metadata['namespace']}/" if isinstance(metadata.get("namespace"), str) else ""
    return f"{obj.get('kind', '')} {where}{metadata.get('name', '')}"


def manager_of(urn: str, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> str:
    """The field manager of one resource: its annotation's, its state's, or one that follows from the URN.

    pulumi-kubernetes draws the eight digits by lot. Ours follow from the URN, so that an object that a killed run
    left is known by who manages its fields, and needs no mark that would reach its pods."""
    wanted = annotation(inputs, FIELD_MANAGER) or outputs.get(MANAGER_KEY)
    return str(wanted or f"pulumi-kubernetes-{hashlib.sha256(urn.encode()).hexdigest()[:8]}")


def is_known(inputs: Mapping[str, Any]) -> bool:
    """Whether a preview knows all of it."""
    return not has_unknown(inputs)


def hide_unborn(outputs: Values, inputs: Values) -> Values:
    """The answer of a dry run, without what the real run will draw anew."""
    metadata = outputs["metadata"]
    unborn = dict.fromkeys(("uid", "resourceVersion", "creationTimestamp"), UNKNOWN)
    hidden = outputs | {"metadata": metadata | {key: unborn[key] for key in unborn if key in metadata}}
    if outputs.get("kind") == "Service" and outputs.get("apiVersion") == "v1":
        wanted = inputs.get("spec") if isinstance(inputs.get("spec"), dict) else {}
        drawn = {key for key in ("clusterIP", "clusterIPs") if key in outputs["spec"]} - set(wanted or {})
        hidden["spec"] = outputs["spec"] | dict.fromkeys(drawn, UNKNOWN)
    return hidden | ({"status": UNKNOWN} if "status" in outputs else {})
