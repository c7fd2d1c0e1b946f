"""Keras 3 `.keras` files: a zip archive of config.json, metadata.json and model.weights.h5, brought in by ONNX.

`keras.models.load_model(safe_mode=True)` alone has let files run code (CVE-2025-1550, CVE-2025-9906) and read others
(CVE-2025-12058), so the config is checked here before Keras sees it: only Keras' own classes that ONNX can express,
no Lambda, no wrapped foreign layer, no path; in the weights no links. Keras loads a fresh archive of the checked parts.
Format: keras.io/api/models/model_saving_apis.
"""

from __future__ import annotations

import json
import struct
import zipfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from modelpack.errors import BadInput, first_line
from modelpack.formats.signature import Arrays, Run, Signature
from modelpack.sources import archive
from modelpack.sources.base import TORCH, LibraryFormat
from modelpack.sources.fitting import wanted_names
from modelpack.sources.strict_json import objects, parse

if TYPE_CHECKING:
    import onnx

OPSET = 18
MEMORY = 6_000_000_000
WEIGHTS = "model.weights.h5"
MEMBERS = {"config.json", "metadata.json", WEIGHTS}
CONFIG_BYTES = 50_000_000
LARGEST_WEIGHTS = 10_000_000_000
HDF5, SUPERBLOCK = b"\x89HDF\r\n\x1a\n", 56
ADDRESSES = {0: (24, 40), 1: (28, 44), 2: (12, 28), 3: (12, 28)}
"""Where a superblock of each version has the base address and the end of the file."""
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
OPERATIONS = {
    "keras.src.ops.numpy": (
        *(
            "Add",
            "Subtract",
            "Multiply",
            "Divide",
            "TrueDivide",
            "Negative",
            "Absolute",
            "Maximum",
            "Minimum",
            "Matmul",
        ),
        *(
            "Equal",
            "NotEqual",
            "Greater",
            "GreaterEqual",
            "Less",
            "LessEqual",
            "LogicalAnd",
            "LogicalOr",
            "LogicalNot",
        ),
        *("Exp", "Log", "Log1p", "Sqrt", "Square", "Clip", "Mean", "Sum", "Max", "Min"),
        *("Concatenate", "Stack", "ExpandDims", "Squeeze", "Transpose", "Reshape"),
    ),
    "keras.src.ops.nn": (
        "Relu",
        "Sigmoid",
        "Tanh",
        "Softmax",
        "LogSoftmax",
        "Softplus",
        "Gelu",
        "Silu",
        "Elu",
    ),
    "keras.src.ops.core": ("Cast",),
}
"""What `a + b`, `keras.ops.softmax(a)` and the mask of an Embedding leave in a model; none repeats what it is given."""
HARMLESS = (
    "keras.initializers",
    "keras.regularizers",
    "keras.constraints",
    "keras.optimizers",
    "keras.losses",
)
METRICS = ("keras.metrics", "keras.dtype_policies")


class Keras(LibraryFormat):
    """A Keras model; needs the extra `tensorflow`."""

    name: ClassVar[str] = "keras"
    suffixes: ClassVar[tuple[str, ...]] = ("keras",)
    container: ClassVar[str | None] = "zip archive"
    extra: ClassVar[str] = "tensorflow"
    hidden: ClassVar[tuple[str, ...]] = TORCH
    memory: ClassVar[int] = MEMORY
    library: ClassVar[str] = "keras"

    def convert(self, path: Path, wanted: Signature | None, notes: list[str]) -> onnx.ModelProto:
        import onnx

        model = load(path)
        import keras

        # A Sequential fresh from its file has never been called, and export wants its call's signature.
        zeros = [keras.ops.zeros([size or 1 for size in one.shape], dtype=one.dtype) for one in model.inputs]
        model(zeros if len(zeros) > 1 else zeros[0])
        keep_constants(model)
        model.export("exported.onnx", format="onnx", opset_version=OPSET, verbose=False)
        return onnx.load_model("exported.onnx")

    def original(self, path: Path, signature: Signature) -> Run:
        model = load(path)
        inputs = wanted_names([one.name for one in model.inputs], signature.inputs)
        outputs = wanted_names([one.name for one in model.outputs], signature.outputs)

        def run(given: Arrays) -> Arrays:
            rows = [given[inputs[one.name]].astype(one.dtype) for one in model.inputs]
            answered = model(rows if len(rows) > 1 else rows[0], training=False)
            listed = answered if isinstance(answered, list | tuple) else [answered]
            every = zip(model.outputs, listed, strict=True)
            return {outputs[one.name]: np.asarray(values) for one, values in every if one.name in outputs}

        return run


