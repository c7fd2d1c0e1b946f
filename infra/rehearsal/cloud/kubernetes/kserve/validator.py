"""What KServe's validating webhook refuses of an InferenceService, in its own words and order: pure functions.

Rows that our target cannot send (canary entries, serving runtimes) are here too, so that somebody's own object is
refused in rehearsal where KServe would refuse it."""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterator
from typing import Any

from infra.rehearsal.cloud.kubernetes.kserve.defaulter import AdmissionRefusal
from infra.rehearsal.cloud.kubernetes.kserve.words import (
    AUTOSCALER,
    CONTAINER,
    FRAMEWORKS,
    MODE,
    STANDARD,
    STORAGE_URI,
    TRANSFORMER_CONTAINER,
    Object,
    annotation,
    env_value,
    present_components,
)

NAME = "[a-z]([-a-z0-9]*[a-z0-9])?"
CLASSES = ("hpa", "keda", "external", "none")
ONE_OF = (
    "exactly one of [Name, SKLearn, XGBoost, Tensorflow, PyTorch, Triton, ONNX, HuggingFace, PMML, LightGBM, Paddle, "
    "Model, StorageUris, StorageContainerName, WorkerSpec, PodSpec] must be specified in PredictorSpec"
)
PERCENT = "the target utilization percentage should be a [1-100] integer"


def validate_inference_service(isvc: Object, old: Object | None = None) -> None:
    """Raises `AdmissionRefusal` (403) for the first thing KServe refuses; `old` is the stored object of an update."""
    if old is not None and "deletionTimestamp" not in isvc["metadata"]:
        _check_mode_kept(isvc, old)
    for message in _complaints(isvc, old):
        raise _no(message)


def _no(message: str) -> AdmissionRefusal:
    return AdmissionRefusal(403, message, "Forbidden")


def _check_mode_kept(isvc: Object, old: Object) -> None:
    before = (old.get("status") or {}).get("deploymentMode", "")
    now = annotation(isvc, MODE)
    if before and now and before != now:
        raise _no(f"update rejected: deploymentMode cannot be changed from '{before}' to '{now}'")


def _complaints(isvc: Object, old: Object | None) -> Iterator[str]:
    """Every complaint, in KServe's order; only the first is ever told."""
    name = isvc["metadata"].get("name", "")
    if name and not re.fullmatch(NAME, name):
        yield (
            f'the InferenceService "{name}" is invalid: a InferenceService name must consist of lower case '
            "alphanumeric characters or '-', and must start with alphabetical character. (e.g. \"my-name\" or "
            f"\"abc-123\", regex used for validation is '{NAME}')"
        )
    chosen = annotation(isvc, AUTOSCALER)
    if chosen and chosen not in CLASSES:
        yield f"[{chosen}] is not a supported autoscaler class type"
    predictor = isvc["spec"]["predictor"]
    for container in predictor.get("containers") or ():
        if container.get("name") == TRANSFORMER_CONTAINER and env_value(container, STORAGE_URI) is not None:
            yield "storage uri should not be specified in transformer container"
    if any((predictor.get(one) or {}).get("name") for one in FRAMEWORKS):
        yield "the 'name' field is not allowed in standard predictor"
    for component in reversed(present_components(isvc)):
        yield from _storage_uris(isvc["spec"][component])
    for component in present_components(isvc):
        asked = isvc["spec"][component]
        if component == "predictor" and len(_implementations(asked)) != 1:
            yield ONE_OF
        yield from _replicas(asked)
        yield from _autoscaling(isvc, asked)
    yield from _canaries(isvc)
    if old is not None:
        yield from _rename(predictor, old["spec"]["predictor"])


def _implementations(asked: Object) -> list[str]:
    return [one for one in (*FRAMEWORKS, "containers") if asked.get(one)]


def model_of(asked: Object) -> str | None:
    """The URI that KServe takes for the model of a predictor, None for none."""
    for one in FRAMEWORKS:
        if asked.get(one):
            found = asked[one].get("storageUri")
            return None if found is None else str(found)
    named = {one.get("name"): one for one in reversed(asked.get("containers") or ())}
    return env_value(named.get(CONTAINER, {}), STORAGE_URI)


def _storage_uris(asked: Object) -> Iterator[str]:
    given = asked.get("storageUris") or []
    if given and model_of(asked) is not None:
        yield "Setting both StorageURI and StorageURIs is not supported."
    for one in given:
        path = one["mountPath"]
        if path == "/":
            yield "storage path cannot be empty"
        if ".." in path:
            yield f"storage path cannot contain '..' for security reasons: {path}"
    paths = [one["mountPath"] for one in given if not one["uri"].startswith("pvc://")]
    if len(paths) > 1 and os.path.commonpath(paths) == "/":
        yield (
            f"storage paths must have a common parent directory. Current paths: [{' '.join(paths)}] have no common "
            "parent beyond root"
        )


def _replicas(asked: Object) -> Iterator[str]:
    least, most = asked.get("minReplicas"), asked.get("maxReplicas", 0)
    if (least or 0) < 0:
        yield "'MinReplicas' cannot be less than 0"
    if most < 0:
        yield "'MaxReplicas' cannot be less than 0"
    if most and (least or 0) > most:
        yield "'MinReplicas' cannot be greater than MaxReplicas"
    if (asked.get("containerConcurrency") or 0) < 0:
        yield "parallelism cannot be less than 0"


