"""The process that converts: `python -m modelpack.sources.tensorflow_convert keras|savedmodel PATH OUT.onnx`.

Keras: its own `Model.export(format="onnx")`. SavedModel: tf2onnx (github.com/onnx/tensorflow-onnx), the signature
`serving_default`. Prints `refused: REASON` and exits 3 for what must not be loaded.
"""

from __future__ import annotations

import resource
import sys
import zipfile
from pathlib import Path
from typing import Any

OPSET = 18
REFUSED = 3
MEMORY = 48_000_000_000
"""Bytes of address space; TensorFlow itself reserves several billion."""
PLUMBING = {
    "NoOp",
    "Placeholder",
    "VarHandleOp",
    "ReadVariableOp",
    "AssignVariableOp",
    "RestoreV2",
    "SaveV2",
    "ShardedFilename",
    "MergeV2Checkpoints",
    "StatefulPartitionedCall",
    "PartitionedCall",
    "StaticRegexFullMatch",
    "StringJoin",
    "Const",
    "Identity",
    "IdentityN",
    "Pack",
    "Select",
    "DisableCopyOnRead",
    "VarIsInitializedOp",
    "StopGradient",
}


def refuse(reason: str) -> None:
    """Say why, and end."""
    print(f"refused: {reason}", file=sys.stderr)
    raise SystemExit(REFUSED)


def check_weights(path: Path) -> None:
    """No links to other files, no data kept elsewhere, no dataset much larger than the file."""
    import h5py

    size = path.stat().st_size
    with (
        zipfile.ZipFile(path) as archive,
        archive.open("model.weights.h5") as content,
        h5py.File(content, "r") as file,
    ):

        def seen(name: str, link: Any) -> None:
            if not isinstance(link, h5py.HardLink):
                refuse(f"a link in its weights is refused: {name!r}")
            one = file[name]
            if isinstance(one, h5py.Dataset):
                if one.external or one.is_virtual:
                    refuse(f"weights kept in another file are refused: {name!r}")
                if one.size * one.dtype.itemsize > 200 * size:
                    refuse(f"{name!r} claims {one.size:,} numbers in a file of {size:,} bytes")

        file.visititems_links(seen)


def keras_model(path: Path, target: Path) -> None:
    """A checked .keras file to ONNX."""
    check_weights(path)
    import keras

    model = keras.models.load_model(path, compile=False, safe_mode=True)
    # A Sequential fresh from its file has never been called, and export wants its call's signature.
    zeros = [keras.ops.zeros([size or 1 for size in one.shape], dtype=one.dtype) for one in model.inputs]
    model(zeros if len(zeros) > 1 else zeros[0])
    model.export(target, format="onnx", opset_version=OPSET, verbose=False)


def saved_model(path: Path, target: Path) -> None:
    """A SavedModel folder to ONNX, its operators checked before it is loaded."""
    import tf2onnx.convert
    from tensorflow.core.protobuf import saved_model_pb2
    from tf2onnx import tfonnx
    from tf2onnx.handler import tf_op

    assert tfonnx
    held = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    known = {
        name for versions in tf_op.get_opsets().values() for table in versions for name in table
    } | PLUMBING
    for meta in held.meta_graphs:
        functions = [node for one in meta.graph_def.library.function for node in one.node_def]
        local = {one.signature.name for one in meta.graph_def.library.function}
        foreign = {node.op for node in (*meta.graph_def.node, *functions)} - known - local
        if foreign:
            refuse(f"operators that ONNX cannot express are refused: {', '.join(sorted(foreign))}")
    sys.argv = ["tf2onnx", "--saved-model", str(path), "--output", str(target), "--opset", str(OPSET)]
    tf2onnx.convert.main()


def main() -> None:
    """Convert as the arguments say."""
    kind, path, target = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    {"keras": keras_model, "savedmodel": saved_model}[kind](path, target)


if __name__ == "__main__":
    main()
