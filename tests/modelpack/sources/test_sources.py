"""Model files from users: a fit one is taken, every other refused with the reason and nothing outside it read."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny_usecase import Tiny

from modelpack.digests import sha256_of
from modelpack.errors import BadInput
from modelpack.formats.onnx_files import write
from modelpack.sources.base import open_model
from modelpack.usecases.base import UseCase, usecases


def graph(domain: str = "", op: str = "Identity", score: str = "score") -> onnx.ModelProto:
    """item -> next (item + 0), score; weights of 2,000 numbers so that they go to a file of their own."""
    weights = numpy_helper.from_array(np.zeros(2000, dtype=np.int64), "zeros")
    nodes = [
        helper.make_node("Gather", ["zeros", "item"], ["offset"]),
        helper.make_node("Add", ["item", "offset"], ["sum"]),
        helper.make_node(op, ["sum"], ["next"], domain=domain),
        helper.make_node("Cast", ["sum"], [score], to=TensorProto.FLOAT),
    ]
    inputs = [helper.make_tensor_value_info("item", TensorProto.INT64, ["batch"])]
    outputs = [
        helper.make_tensor_value_info("next", TensorProto.INT64, ["batch"]),
        helper.make_tensor_value_info(score, TensorProto.FLOAT, ["batch"]),
    ]
    opsets = [helper.make_opsetid("", 20)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return helper.make_model(
        helper.make_graph(nodes, "g", inputs, outputs, [weights]), opset_imports=opsets, ir_version=10
    )


def opened(path: Path, folder: Path) -> Any:
    return open_model(path, Tiny(), folder)


def test_a_fit_graph_is_taken_with_its_weights(tmp_path: Path) -> None:
    given = write(graph(), tmp_path / "given")
    variant = opened(given.path, tmp_path / "taken")
    assert sorted(variant.files) == ["model.bin", "model.onnx"]
    assert sha256_of(variant.files["model.bin"]) == sha256_of(given.files["model.bin"])


def edited(change: Callable[[onnx.TensorProto], None]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = write(graph(), folder).path
        model = onnx.load_model(str(path), load_external_data=False)
        change(model.graph.initializer[0])
        path.write_bytes(model.SerializeToString())
        return path

    return make


def entry(key: str, value: str) -> Callable[[onnx.TensorProto], None]:
    def change(tensor: onnx.TensorProto) -> None:
        kept = {item.key: item.value for item in tensor.external_data} | {key: value}
        del tensor.external_data[:]
        for name, text in kept.items():
            tensor.external_data.add(key=name, value=text)

    return change


def linked(folder: Path) -> Path:
    path = write(graph(), folder).path
    (folder / "model.bin").rename(folder.parent / "elsewhere.bin")
    (folder / "model.bin").symlink_to(folder.parent / "elsewhere.bin")
    return path


def text_file(folder: Path) -> Path:
    folder.mkdir()
    (folder / "model.onnx").write_text("this is not a model, only some words that go on for a while")
    return folder / "model.onnx"


def without_weights(folder: Path) -> Path:
    path = write(graph(), folder).path
    (folder / "model.bin").unlink()
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (edited(entry("location", "../secret")), "outside the model's folder"),
        (edited(entry("location", "/etc/passwd")), "outside the model's folder"),
        (edited(entry("location", "")), "outside the model's folder"),
        (linked, "outside the model's folder"),
        (edited(entry("location", "other.bin")), "weights file is missing"),
        (without_weights, "weights file is missing"),
        (edited(entry("length", "99999999")), "are asked for"),
        (edited(entry("offset", "-8")), "no proper offset"),
        (edited(entry("offset", "many")), "no proper offset"),
        (lambda folder: write(graph("evil", "Run"), folder).path, "custom operators are refused: evil::Run"),
        (lambda folder: write(graph(score="points"), folder).path, "its outputs are"),
        (text_file, "damaged or not an ONNX file"),
    ],
)
def test_an_unfit_graph_is_refused(tmp_path: Path, make: Callable[[Path], Path], words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        opened(make(tmp_path / "given"), tmp_path / "taken")
    assert "model.onnx" in str(caught.value)


def test_a_path_must_be_there_and_of_a_known_format(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such model file"):
        opened(tmp_path / "model.onnx", tmp_path / "taken")
    with pytest.raises(BadInput, match="unknown model format") as caught:
        opened(tmp_path / "model.onx", tmp_path / "taken")
    assert ".onnx" in caught.value.hint
    (tmp_path / "model.onnx").touch()
    with pytest.raises(BadInput, match="empty"):
        opened(tmp_path / "model.onnx", tmp_path / "taken")


def header(data: object, length: int | None = None) -> bytes:
    text = json.dumps(data).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"short", "damaged or not a safetensors"),
        (header({}, 1 << 60), "damaged or not a safetensors"),
        (
            header({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}),
            "damaged or not a safetensors",
        ),
        (header({}), "not a model of the use case"),
        (header({"__metadata__": {"ecomdeploy": "{"}}), "not JSON"),
        (header({"__metadata__": {"ecomdeploy": '{"kind": "other"}'}}), "metadata says 'other'"),
        (
            header({"__metadata__": {"ecomdeploy": '{"kind": "recommendation.basket/1"}'}}),
            "the tensors do not fit",
        ),
        (
            header(
                {
                    "__metadata__": {
                        "ecomdeploy": json.dumps(
                            {
                                "kind": "recommendation.basket/1",
                                "shape": {"households": 10**12, "products": 10**12},
                            }
                        )
                    }
                }
            ),
            "the tensors do not fit",
        ),
    ],
)
def test_an_unfit_safetensors_file_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    usecase: UseCase[Any] = usecases().get("recommendation")
    with pytest.raises(BadInput, match=words) as caught:
        open_model(path, usecase, tmp_path / "taken")
    assert str(path) in str(caught.value)
