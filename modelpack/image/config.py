"""The image's config and manifest documents (OCI image specification 1.1, config.md and manifest.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelpack.image.layer import Layer
from modelpack.image.oci.descriptor import CONFIG, MANIFEST, Descriptor

# SageMaker hosts an image of this label on a port of its choice (SAGEMAKER_BIND_TO_PORT)
LABELS = {"com.amazonaws.sagemaker.capabilities.accept-bind-to-port": "true"}
ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONPATH": "/opt/ecomdeploy/app:/opt/ecomdeploy/deps",
    "PYTHONUNBUFFERED": "1",
}
USER = "65532:65532"
EPOCH = "1970-01-01T00:00:00Z"
ARCHITECTURE, SYSTEM = "amd64", "linux"
CONTENT_DIGEST = "dev.ecomdeploy.content-digest"
ROLE = "dev.ecomdeploy.layer"


def config_of(
    layers: Sequence[Layer],
    run: Sequence[str],
    command: Sequence[str],
    labels: Mapping[str, str],
    env: Mapping[str, str],
) -> dict[str, Any]:
    """The config. `run` is the entry point, `command` its arguments; `labels` and `env` win over the usual ones."""
    environment = ENVIRONMENT | dict(env)
    return {
        "architecture": ARCHITECTURE,
        "os": SYSTEM,
        "created": EPOCH,
        "config": {
            "Cmd": list(command),
            "Entrypoint": list(run),
            "Env": [f"{name}={value}" for name, value in sorted(environment.items())],
            "ExposedPorts": {"8080/tcp": {}},
            "Labels": LABELS | dict(labels),
            "User": USER,
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [{"created": EPOCH, "created_by": f"{layer.role}: {layer.title}"} for layer in layers],
    }


def manifest_of(
    config: Descriptor, layers: Sequence[Layer], annotations: Mapping[str, str]
) -> dict[str, Any]:
    """The manifest."""
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.data(),
        "layers": [_annotate(layer).data() for layer in layers],
        "annotations": dict(annotations),
    }


def is_model(layer: Descriptor) -> bool:
    """Whether a layer of one of our own images holds files of the model."""
    return layer.annotations.get(ROLE, "").startswith("model:")


def config_descriptor(digest: str, size: int) -> Descriptor:
    return Descriptor(CONFIG, digest, size)


def _annotate(layer: Layer) -> Descriptor:
    plain = layer.descriptor
    return Descriptor(plain.media_type, plain.digest, plain.size, {ROLE: f"{layer.role}: {layer.title}"})
