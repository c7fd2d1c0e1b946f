"""A user's own use case as he would write it, and a small model of his: twelve numbers in, three scores out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

SHOP = '''
import numpy as np

from ecomdeploy import OwnModel


class ShopRecs(OwnModel):
    """Which of three shelves a customer goes to"""

    metric_name = "accuracy"

    def requests(self):
        rows = np.random.default_rng(0).normal(size=(60, 12)).astype("float32")
        return {"features": rows}, rows[:, :3].argmax(axis=1)

    def metric(self, answers, truths):
        return answers["scores"].argmax(axis=1) == truths

    def baseline(self, inputs):
        """always the first shelf"""
        return {"scores": np.tile([1, 0, 0], (len(inputs["features"]), 1))}
'''


def write_shop(folder: Path, *changes: tuple[str, str], text: str = SHOP) -> Path:
    """shop.py in the folder, with parts of its text replaced."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    file = folder / "shop.py"
    file.write_text(text)
    return file


def write_model(file: Path, batch: int | str = "rows", shape: Sequence[int] = (12,)) -> Path:
    """scores = features @ weights, exact for what SHOP asks."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.eye(12, 3, dtype=np.float32)
    output = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, 3])
    nodes = [helper.make_node("MatMul", ["features", "weights"], ["scores"])]
    graph = helper.make_graph(
        nodes,
        "shelves",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [batch, *shape])],
        [output],
        [numpy_helper.from_array(weights, "weights")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(file))
    return file


def write_scaled_model(file: Path) -> Path:
    """scores = features @ weights * scale, and best = the first of the largest; `scale` is one number a call."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("MatMul", ["features", "weights"], ["sums"]),
        helper.make_node("Mul", ["sums", "scale"], ["scores"]),
        helper.make_node("ArgMax", ["scores"], ["best"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "shelves",
        [
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", 12]),
            helper.make_tensor_value_info("scale", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", 3]),
            helper.make_tensor_value_info("best", TensorProto.INT64, ["rows"]),
        ],
        [numpy_helper.from_array(np.eye(12, 3, dtype=np.float32), "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(file))
    return file


TRANSFORMED = '''
import numpy as np

from ecomdeploy import OwnModel, Tensor, Transform


class ShopRecs(OwnModel):
    """Which of three shelves a customer goes to, by what he paid there"""

    metric_name = "accuracy"
    transform = Transform(
        "features.py",
        inputs=(Tensor("cents", "INT64", (-1, 3)), Tensor("least", "FP32", (-1,), default=0.0)),
        outputs=(Tensor("shelf", "BYTES", (-1,)), Tensor("sure", "BOOL", (-1,))),
    )

    def requests(self):
        cents = np.random.default_rng(0).permutation(180).reshape(60, 3) * 10
        return {"cents": cents}, np.array(["left", "middle", "right"])[cents.argmax(axis=1)]

    def metric(self, answers, truths):
        return answers["shelf"] == truths
'''
FEATURES = """
import numpy as np


def prepare(inputs):
    if (inputs["cents"] < 0).any():
        raise ValueError("cents are never below zero")
    features = np.zeros((len(inputs["cents"]), 12))
    features[:, :3] = inputs["cents"] / 100
    return {"features": features}


def finish(answers):
    scores = answers["scores"]
    words = np.array(["left", "middle", "right"], dtype=object)
    return {"shelf": words[scores.argmax(axis=1)], "sure": scores.max(axis=1) > 9}
"""
"""Code around the same model: cents in, a shelf's name out."""
