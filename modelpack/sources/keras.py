"""Keras 3 `.keras` files: a zip archive of config.json, metadata.json and model.weights.h5, brought in by ONNX.

`keras.models.load_model(safe_mode=True)` alone has let files run code (CVE-2025-1550, CVE-2025-9906) and read others
(CVE-2025-12058), so the config is checked here before Keras sees it: only Keras' own classes that ONNX can express,
no Lambda, no wrapped foreign layer, no path. Format: keras.io/api/models/model_saving_apis.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from modelpack.errors import BadInput
from modelpack.formats.variant import Variant
from modelpack.sources import archive
from modelpack.sources.base import Source
from modelpack.sources.tensorflow import convert
from modelpack.usecases.base import UseCase

WEIGHTS = "model.weights.h5"
MEMBERS = {"config.json", "metadata.json", WEIGHTS}
CONFIG_BYTES = 50_000_000
LARGEST_WEIGHTS = 10_000_000_000
MODELS = {"Sequential", "Functional", "Model"}
LAYERS = {
    "InputLayer",
    "Embedding",
    "Flatten",
    "Dense",
    "Dropout",
    "Activation",
    "Reshape",
    "Permute",
    "RepeatVector",
    "Concatenate",
    "Add",
    "Subtract",
    "Multiply",
    "Average",
    "Maximum",
    "Minimum",
    "Dot",
    "BatchNormalization",
    "LayerNormalization",
    "GroupNormalization",
    "UnitNormalization",
    "GlobalAveragePooling1D",
    "GlobalMaxPooling1D",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "AveragePooling1D",
    "MaxPooling1D",
    "AveragePooling2D",
    "MaxPooling2D",
    "Conv1D",
    "Conv2D",
    "DepthwiseConv2D",
    "SeparableConv1D",
    "SeparableConv2D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "Cropping1D",
    "UpSampling1D",
    "UpSampling2D",
    "LSTM",
    "GRU",
    "SimpleRNN",
    "LSTMCell",
    "GRUCell",
    "SimpleRNNCell",
    "Bidirectional",
    "TimeDistributed",
    "MultiHeadAttention",
    "Attention",
    "AdditiveAttention",
    "ReLU",
    "LeakyReLU",
    "PReLU",
    "ELU",
    "Softmax",
    "Masking",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "GaussianNoise",
    "GaussianDropout",
    "Rescaling",
    "Normalization",
    "EinsumDense",
}
HARMLESS = (
    "keras.initializers",
    "keras.regularizers",
    "keras.constraints",
    "keras.optimizers",
    "keras.losses",
)
METRICS = ("keras.metrics", "keras.dtype_policies")


class Keras(Source):
    """A Keras model; needs the extra `tensorflow`."""

    name: ClassVar[str] = "keras"
    suffixes: ClassVar[tuple[str, ...]] = ("keras",)
    container: ClassVar[str | None] = "zip archive"

    def open(self, path: Path, usecase: UseCase[Any], folder: Path) -> Variant:
        check(path)
        return convert("keras", path, usecase, folder)


def check(path: Path) -> None:
    """Raises BadInput for what Keras must not see."""
    with archive.open_archive(path, path) as opened:
        names = set(opened.namelist())
        if names != MEMBERS:
            other = ", ".join(sorted(names ^ MEMBERS))
            raise BadInput(
                f"a .keras file holds {', '.join(sorted(MEMBERS))}; differs in: {other}", where=str(path)
            )
        size = opened.getinfo(WEIGHTS).file_size
        try:
            config = json.loads(archive.member(opened, "config.json", path, CONFIG_BYTES))
        except (ValueError, RecursionError) as error:
            raise BadInput(f"its config.json is damaged: {error}", where=str(path)) from error
    for one in objects(config):
        if problem := foreign(one) or find_promised(one, size):
            raise BadInput(problem, where=str(path))


def objects(data: Any) -> Iterator[dict[str, Any]]:
    """Every object at any depth."""
    waiting = [data]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def foreign(one: dict[str, Any]) -> str | None:
    """What is wrong with an object that names a class, in words."""
    if "class_name" not in one and "module" not in one and not one.get("registered_name"):
        return None
    module, kind, registered = one.get("module"), one.get("class_name"), one.get("registered_name")
    known = (
        (module in ("keras", "keras.models") and kind in (*MODELS, "DTypePolicy"))
        or (module in ("keras.src.models.functional", "keras.src.engine.functional") and kind == "Functional")
        or (module == "keras.layers" and kind in LAYERS)
        or (module in (*HARMLESS, *METRICS) and isinstance(kind, str) and kind.isidentifier())
        or (module is None and kind == "__keras_tensor__")
    )
    own = registered in (None, kind)
    if not known or not own:
        return f"the Keras object {module}.{kind} ({registered}) is refused: custom, Lambda, or not known to ONNX"
    return None


def find_promised(one: dict[str, Any], size: int) -> str | None:
    """Weights that a layer would make and the file does not hold."""
    config = one.get("config")
    if not isinstance(config, dict):
        return None
    shape = (
        (one.get("build_config") or {}).get("input_shape")
        if isinstance(one.get("build_config"), dict)
        else None
    )
    last = shape[-1] if isinstance(shape, list) and shape and isinstance(shape[-1], int) else 1
    wanted = [config.get(key) or 0 for key in ("units", "filters", "input_dim", "output_dim")]
    if not all(isinstance(number, int) and number >= 0 for number in wanted):
        return f"the layer {config.get('name')!r} has no proper size"
    units, filters, rows, width = wanted
    numbers = max(units * max(last, 1), filters, rows * width)
    if numbers > size or size > LARGEST_WEIGHTS:
        return f"the layer {config.get('name')!r} claims {numbers:,} weights in {size:,} bytes"
    return None
