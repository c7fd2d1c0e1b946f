"""Sizes that a graph makes tensors of: whole numbers, or the graph is refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelpack.errors import BadInput
from modelpack.sources.graphs import read


def undefined(tensor: Any) -> None:
    tensor.data_type = 0


def unknown(tensor: Any) -> None:
    tensor.data_type = 4242


def cut(tensor: Any) -> None:
    tensor.raw_data = tensor.raw_data[:-3]


def text(tensor: Any) -> None:
    tensor.ClearField("raw_data")
    tensor.data_type = 8
    tensor.string_data.extend([b"many", b"more"])


def infinite(tensor: Any) -> None:
    tensor.ClearField("raw_data")
    tensor.data_type = 1
    tensor.float_data.extend([float("inf"), float("nan")])


def outside(tensor: Any) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    for key, value in (("location", "weights.bin"), ("length", "²")):
        tensor.external_data.add(key=key, value=value)


@pytest.mark.parametrize("damage", [undefined, unknown, cut, text, infinite, outside])
def test_sizes_that_are_no_numbers_are_refused(tmp_path: Path, damage: Any) -> None:
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    shape = numpy_helper.from_array(np.array([2, 3], np.int64), "shape")
    damage(shape)
    nodes = [helper.make_node("ConstantOfShape", ["shape"], ["y"])]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])
    model = helper.make_model(helper.make_graph(nodes, "sizes", [], [output], [shape]))
    (tmp_path / "weights.bin").write_bytes(b"0" * 64)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(BadInput):
        read(tmp_path / "model.onnx")
