"""The guard of one rollout: a Job of the new release's own image, whose whole task stands in its variables."""

from __future__ import annotations

import json
from typing import Any

from infra.kubernetes.base import Object
from infra.targets.kserve.alarms import RULES, guard_name, map_name
from infra.targets.kserve.manifests import rules
from infra.targets.kserve.observe import image_of
from modelpack.server.guarding.record import StepsRecord, lease_name

JOB = ("batch/v1", "Job")
CONTAINER = "guard"
ROOM = {"cpu": "50m", "memory": "96Mi"}
RESTARTS = 20
KEPT_SECONDS = 3600
"""How long a guard that has ended can be read: kubectl logs."""


def guard_job(
    endpoint: str, namespace: str, record: StepsRecord, route: Object, isvc: Object, prometheus: str
) -> Object:
    """The Job; it goes with the route. `isvc`: of the new release; `prometheus`: its URL for a pod."""
    predictor = isvc["spec"]["predictor"]
    owner = {key: route[key] for key in ("apiVersion", "kind")}
    owner |= {key: route["metadata"][key] for key in ("name", "uid")}
    labels = {**(route["metadata"].get("labels") or {}), "app": guard_name(endpoint)}
    # not the label that a release's own pods are found by
    labels = {key: value for key, value in labels.items() if key != "ecomdeploy.dev/endpoint"}
    return {
        "apiVersion": JOB[0],
        "kind": JOB[1],
        "metadata": {
            "name": f"{guard_name(endpoint)}-{record.id}",
            "namespace": namespace,
            "labels": labels,
            "ownerReferences": [owner],
        },
        "spec": {
            "backoffLimit": RESTARTS,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "restartPolicy": "OnFailure",
                    "serviceAccountName": guard_name(endpoint),
                    "automountServiceAccountToken": True,
                    "enableServiceLinks": False,
                    "terminationGracePeriodSeconds": 5,
                    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [_container(endpoint, namespace, record, image_of(predictor), prometheus)],
                    **_placement(predictor),
                },
            },
        },
    }


def _container(
    endpoint: str, namespace: str, record: StepsRecord, image: str, prometheus: str
) -> dict[str, Any]:
    alarms = {"configMapKeyRef": {"name": map_name(endpoint), "key": RULES}}
    variables = {
        "ECOMDEPLOY_ROLLOUT": record.id,
        "ECOMDEPLOY_NAMESPACE": namespace,
        "ECOMDEPLOY_ENDPOINT": endpoint,
        "ECOMDEPLOY_LEASE": lease_name(endpoint),
        "ECOMDEPLOY_PROMETHEUS": prometheus,
        "ECOMDEPLOY_WAY_BACK": json.dumps(rules({record.old: 100})),
    }
    return {
        "name": CONTAINER,
        "image": image,
        "args": ["guard"],
        "env": [
            *({"name": name, "value": value} for name, value in variables.items()),
            {"name": "ECOMDEPLOY_ALARMS", "valueFrom": alarms},
        ],
        "resources": {"requests": dict(ROOM), "limits": dict(ROOM)},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }


def _placement(predictor: Object) -> dict[str, Any]:
    """As the release's own pods pull their image; a GPU's nodes are not for it."""
    secrets = predictor.get("imagePullSecrets")
    return {"imagePullSecrets": secrets} if secrets else {}


def guard_trouble(job: Object | None, pods: list[Object]) -> str:
    """Why a guard does not come, as far as the cluster says."""
    if job is None:
        return "its Job is gone"
    words = []
    for one in (job.get("status") or {}).get("conditions") or ():
        if one.get("type") == "Failed" and one.get("status") == "True":
            words.append(str(one.get("message", "it failed")))
    for pod in pods:
        for one in (pod.get("status") or {}).get("conditions") or ():
            if one.get("type") == "PodScheduled" and one.get("status") == "False":
                words.append(str(one.get("message", "")))
        for container in (pod.get("status") or {}).get("containerStatuses") or ():
            waiting = (container.get("state") or {}).get("waiting") or {}
            last = (container.get("lastState") or {}).get("terminated") or {}
            words += [str(last.get("message") or waiting.get("message") or waiting.get("reason") or "")]
    return "; ".join(dict.fromkeys(word.strip() for word in words if word.strip()))[:400]
