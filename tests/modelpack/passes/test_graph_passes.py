"""Static int8, fusion, 16-bit and 8-bit storage on small graphs: what they write, the same bytes, the same answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tables import COLUMNS, MadeAmount, split
from tiny_usecase import Tiny

from modelpack.digests import sha256_of
from modelpack.formats.onnx_files import write
from modelpack.formats.variant import ONNX, TORCH, Variant
from modelpack.passes.base import Pass, PassContext
from modelpack.passes.fp8_weights import FP8, LARGEST, SCALE, Fp8Weights, in_float8
from modelpack.passes.fuse import Fuse
from modelpack.passes.half_weights import HalfWeights
from modelpack.passes.onnx import OnnxExport
from modelpack.passes.static_int8 import StaticInt8
from modelpack.progress import Silent
from modelpack.runtimes.onnxruntime import OnnxRuntime
from modelpack.usecases.chat.usecase import Chat
from modelpack.usecases.tabular import training
from modelpack.usecases.tabular.frame import AMOUNT
from modelpack.usecases.tabular.hyperparameters import Dense

USECASE, DATA = MadeAmount(), split(AMOUNT)


def context(folder: Path) -> PassContext:
    return PassContext(USECASE, USECASE.examples(DATA, 64), folder, USECASE.calibration(DATA))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Variant:
    folder = tmp_path_factory.mktemp("model")
    dense = Dense(hidden=(48, 32))
    model = training.train(COLUMNS, AMOUNT, DATA.training, dense, 3, 7, Silent(), USECASE.scale)
    USECASE.save(model, folder / "model.safetensors")
    return OnnxExport().apply(Variant(TORCH, folder / "model.safetensors"), context(folder / "onnx"))


def answers(variant: Variant) -> NDArray[Any]:
    return OnnxRuntime().open(variant, USECASE)(DATA.test.inputs)["prediction"]


@pytest.mark.parametrize("one", [StaticInt8(), HalfWeights(), Fp8Weights(), Fuse()])
def test_the_same_graph_gives_the_same_bytes_and_nearly_the_same_answers(
    one: Pass, exported: Variant, tmp_path: Path
) -> None:
    first, second = (one.apply(exported, context(tmp_path / name)) for name in ("a", "elsewhere"))
    assert [sha256_of(path) for path in first.files.values()] == [
        sha256_of(path) for path in second.files.values()
    ]
    assert set(first.files) == {"model.onnx", "model.bin"}
    error = np.abs(answers(first) - answers(exported)).mean() / np.abs(answers(exported)).mean()
    assert error < {"static-int8": 0.05, "half-weights": 1e-3, "fp8-weights": 0.05, "fuse": 1e-6}[one.name]
    assert str(tmp_path).encode() not in first.path.read_bytes()


def test_static_int8_stores_a_scale_per_output_channel(exported: Variant, tmp_path: Path) -> None:
    graph = onnx.load(str(StaticInt8().apply(exported, context(tmp_path)).path)).graph
    kept = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    read = {node.input[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    weights = {name: array for name, array in kept.items() if name in read and array.ndim == 2}
    assert sorted(array.shape for array in weights.values()) == [(1, 32), (32, 48), (48, 10)]
    for name, array in weights.items():
        assert array.dtype == np.int8
        assert np.abs(array).max() <= 64  # 7 bits: AVX2 does not saturate
        scale = kept[read[name].input[1]]
        assert scale.shape == (array.shape[0],)
    assert any(node.op_type == "QuantizeLinear" for node in graph.node)


def test_a_step_of_a_loop_has_no_whole_answers_to_find_ranges_on(tmp_path: Path) -> None:
    asked = PassContext(Chat(), {}, tmp_path, calibration={"ids": np.zeros((1, 4), np.int64)})
    with pytest.raises(ValueError, match="one step of a loop"):
        asked.whole_answers()


def test_static_int8_needs_something_to_calibrate_on_and_dense_layers(
    exported: Variant, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="nothing to calibrate on"):
        StaticInt8().apply(exported, PassContext(USECASE, {}, tmp_path))
    done = StaticInt8().apply(exported, context(tmp_path / "once"))
    with pytest.raises(ValueError, match="no dense layer with constant float weights"):
        StaticInt8().apply(done, context(tmp_path / "twice"))


def test_half_of_the_file_and_a_table_is_cast_after_its_lookup(tmp_path: Path) -> None:
    table = np.random.default_rng(0).normal(size=(600, 16)).astype(np.float32)
    large = np.full((16, 32), 1e6, np.float32)
    dense = np.random.default_rng(1).normal(size=(16, 600)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "item"], ["row"], "lookup"),
        helper.make_node("MatMul", ["row", "dense"], ["all"], "dense"),
        helper.make_node("MatMul", ["row", "large"], ["wide"], "large"),
        helper.make_node("ReduceMax", ["all"], ["score"], "max", keepdims=0),
        helper.make_node("ArgMax", ["all"], ["next"], "best", axis=1, keepdims=0),
    ]
    inside = helper.make_tensor_value_info("item", TensorProto.INT64, ["batch"])
    outside = [
        helper.make_tensor_value_info("next", TensorProto.INT64, ["batch"]),
        helper.make_tensor_value_info("wide", TensorProto.FLOAT, ["batch", 32]),
    ]
    kept = [
        numpy_helper.from_array(array, name)
        for name, array in {"table": table, "dense": dense, "large": large}.items()
    ]
    graph = helper.make_graph(nodes, "g", [inside], outside, kept)
    opset = [helper.make_opsetid("", 17)]
    before = write(helper.make_model(graph, opset_imports=opset, ir_version=9), tmp_path / "before")
    after = HalfWeights().apply(before, PassContext(Tiny(), {}, tmp_path / "after"))
    found = onnx.load(str(after.path)).graph
    kinds = {tensor.name: tensor.data_type for tensor in found.initializer}
    assert kinds == {
        "table.half": TensorProto.FLOAT16,
        "dense.half": TensorProto.FLOAT16,
        "large": TensorProto.FLOAT,
    }
    reads = {node.op_type: list(node.input) for node in found.node if node.op_type == "Gather"}
    assert reads == {"Gather": ["table.half", "item"]}
    assert [list(node.input) for node in found.node if node.op_type == "Cast"] == [
        ["dense.half"],
        ["row.half"],
    ]
    weights = (variant.files["model.bin"].stat().st_size for variant in (after, before))
    assert next(weights) < 0.6 * next(weights)
    with pytest.raises(ValueError, match="no float weights"):
        HalfWeights().apply(after, PassContext(Tiny(), {}, tmp_path / "twice"))


def test_a_quarter_of_the_file_and_nothing_of_fp8_is_left_to_a_request(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table, dense = rng.normal(size=(600, 16)), rng.normal(size=(600, 16)) * 10.0 ** np.arange(-4, 12)
    kept = {"table": table, "dense": dense, "small": np.ones((16, 8)), "bias": np.ones(600)}
    nodes = [
        helper.make_node("Gather", ["table", "item"], ["row"], "lookup"),
        helper.make_node("Gemm", ["row", "dense", "bias"], ["all"], "dense", transB=1),
        helper.make_node("MatMul", ["row", "small"], ["wide"], "small"),
    ]
    before = write(model_of(nodes, kept, 19), tmp_path / "before")
    after = Fp8Weights().apply(before, PassContext(Tiny(), {}, tmp_path / "after"))
    found = onnx.load(str(after.path)).graph
    held = {one.name: numpy_helper.to_array(one) for one in found.initializer}
    assert {name for name, array in held.items() if array.dtype.itemsize == 1} == {
        "table" + FP8,
        "dense" + FP8,
    }
    assert {name: array.shape for name, array in held.items() if name.endswith(SCALE)} == {
        "table" + SCALE: (600, 1),
        "dense" + SCALE: (600, 1),
    }
    weights = (variant.files["model.bin"].stat().st_size for variant in (after, before))
    assert next(weights) < 0.4 * next(weights)
    assert loaded(after, tmp_path) == ["Gather", "Gemm", "MatMul"]
    with pytest.raises(ValueError, match="no float matrices"):
        Fp8Weights().apply(after, PassContext(Tiny(), {}, tmp_path / "twice"))
    old = write(model_of(nodes, kept, 18), tmp_path / "old")
    with pytest.raises(ValueError, match="of opset 18, and float8 came with 19"):
        Fp8Weights().apply(old, PassContext(Tiny(), {}, tmp_path / "older"))


def model_of(nodes: list[Any], kept: dict[str, NDArray[Any]], opset: int) -> onnx.ModelProto:
    inside = helper.make_tensor_value_info("item", TensorProto.INT64, ["batch"])
    outside = [
        helper.make_tensor_value_info("all", TensorProto.FLOAT, ["batch", 600]),
        helper.make_tensor_value_info("wide", TensorProto.FLOAT, ["batch", 8]),
    ]
    held = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in kept.items()]
    graph = helper.make_graph(nodes, "g", [inside], outside, held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def loaded(variant: Variant, folder: Path) -> list[str]:
    """The operators that ONNX Runtime executes, after it has folded what depends on constants alone."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "loaded.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(variant.path), options, providers=["CPUExecutionProvider"])
    kept = onnx.load(options.optimized_model_filepath, load_external_data=False)
    return sorted(node.op_type for node in kept.graph.node)


