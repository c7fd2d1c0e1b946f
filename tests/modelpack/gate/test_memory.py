"""Peak memory of a fresh process: the model's own, whatever this process holds; a model that kills it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny_usecase import Tiny

from modelpack.errors import EcomdeployError
from modelpack.formats.onnx_files import write
from modelpack.formats.variant import ONNX, Variant
from modelpack.gate.memory import own_peak_kib, peak_mb

BATCH = {"item": np.arange(1, 2, dtype=np.int64)}


def variant(folder: Path, width: int) -> Variant:
    """A layer of `width` floats that are all read for an answer."""
    layer = numpy_helper.from_array(np.ones((1, width), dtype=np.float32), "layer")
    axis = numpy_helper.from_array(np.array([1], dtype=np.int64), "axis")
    nodes = [
        helper.make_node("Cast", ["item"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["number", "axis"], ["column"]),
        helper.make_node("MatMul", ["column", "layer"], ["wide"]),
        helper.make_node("ReduceMax", ["wide"], ["score"], axes=[1], keepdims=0),
        helper.make_node("Identity", ["item"], ["next"]),
    ]
    ends: list[Any] = [
        helper.make_tensor_value_info(name, kind, ["batch"])
        for name, kind in (
            ("item", TensorProto.INT64),
            ("next", TensorProto.INT64),
            ("score", TensorProto.FLOAT),
        )
    ]
    graph = helper.make_graph(nodes, "wide", ends[:1], ends[1:], [layer, axis])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return write(model, folder)


def test_it_is_the_model_s_own_and_grows_with_it(tmp_path: Path) -> None:
    ballast = np.ones(60_000_000)
    small = peak_mb(variant(tmp_path / "small", 10), Tiny(), BATCH)
    large = peak_mb(variant(tmp_path / "large", 20_000_000), Tiny(), BATCH)
    assert own_peak_kib() > ballast.nbytes / 1024
    assert small < 250
    assert large - small > 100


def test_a_model_that_does_not_load_is_told(tmp_path: Path) -> None:
    broken = tmp_path / "model.onnx"
    broken.write_bytes(b"no model")
    with pytest.raises(EcomdeployError, match=r"ends with status 1: .*ONNX Runtime cannot load it"):
        peak_mb(Variant(ONNX, broken), Tiny(), BATCH)
