"""Which fields cannot change in place, by kind: data.

Source: pulumi/pulumi-kubernetes, provider/pkg/provider/diff.go (`forceNew`). For what is not listed the API server
decides: what it refuses as immutable is an error of the plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from infra.rehearsal.engine.paths import Path

_IDENTITY: Final = ("metadata.name", "metadata.namespace")
_CONTAINER: Final = (
    *("args", "command", "env", "image", "imagePullPolicy", "lifecycle", "livenessProbe", "ports"),
    *("readinessProbe", "resources", "securityContext", "stdin", "stdinOnce", "terminationMessagePath"),
    *("terminationMessagePolicy", "tty", "volumeDevices", "volumeMounts", "workingDir"),
)
_POD: Final = (
    *("affinity", "automountServiceAccountToken", "dnsConfig", "dnsPolicy", "enableServiceLinks"),
    *("hostAliases", "hostIPC", "hostNetwork", "hostPID", "hostname", "imagePullSecrets", "nodeName"),
    *("nodeSelector", "overhead", "preemptionPolicy", "priority", "priorityClassName", "readinessGates"),
    *("restartPolicy", "runtimeClassName", "schedulerName", "securityContext", "serviceAccount"),
    *("serviceAccountName", "shareProcessNamespace", "subdomain", "terminationGracePeriodSeconds", "volumes"),
)
_VOLUME: Final = (
    *("awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "csi", "fc", "flexVolume"),
    *("flocker", "gcePersistentDisk", "glusterfs", "hostPath", "iscsi", "local", "nfs"),
    *("photonPersistentDisk", "portworxVolume", "quobyte", "rbd", "scaleIO", "storageos", "vsphereVolume"),
)

FIELDS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("apps", "DaemonSet"): ("spec.selector",),
    ("apps", "Deployment"): ("spec.selector",),
    ("apps", "StatefulSet"): tuple(
        f"spec.{name}"
        for name in (
            *("podManagementPolicy", "revisionHistoryLimit", "selector", "serviceName"),
            "volumeClaimTemplates",
        )
    ),
    ("batch", "Job"): ("spec.completions", "spec.parallelism", "spec.selector", "spec.template"),
    ("", "PersistentVolume"): tuple(f"spec.{name}" for name in _VOLUME),
    ("", "PersistentVolumeClaim"): tuple(
        f"spec.{name}" for name in ("accessModes", "selector", "storageClassName", "volumeName")
    ),
    ("", "Pod"): (
        *(f"spec.{name}" for name in _POD),
        *(f"spec.{list_}.*.{name}" for list_ in ("containers", "initContainers") for name in _CONTAINER),
    ),
    ("", "ResourceQuota"): ("spec.scopes",),
    ("", "Secret"): ("type",),
    ("", "Service"): ("spec.clusterIP",),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): ("roleRef",),
    ("rbac.authorization.k8s.io", "RoleBinding"): ("roleRef",),
    ("storage.k8s.io", "StorageClass"): ("parameters", "provisioner"),
}


def immutable_fields(
    inputs: Mapping[str, Any], *, config_maps_change: bool, secrets_change: bool
) -> tuple[str, ...]:
    """The fields of that object whose change makes a new one.

    ConfigMaps and Secrets are replaced by content, unless the provider's options say that they change in place;
    those that are marked immutable always are."""
    api_version, kind = str(inputs.get("apiVersion", "")), str(inputs.get("kind", ""))
    group = api_version.rpartition("/")[0]
    fields = _IDENTITY + FIELDS.get((group, kind), ())
    fixed = inputs.get("immutable") is True
    if not group and kind == "Secret" and (fixed or not secrets_change):
        return (*fields, "data", "stringData")
    if not group and kind == "ConfigMap" and (fixed or not config_maps_change):
        return (*fields, "data", "binaryData")
    return fields


def find_replacing(paths: Iterable[Path], fields: Iterable[str]) -> tuple[Path, ...]:
    """Those of the changed paths that lie in one of the fields."""
    patterns = [tuple(field.split(".")) for field in fields]
    return tuple(path for path in paths if any(_lies_in(path, pattern) for pattern in patterns))


def _lies_in(path: Path, pattern: tuple[str, ...]) -> bool:
    return len(path) >= len(pattern) and all(
        wanted in ("*", part) for part, wanted in zip(path, pattern, strict=False)
    )