@given(arrays(np.float32, (4, 6), elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_fp8_is_within_half_a_step_and_keeps_each_row_s_largest(values: NDArray[np.float32]) -> None:
    values[np.abs(values) < 1e-20] = 0
    eighths, scale = in_float8(values, 0)
    wide = eighths.astype(np.float32) * scale
    assert np.isfinite(wide).all()
    largest = np.abs(values).max(axis=1, keepdims=True)
    # 3 bits of precision: half a step is 1/16 of a number; below 2^-6 the steps are even ones of 2^-9
    allowed = np.maximum(np.abs(values) / 16, largest / LARGEST * 2.0**-10)
    assert (np.abs(wide - values) <= allowed * 1.0001).all()
    np.testing.assert_allclose(np.abs(wide).max(axis=1, keepdims=True), largest, rtol=1e-5)


def test_an_encoder_gets_one_operator_for_add_and_normalise(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scale, bias = (rng.normal(size=16).astype(np.float32) for _ in range(2))
    nodes = [
        helper.make_node("Add", ["x", "y"], ["sum"], "add"),
        helper.make_node(
            "LayerNormalization", ["sum", "scale", "bias"], ["z"], "norm", axis=-1, epsilon=1e-5
        ),
    ]
    shape = ["batch", 4, 16]
    inside = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    outside = [helper.make_tensor_value_info("z", TensorProto.FLOAT, shape)]
    kept = [numpy_helper.from_array(scale, "scale"), numpy_helper.from_array(bias, "bias")]
    graph = helper.make_graph(nodes, "g", inside, outside, kept)
    opset = [helper.make_opsetid("", 17)]
    before = write(helper.make_model(graph, opset_imports=opset, ir_version=9), tmp_path / "before")
    after = Fuse().apply(before, PassContext(Tiny(), {}, tmp_path / "after"))
    assert after.format == ONNX
    assert [node.op_type for node in onnx.load(str(after.path)).graph.node] == ["SkipLayerNormalization"]
