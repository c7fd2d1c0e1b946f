"""A table whose rows are laid side by side, as Keras' Flatten does it: int8 keeps the answers in the runtime too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from tiny_usecase import Tiny

from modelpack.formats.variant import ONNX, Variant
from modelpack.passes.base import PassContext
from modelpack.passes.embedding.int8 import EmbeddingInt8
from modelpack.passes.int8 import Int8

ROWS, WIDTH, LENGTH = 400, 32, 5


def model(folder: Path) -> Variant:
    """Gather -> Reshape -> MatMul."""
    generator = np.random.default_rng(0)
    tables = {
        "table": generator.normal(size=(ROWS, WIDTH)).astype(np.float32),
        "dense": generator.normal(size=(LENGTH * WIDTH, ROWS)).astype(np.float32),
        "flat": np.array([-1, LENGTH * WIDTH]),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "history"], ["rows"], axis=0),
            helper.make_node("Reshape", ["rows", "flat"], ["side by side"]),
            helper.make_node("MatMul", ["side by side", "dense"], ["scores"]),
        ],
        "next",
        [helper.make_tensor_value_info("history", TensorProto.INT64, ["rows", LENGTH])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", ROWS])],
        [numpy_helper.from_array(array, name) for name, array in tables.items()],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), str(folder / "model.onnx"))
    return Variant(ONNX, folder / "model.onnx")


def test_the_runtime_answers_alike_after_both_passes(tmp_path: Path) -> None:
    first = model(tmp_path)
    asked = np.random.default_rng(1).integers(0, ROWS, (64, LENGTH))

    def answers(variant: Variant) -> np.ndarray:
        session = onnxruntime.InferenceSession(str(variant.path), providers=["CPUExecutionProvider"])
        return np.asarray(session.run(None, {"history": asked})[0])

    narrow = EmbeddingInt8().apply(first, PassContext(Tiny(), {}, tmp_path / "narrow"))
    both = Int8().apply(narrow, PassContext(Tiny(), {}, tmp_path / "both"))
    wanted = answers(first)
    for variant in (narrow, both):
        assert np.abs(answers(variant) - wanted).mean() / np.abs(wanted).mean() < 0.05
