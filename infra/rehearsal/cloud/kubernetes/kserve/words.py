"""KServe's own names: labels, annotations, conditions. https://kserve.github.io/website/"""

from __future__ import annotations

from typing import Any, Literal

Object = dict[str, Any]

GROUP = "serving.kserve.io"
API_VERSION = f"{GROUP}/v1beta1"
KIND = "InferenceService"
PLURAL = "inferenceservices"
CRD = f"{PLURAL}.{GROUP}"

MANAGER = "manager"
"""The field manager of KServe's controller: the name of its program."""
FINALIZER = "inferenceservice.finalizers"

MODE = "serving.kserve.io/deploymentMode"
STANDARD = "Standard"
OLD_STANDARD = "RawDeployment"
MODES = (STANDARD, "Knative", "ModelMesh")
AUTOSCALER = "serving.kserve.io/autoscalerClass"
STOP = "serving.kserve.io/stop"
OWNER_LABEL = "serving.kserve.io/inferenceservice"
VISIBILITY = "networking.kserve.io/visibility"
CLUSTER_LOCAL = "cluster-local"

CONTAINER = "kserve-container"
TRANSFORMER_CONTAINER = "transformer-container"
STORAGE_INITIALIZER = "storage-initializer"
STORAGE_URI = "STORAGE_URI"

Component = Literal["predictor", "transformer", "explainer"]
COMPONENTS: tuple[Component, ...] = ("predictor", "transformer", "explainer")

FRAMEWORKS = (
    "sklearn",
    "xgboost",
    "tensorflow",
    "pytorch",
    "triton",
    "onnx",
    "huggingface",
    "pmml",
    "lightgbm",
    "paddle",
    "model",
)
"""Fields of a predictor that name a model and leave the container to KServe."""


def annotation(obj: Object, name: str) -> str:
    """An annotation's value, "" where it is absent."""
    return str((obj["metadata"].get("annotations") or {}).get(name, ""))


def present_components(isvc: Object) -> tuple[Component, ...]:
    """The components an InferenceService asks for; a predictor always."""
    spec = isvc.get("spec") or {}
    return tuple(one for one in COMPONENTS if one == "predictor" or one in spec)


def env_value(container: Object, name: str) -> str | None:
    """An environment variable's value in a container's spec."""
    return next((one.get("value", "") for one in container.get("env") or () if one.get("name") == name), None)
