"""Hostile Keras, SavedModel, Hugging Face and tree files; see `hostile`."""

from __future__ import annotations

import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile
import lightgbm
import numpy as np
from safetensors.numpy import save_file

CASES: dict[str, hostile.Case] = {}
RECORDED = Path(__file__).parents[1] / "modelpack" / "recorded" / "xgboost_binary.json"


# Keras.


def layer(
    kind: str, module: str = "keras.layers", registered: str | None = None, **config: Any
) -> dict[str, Any]:
    return {"module": module, "class_name": kind, "config": config, "registered_name": registered}


def hdf5(size: int) -> bytes:
    """Something that begins and ends as an HDF5 file does."""
    head = b"\x89HDF\r\n\x1a\n" + bytes(16) + struct.pack("<4Q", 0, 2**64 - 1, size, 2**64 - 1)
    return head + os.urandom(size - len(head))


def keras_file(
    folder: Path,
    layers: list[Any],
    size: int = 1000,
    extra: dict[str, bytes] | None = None,
    weights: bytes | None = None,
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.keras"
    config = layer("Sequential", "keras", layers=layers)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", "{}")
        archive.writestr("model.weights.h5", weights if weights is not None else hdf5(size))
        for name, data in (extra or {}).items():
            archive.writestr(name, data)
    return path


def keras(*layers: Any, **more: Any) -> hostile.Case:
    return lambda folder, canary: keras_file(folder, list(layers), **more)


CASES |= {
    "keras with a Lambda": keras(
        layer("Lambda", function={"class_name": "__lambda__", "config": {"code": "4wE="}})
    ),
    "keras with a lambda inside a layer": keras(
        layer("Dense", units=1, activation={"class_name": "__lambda__", "config": {"code": "4wE="}})
    ),
    "keras that names os.system": keras(layer("system", "os", command="true")),
    "keras that names a function of ours": keras(layer("function", "builtins", "function", x="eval")),
    "keras with a registered class": keras(layer("Dense", registered="evil>Dense", units=1)),
    "keras with a TFSMLayer": keras(layer("TFSMLayer", filepath="/tmp/evil")),
    "keras that reads a file": keras(layer("StringLookup", vocabulary="/etc/passwd")),
    "keras with a huge Dense": keras(layer("Dense", units=10**12)),
    "keras with a huge Embedding": keras(layer("Embedding", input_dim=10**7, output_dim=10**7)),
    "keras with a negative size": keras(layer("Dense", units=-1)),
    "keras with a further file": keras(layer("Flatten"), extra={"assets/x.py": b"import os"}),
    "keras with a name outside": keras(layer("Flatten"), extra={"../x": b"1"}),
}


# SavedModel.


def field(number: int, data: bytes) -> bytes:
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


def saved_model(op: bytes, extra: str = "") -> hostile.Case:
    def made(folder: Path, canary: Path) -> Path:
        path = folder / "model"
        path.mkdir(parents=True)
        node = field(1, field(1, b"n") + field(2, op) + field(3, b"in"))
        (path / "saved_model.pb").write_bytes(field(2, field(2, node)))
        if extra:
            (path / extra).parent.mkdir(exist_ok=True)
            (path / extra).write_bytes(b"x")
        return path

    return made


CASES |= {
    "savedmodel that writes files": saved_model(b"WriteFile"),
    "savedmodel that reads files": saved_model(b"ReadFile"),
    "savedmodel that runs Python": saved_model(b"EagerPyFunc"),
    "savedmodel with a library": saved_model(b"Identity", "assets/x.so"),
}


# Hugging Face.


def face(folder: Path, config: dict[str, Any] | None = None, files: dict[str, bytes] | None = None) -> Path:
    path = folder / "model"
    path.mkdir(parents=True)
    save_file({"w": np.zeros(4, np.float32)}, path / "model.safetensors")
    told = {"model_type": "bert", "architectures": ["BertModel"], **(config or {})}
    (path / "config.json").write_text(json.dumps(told))
    for name, data in (files or {}).items():
        (path / name).write_bytes(data)
    return path


def huggingface(config: dict[str, Any] | None = None, files: dict[str, bytes] | None = None) -> hostile.Case:
    return lambda folder, canary: face(folder, config, files)


def linked(folder: Path, canary: Path) -> Path:
    path = face(folder)
    (path / "vocab.txt").symlink_to("/etc/passwd")
    return path


def pickled(folder: Path, canary: Path) -> Path:
    path = face(folder, files={"pytorch_model.bin": hostile.torch_file(hostile.pickles(canary)["global"])})
    (path / "model.safetensors").unlink()
    return path


INDEX = json.dumps({"weight_map": {"w": "../../elsewhere.safetensors"}}).encode()
CASES |= {
    "huggingface with remote code": huggingface({"auto_map": {"AutoModel": "modeling.Evil"}}),
    "huggingface with a Python file": huggingface(files={"modeling_evil.py": b"import os"}),
    "huggingface with pickled weights": pickled,
    "huggingface with a link": linked,
    "huggingface with a shard elsewhere": huggingface(files={"model.safetensors.index.json": INDEX}),
    "huggingface with an absurd size": huggingface({"vocab_size": 10**15}),
    "huggingface with a bad header": huggingface(files={"model.safetensors": b"\xff" * 64}),
    "huggingface with an archive": huggingface(files={"more.zip": b"PK\x03\x04"}),
}


# Trees.


def boosted() -> Any:
    rows = np.random.default_rng(0).normal(size=(300, 4))
    options = {"objective": "binary", "verbosity": -1, "num_threads": 1, "seed": 1}
    return lightgbm.train(options, lightgbm.Dataset(rows, rows[:, 0] > 0), 3)


def xgboost(change: Callable[[dict[str, Any]], None]) -> hostile.Case:
    def made(folder: Path, canary: Path) -> Path:
        data = json.loads(RECORDED.read_text())["model"]
        change(data["learner"])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.json").write_text(json.dumps(data))
        return folder / "model.json"

    return made


def first_tree(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda learner: learner["gradient_booster"]["model"]["trees"][0].update({key: value})


def lines(old: str, new: str) -> hostile.Case:
    def made(folder: Path, canary: Path) -> Path:
        words = boosted().model_to_string()
        assert old in words
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.txt").write_text(words.replace(old, new, 1))
        return folder / "model.txt"

    return made


def deep(folder: Path, canary: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.json").write_text("[" * 100_000 + "]" * 100_000)
    return folder / "model.json"


CASES |= {
    "xgboost with absurdly many trees": xgboost(
        lambda learner: learner["gradient_booster"]["model"]["gbtree_model_param"].update(
            num_trees="999999999999"
        )
    ),
    "xgboost with absurdly many features": xgboost(
        lambda learner: learner["learner_model_param"].update(num_feature="999999999999")
    ),
    "xgboost with a loop": xgboost(first_tree("left_children", [0] * 15)),
    "xgboost with a child nowhere": xgboost(first_tree("right_children", [10**12] * 15)),
    "xgboost nested too deep": deep,
    "lightgbm with absurdly many leaves": lines("num_leaves=", "num_leaves=99999999"),
    "lightgbm with absurdly many trees": lines("tree_sizes=", "tree_sizes=" + "9 " * 1000),
    "lightgbm with absurdly many features": lines("max_feature_idx=3", "max_feature_idx=2147483647"),
    "lightgbm with a loop": lines("left_child=", "left_child=0 "),
    "lightgbm cut short": lines("end of trees", ""),
}