# ---- autoscaling ----


def _autoscaling(isvc: Object, asked: Object) -> Iterator[str]:
    metrics = (asked.get("autoScaling") or {}).get("metrics") or []
    if annotation(isvc, MODE) != STANDARD:
        if asked.get("deploymentStrategy"):
            yield "customizing deploymentStrategy is only supported for raw deployment mode"
        if asked.get("scaleMetric", "concurrency") not in ("concurrency", "rps"):
            yield f"[{asked['scaleMetric']}] is not a supported metric"
    elif annotation(isvc, AUTOSCALER) == "hpa":
        yield from _hpa(asked, metrics)
    elif annotation(isvc, AUTOSCALER) == "keda":
        if "scaleMetric" in asked:
            yield "ScaleMetric is not supported for KEDA"
        for metric in metrics:
            yield from _keda(metric)


def _hpa(asked: Object, metrics: list[Object]) -> Iterator[str]:
    metric, target = asked.get("scaleMetric", "cpu"), asked.get("scaleTarget")
    if metric not in ("cpu", "memory"):
        yield f"[{metric}] is not a supported metric"
    if target is not None and ((metric == "cpu" and target < 1) or target > 100):
        yield PERCENT
    if target is not None and metric == "memory" and target < 1:
        yield "the target memory should be greater than 1 MiB"
    for one in metrics:
        if one["type"] != "Resource":
            yield (
                f"invalid HPA metric source type with value [{one['type']}],valid metric source types are Resource"
            )
        elif "resource" not in one:
            yield "metricSpec.Resource is not set for resource metric source type"


def _keda(metric: Object) -> Iterator[str]:
    kind = metric["type"]
    source = metric.get({"Resource": "resource", "External": "external"}.get(kind, "podmetric"))
    if source is None:
        words = {"Resource": ("Resource", "resource"), "External": ("External", "external")}
        title, plain = words.get(kind, ("PodMetric", "pod"))
        yield f"metricSpec.{title} is not set for {plain} metric source type"
        return
    target = source["target"]
    if kind == "Resource":
        if source["name"] == "cpu" and target.get("type") != "Utilization":
            yield "the cpu target value type should be Utilization"
        if source["name"] == "memory" and target.get("type") not in ("AverageValue", "Utilization"):
            yield "the memory target value type should be AverageValue or Utilization"
    else:
        if not source["metric"].get("query"):
            yield "the query should not be empty"
        if "value" not in target:
            yield "the target threshold value should not be empty"
    yield from _target(target)


def _target(target: Object) -> Iterator[str]:
    wanted = {"Utilization": "averageUtilization", "AverageValue": "averageValue", "Value": "value"}
    kind = target.get("type", "")
    if kind in wanted and wanted[kind] not in target:
        title = wanted[kind][0].upper() + wanted[kind][1:]
        yield f"the {title} type should be set"
    elif kind == "Utilization" and not 1 <= target["averageUtilization"] <= 100:
        yield PERCENT


# ---- canary entries ----


def _canaries(isvc: Object) -> Iterator[str]:
    entries = isvc["spec"].get("canary") or []
    if not entries:
        return
    stable = isvc["spec"]["predictor"]
    if annotation(isvc, MODE) != STANDARD:
        yield "canary is only supported in Standard deployment mode"
    if model_of(stable) is None and not stable.get("storageUris"):
        yield "canary requires a stable predictor with a model (multi-model serving is not supported with canary)"
    seen: set[str] = set()
    for position, entry in enumerate(entries):
        asked = entry["predictor"]
        name = asked.get("name", "")
        if not name:
            yield f"canary[{position}] predictor.name is required"
        if name == stable.get("name"):
            yield f'canary predictor.name "{name}" conflicts with stable predictor name'
        if name in seen:
            yield f'canary predictor.name "{name}" is duplicated'
        seen.add(name)
        yield from _canary(name, asked, stable)
    total = sum(one.get("trafficPercent", 0) for one in entries)
    if total > 100:
        yield f"sum of canary trafficPercent values ({total}) must be <= 100"


def _canary(name: str, asked: Object, stable: Object) -> Iterator[str]:
    for fixed in ("maxReplicas", "scaleTarget", "scaleMetric", "autoScaling"):
        if asked.get(fixed) is not None:
            yield f'canary "{name}" must not set {fixed} (canary uses fixed replicas)'
    most: Any = stable.get("minReplicas", 1)
    if asked.get("minReplicas", 0) > most:
        yield (
            f'canary "{name}" minReplicas ({asked["minReplicas"]}) must not exceed stable predictor minReplicas '
            f"({most})"
        )
    if "workerSpec" in asked:
        yield f'canary "{name}" must not set workerSpec (multi-node is not yet supported for canary)'
    if len(_implementations(asked)) != 1:
        yield f'canary "{name}" predictor: {ONE_OF}'


def _rename(now: Object, before: Object) -> Iterator[str]:
    if now.get("name", "") != before.get("name", "") and model_of(now) == model_of(before):
        yield "predictor.name change requires a model change (e.g. storageUri)"
