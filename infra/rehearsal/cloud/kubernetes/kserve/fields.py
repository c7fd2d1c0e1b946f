"""KServe's own fields of an InferenceService, beside those of a pod, as structural schemas.

Types and limits are those that KServe 0.20.0's API server refuses by; the pod's parts come from the running API
server (`schema.py`)."""

from __future__ import annotations

from infra.rehearsal.cloud.kubernetes.kserve.words import FRAMEWORKS, Object

TEXT: Object = {"type": "string"}
INT: Object = {"type": "integer"}
INT32: Object = {"type": "integer", "format": "int32"}
INT64: Object = {"type": "integer", "format": "int64"}
TEXTS: Object = {"type": "array", "items": TEXT}
TEXT_MAP: Object = {"type": "object", "additionalProperties": TEXT}
OPEN: Object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
"""A part that the stand-in refuses to serve anyway: taken as it is."""
NUMBER = r"(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
QUANTITY: Object = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "pattern": rf"^(\+|-)?{NUMBER}(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?{NUMBER}))?$",
    "x-kubernetes-int-or-string": True,
}
INT_OR_TEXT: Object = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "x-kubernetes-int-or-string": True,
}


def word(*allowed: str) -> Object:
    """One of these words."""
    return {"type": "string", "enum": list(allowed)}


def record(fields: Object, *required: str) -> Object:
    """An object of these fields."""
    return {"type": "object", "properties": fields} | ({"required": sorted(required)} if required else {})


def list_of(item: Object) -> Object:
    """An atomic list."""
    return {"type": "array", "items": item}


def _metric_source(name: Object) -> Object:
    target = record(
        {
            "type": word("Utilization", "Value", "AverageValue"),
            "averageUtilization": INT32,
            "averageValue": QUANTITY,
            "value": QUANTITY,
        }
    )
    return name | {"target": target}


def _auto_scaling(behavior: Object) -> Object:
    resource = record(_metric_source({"name": word("cpu", "memory")}), "name", "target")
    external = record(
        _metric_source(
            {
                "metric": record(
                    {
                        "backend": word("prometheus", "graphite"),
                        "serverAddress": TEXT,
                        "query": TEXT,
                        "namespace": TEXT,
                    }
                ),
                "authenticationRef": record(
                    {"authModes": TEXT, "authenticationRef": record({"name": TEXT}, "name")},
                    "authenticationRef",
                ),
            }
        ),
        "metric",
        "target",
    )
    pod = record(
        _metric_source(
            {
                "metric": record(
                    {
                        "backend": word("opentelemetry"),
                        "metricNames": TEXTS,
                        "operationOverTime": TEXT,
                        "query": TEXT,
                        "serverAddress": TEXT,
                    }
                )
            }
        ),
        "metric",
        "target",
    )
    metric = record(
        {
            "type": word("Resource", "External", "PodMetric"),
            "resource": resource,
            "external": external,
            "podmetric": pod,
        },
        "type",
    )
    return record({"metrics": list_of(metric), "behavior": behavior})


def extension_fields(behavior: Object, strategy: Object) -> Object:
    """What every component has beside its pod. `behavior` and `strategy` are the HPA's and the Deployment's."""
    storage_uri = record(
        {
            "uri": {"type": "string", "minLength": 1},
            "mountPath": {"type": "string", "default": "/mnt/models", "maxLength": 255, "pattern": "^/.*"},
        },
        "uri",
    )
    logger = record(
        {
            "batchInterval": TEXT,
            "batchSize": INT,
            "marshallerUrl": TEXT,
            "metadataAnnotations": TEXTS,
            "metadataHeaders": TEXTS,
            "mode": word("all", "request", "response"),
            "storage": record(
                {"key": TEXT, "parameters": TEXT_MAP, "path": TEXT, "serviceAccountName": TEXT}
            ),
            "url": TEXT,
        }
    )
    return {
        "minReplicas": INT32,
        "maxReplicas": INT32,
        "scaleTarget": INT32,
        "scaleMetric": word("cpu", "memory", "concurrency", "rps"),
        "scaleMetricType": word("Utilization", "Value", "AverageValue"),
        "autoScaling": _auto_scaling(behavior),
        "containerConcurrency": INT64,
        "timeout": INT64,
        "canaryTrafficPercent": INT64,
        "labels": TEXT_MAP,
        "annotations": TEXT_MAP,
        "deploymentStrategy": strategy,
        "logger": logger,
        "batcher": record({"maxBatchSize": INT, "maxLatency": INT, "timeout": INT}),
        "storageUris": list_of(storage_uri) | {"minItems": 1, "x-kubernetes-list-type": "atomic"},
    }


def predictor_fields() -> Object:
    """What a predictor alone has."""
    return {
        "name": {"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$"},
        "storageContainerName": TEXT,
        "workerSpec": OPEN,
        **dict.fromkeys(FRAMEWORKS, OPEN),
    }


def status_schema() -> Object:
    """The status subresource."""
    states = {"type": "string", "enum": ["", "Pending", "Standby", "Loading", "Loaded", "FailedToLoad"]}
    model_status = record(
        {
            "transitionStatus": word("", "UpToDate", "InProgress", "BlockedByFailedLoad", "InvalidSpec")
            | {"default": "UpToDate"},
            "states": record(
                {
                    "activeModelState": states | {"default": "Pending"},
                    "targetModelState": states | {"default": ""},
                },
                "activeModelState",
            ),
            "copies": record({"failedCopies": INT | {"default": 0}, "totalCopies": INT}, "failedCopies"),
            "lastFailureInfo": record(
                {
                    "exitCode": INT32,
                    "location": TEXT,
                    "message": TEXT,
                    "modelRevisionName": TEXT,
                    "reason": TEXT,
                    "time": TEXT | {"format": "date-time"},
                }
            ),
        },
        "transitionStatus",
    )
    address = record({"CACerts": TEXT, "audience": TEXT, "name": TEXT, "url": TEXT})
    condition = record(
        {
            "lastTransitionTime": TEXT,
            "message": TEXT,
            "reason": TEXT,
            "severity": TEXT,
            "status": TEXT,
            "type": TEXT,
        },
        "status",
        "type",
    )
    fields = {
        "address": address,
        "annotations": TEXT_MAP,
        "canaryStatuses": list_of(OPEN) | {"x-kubernetes-list-type": "atomic"},
        "clusterServingRuntimeName": TEXT,
        "components": {
            "type": "object",
            "additionalProperties": OPEN | {"properties": {"address": address, "url": TEXT}},
        },
        "conditions": list_of(condition),
        "deploymentMode": TEXT,
        "modelStatus": model_status,
        "observedGeneration": INT64,
        "servingRuntimeName": TEXT,
        "url": TEXT,
    }
    return record(fields) | {"x-kubernetes-preserve-unknown-fields": True}
