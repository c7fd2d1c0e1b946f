"""What KServe's mutating webhooks make of an InferenceService, and of a pod that belongs to one: pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from infra.rehearsal.cloud.kubernetes.kserve.words import (
    CONTAINER,
    FRAMEWORKS,
    MODE,
    OLD_STANDARD,
    OWNER_LABEL,
    STANDARD,
    Object,
)

RESOURCES = {"cpu": "1", "memory": "2Gi"}
POD_MARKS = (
    "serving.kserve.io/enable-metric-aggregation",
    "serving.kserve.io/enable-prometheus-scraping",
)
WHOLE_NUMBERS = {
    "minReplicas": "int32",
    "maxReplicas": "int32",
    "scaleTarget": "int32",
    "containerConcurrency": "int64",
    "timeout": "int64",
    "canaryTrafficPercent": "int64",
}
"""Fields of a component's extension that hold whole numbers, with Go's word for their size."""
BINARY = ("Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
QUANTITY = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))(?:([KMGTPE]i|[numkMGTPE])|[eE]([+-]?\d+))?")
QUANTITY_WORDS = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


@dataclass
class AdmissionRefusal(Exception):
    """An admission answer of no. `code`: HTTP's; `reason`: Kubernetes' word, "" for none."""

    code: int
    message: str
    reason: str = ""

    def __str__(self) -> str:
        return self.message


def default_inference_service(isvc: Object) -> Object:
    """A copy with KServe's defaults. Raises `AdmissionRefusal` for what its decoder or its defaulter breaks on."""
    told = deepcopy(isvc)
    _decode(told)
    annotations = told["metadata"].setdefault("annotations", {})
    if annotations.get(MODE, OLD_STANDARD) == OLD_STANDARD:
        annotations[MODE] = STANDARD
    spec = told.get("spec") or {}
    for name in ("predictor", "transformer", "explainer"):
        if name in spec or name == "predictor":
            _default_component(spec.get(name) or {}, name)
    for entry in spec.get("canary") or ():
        entry.setdefault("trafficPercent", 0)
        if entry["predictor"].get("containers"):
            _default_component(entry["predictor"], "predictor")
    return told


def mark_pod(pod: Object) -> Object:
    """A copy of a component's pod as the pod webhook leaves it."""
    told = deepcopy(pod)
    if OWNER_LABEL in (told["metadata"].get("labels") or {}):
        annotations = told["metadata"].setdefault("annotations", {})
        for mark in POD_MARKS:
            annotations.setdefault(mark, "false")
    return told


def _default_component(asked: Object, name: str) -> None:
    if name == "predictor" and any(one in asked for one in FRAMEWORKS):
        return
    containers = asked.get("containers") or []
    if not containers:
        # KServe's defaulter takes the first implementation of an empty list
        panic = "panic: runtime error: index out of range [0] with length 0 [recovered]"
        raise AdmissionRefusal(500, panic)
    if len(containers) == 1 or not containers[0].get("name"):
        containers[0]["name"] = CONTAINER
    resources = containers[0].setdefault("resources", {})
    for kind in ("limits", "requests"):
        resources[kind] = RESOURCES | resources.get(kind, {})
    for container in (*containers, *(asked.get("initContainers") or ())):
        container.setdefault("resources", {})


# ---- what Go's decoder and encoder do with it ----


def _decode(isvc: Object) -> None:
    spec = isvc.get("spec") or {}
    for name in ("predictor", "transformer", "explainer"):
        _decode_component(spec.get(name) or {}, f"{name.title()}Spec.spec.{name}")
    for entry in spec.get("canary") or ():
        percent = entry.get("trafficPercent", 0)
        _whole(percent, "CanarySpec.spec.canary.trafficPercent", "int32")
        _decode_component(entry.get("predictor") or {}, "PredictorSpec.spec.canary.predictor")


def _decode_component(asked: Object, where: str) -> None:
    for name, size in WHOLE_NUMBERS.items():
        if name in asked:
            _whole(asked[name], f"{where}.ComponentExtensionSpec.{name}", size)
    for amounts in _amounts(asked):
        for name, amount in amounts.items():
            amounts[name] = canonical_quantity(amount)


def _whole(value: Any, field: str, size: str) -> None:
    if isinstance(value, int) and not isinstance(value, bool):
        return
    kinds = {str: "string", bool: "bool", list: "array", dict: "object"}
    told = kinds.get(type(value), f"number {value}")
    raise AdmissionRefusal(400, f"json: cannot unmarshal {told} into Go struct field {field} of type {size}")


def _amounts(asked: Object) -> Iterator[dict[str, Any]]:
    """The maps of quantities of its containers."""
    for kind in ("containers", "initContainers"):
        for container in asked.get(kind) or ():
            resources = container.get("resources") or {}
            yield from (resources[one] for one in ("limits", "requests") if resources.get(one))


def canonical_quantity(given: Any) -> str:
    """A quantity as Kubernetes writes it back ("0.5" is "500m", "1024Mi" is "1Gi"). Raises `AdmissionRefusal` (400)."""
    text = str(given)
    found = QUANTITY.fullmatch(text)
    if found is None:
        raise AdmissionRefusal(400, QUANTITY_WORDS)
    number, suffix, exponent = Decimal(found[1]), found[2] or "", found[3]
    if suffix in BINARY:
        return _binary(number * 1024 ** (BINARY.index(suffix) + 1))
    if exponent is not None:
        return text
    return _decimal(number.scaleb(DECIMAL[suffix]))


def _binary(number: Decimal) -> str:
    if number != number.to_integral_value() or not number:
        return _decimal(number)
    power = 0
    while power < len(BINARY) and number % 1024 == 0:
        number, power = number / 1024, power + 1
    return f"{number:f}".split(".")[0] + ("" if power == 0 else BINARY[power - 1])


def _decimal(number: Decimal) -> str:
    """The largest power of a thousand that leaves a whole number."""
    for suffix, power in sorted(DECIMAL.items(), key=lambda pair: -pair[1]):
        scaled = number.scaleb(-power)
        if scaled == scaled.to_integral_value() and scaled:
            return f"{scaled.to_integral_value():f}{suffix}"
    return "0"
