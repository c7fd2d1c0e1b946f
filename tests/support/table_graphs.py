"""Small ONNX graphs around a table or a dense layer, and a run of any of their values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tiny_usecase import Tiny

from modelpack.formats.onnx_files import write
from modelpack.formats.variant import Variant
from modelpack.passes.base import PassContext


def looked_up(table: np.ndarray, folder: Path, more: list[onnx.NodeProto] | None = None) -> Variant:
    """`item` + 1 -> the table's row there: as if behind a vocabulary that begins at -1."""
    nodes = [
        helper.make_node("Add", ["item", "one"], ["place"], "vocabulary"),
        helper.make_node("Gather", ["table", "place"], ["row"], "lookup", axis=0),
        *(more or []),
    ]
    shape = ["batch", *table.shape[1:]]
    given = [helper.make_tensor_value_info("item", TensorProto.INT64, ["batch"])]
    answered = [helper.make_tensor_value_info("row", TensorProto.FLOAT, shape)]
    weights = [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.int64(1), "one")]
    return written(helper.make_graph(nodes, "looked-up", given, answered, weights), folder)


def dense(weights: np.ndarray, bias: np.ndarray | None, folder: Path, gemm: bool = True) -> Variant:
    """(batch, inputs) -> weights (outputs, inputs) and bias: a Gemm, or a MatMul without bias."""
    held = weights if gemm else np.ascontiguousarray(weights.T)
    tensors = [numpy_helper.from_array(held, "weights")]
    names = ["x", "weights"]
    if gemm and bias is not None:
        tensors.append(numpy_helper.from_array(bias, "bias"))
        names.append("bias")
    node = (
        helper.make_node("Gemm", names, ["y"], transB=1) if gemm else helper.make_node("MatMul", names, ["y"])
    )
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", weights.shape[1]])]
    answered = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", weights.shape[0]])]
    return written(helper.make_graph([node], "dense", given, answered, tensors), folder)


def best(width: int, count: int, folder: Path) -> Variant:
    """The `count` largest of (batch, width) and where they are."""
    node = helper.make_node("TopK", ["x", "k"], ["values", "places"], axis=1)
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", width])]
    answered = [
        helper.make_tensor_value_info("values", TensorProto.FLOAT, ["batch", count]),
        helper.make_tensor_value_info("places", TensorProto.INT64, ["batch", count]),
    ]
    weights = [numpy_helper.from_array(np.array([count]), "k")]
    return written(helper.make_graph([node], "best", given, answered, weights), folder)


def written(graph: onnx.GraphProto, folder: Path) -> Variant:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return write(model, folder)


def context(folder: Path, traffic: dict[str, np.ndarray] | None = None) -> PassContext:
    return PassContext(Tiny(), {}, folder, traffic=lambda: traffic)


def value(variant: Variant, wanted: str, **inputs: np.ndarray) -> np.ndarray:
    """Any value of the graph, by name."""
    model = onnx.load(str(variant.path))
    if wanted not in {one.name for one in model.graph.output}:
        model.graph.output.append(helper.make_tensor_value_info(wanted, TensorProto.UNDEFINED, None))
        inferred = onnx.shape_inference.infer_shapes(onnx.load(str(variant.path)))
        kinds = {one.name: one.type.tensor_type.elem_type for one in inferred.graph.value_info}
        model.graph.output[-1].type.tensor_type.elem_type = kinds.get(wanted, TensorProto.FLOAT)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: NDArray[Any] = session.run([wanted], inputs)[0]
    return found


def constants(variant: Variant) -> dict[str, np.ndarray]:
    return {one.name: numpy_helper.to_array(one) for one in onnx.load(str(variant.path)).graph.initializer}