def keep_constants(model: Any) -> None:
    """Tensors that a layer keeps beside its weights (Normalization's mean) become constants: the exporter would take
    them for inputs of the model."""
    import tensorflow

    for layer in model._flatten_layers():
        for name, value in list(vars(layer).items()):
            if isinstance(value, tensorflow.Tensor):
                setattr(layer, name, value.numpy())


def load(path: Path) -> Any:
    """The model in Keras, its file checked and written anew. Raises BadInput."""
    with path.open("rb") as file, archive.open_archive(file, path) as opened:
        fresh = archive.rewrite(opened, check(opened, path), Path("checked.keras"))
        Path(WEIGHTS).write_bytes(archive.member(opened, WEIGHTS, path, LARGEST_WEIGHTS))
    check_weights(Path(WEIGHTS), path)
    import keras

    return keras.models.load_model(fresh, compile=False, safe_mode=True)


def check(opened: zipfile.ZipFile, path: Path) -> dict[str, str | bytes]:
    """What a fresh archive holds, each name with a member's or the bytes.

    Raises BadInput for what Keras must not see.
    """
    names = set(opened.namelist())
    if names != MEMBERS:
        other = ", ".join(sorted(names ^ MEMBERS))
        what = f"a .keras file holds {', '.join(sorted(MEMBERS))}; differs in: {other}"
        raise BadInput(what, where=str(path))
    size = opened.getinfo(WEIGHTS).file_size
    config, metadata = (
        parse(archive.member(opened, name, path, CONFIG_BYTES), path, f"its {name}")
        for name in ("config.json", "metadata.json")
    )
    for one in objects(config):
        if problem := foreign(one) or find_promised(one, size):
            raise BadInput(problem, where=str(path))
    written = {"config.json": json.dumps(config).encode(), "metadata.json": json.dumps(metadata).encode()}
    return {**written, WEIGHTS: WEIGHTS}


def check_weights(file: Path, path: Path) -> None:
    """No links to other files, no data kept elsewhere, no dataset much larger than the file. Raises BadInput."""
    size = file.stat().st_size
    check_superblock(file, size, path)
    import h5py

    def stray(content: Any, name: str, link: Any) -> str | None:
        # An answer ends the walk; h5py turns what is raised in here into an error of its own.
        if not isinstance(link, h5py.HardLink):
            return f"a link in its weights is refused: {name!r}"
        one = content[name]
        if not isinstance(one, h5py.Dataset):
            return None
        if one.external or one.is_virtual:
            return f"weights kept in another file are refused: {name!r}"
        if one.size * one.dtype.itemsize > archive.MOST_RATIO * size:
            return f"{name!r} claims {one.size:,} numbers in a file of {size:,} bytes"
        return None

    try:
        with h5py.File(file, "r") as content:
            problem = content.visititems_links(partial(stray, content))
    except MemoryError:
        raise
    except Exception as error:
        raise BadInput(f"its {WEIGHTS} is damaged: {first_line(error)}", where=str(path)) from error
    if problem:
        raise BadInput(problem, where=str(path))


def check_superblock(file: Path, size: int, path: Path) -> None:
    """The file is one HDF5 file from its first to its last byte: readers look for the beginning at several places
    (HDF5 File Format Specification, II.A), and what stands before or behind belongs to none. Raises BadInput."""
    with file.open("rb") as opened:
        head = opened.read(SUPERBLOCK)
    version = head[len(HDF5)] if len(head) == SUPERBLOCK else -1
    if not head.startswith(HDF5) or version not in ADDRESSES:
        raise BadInput(f"its {WEIGHTS} is no HDF5 file from its first byte on", where=str(path))
    base, end = (struct.unpack_from("<Q", head, place)[0] for place in ADDRESSES[version])
    if base or end != size:
        raise BadInput(f"its {WEIGHTS} has bytes before its beginning or behind its end", where=str(path))


def foreign(one: dict[str, Any]) -> str | None:
    """What is wrong with an object that names a class, in words."""
    if "class_name" not in one and "module" not in one and not one.get("registered_name"):
        return None
    module, kind, registered = one.get("module"), one.get("class_name"), one.get("registered_name")
    known = (
        (module in ("keras", "keras.models") and kind in (*MODELS, "DTypePolicy"))
        or (module in ("keras.src.models.functional", "keras.src.engine.functional") and kind == "Functional")
        or (module == "keras.layers" and kind in LAYERS)
        or (isinstance(module, str) and kind in OPERATIONS.get(module, ()))
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
