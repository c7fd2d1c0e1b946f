"""Float weights kept in 8 bits of floating point, calculated with in 32: a quarter of the file, the same kernels.

float8 e4m3 (Micikevicius et al., *FP8 Formats for Deep Learning*, arXiv:2209.05433; onnx.ai, float8) has three bits of
precision and reaches from 2^-9 to 448. So every channel has a scale that puts its largest number there: a row of a
table that lookups read, a column of any other matrix. Cast and Mul widen the weights in the graph; both depend on
constants alone, so ONNX Runtime works them out once, while it loads the graph, also where the CUDA provider runs the
rest. (It would not fold DequantizeLinear, and has no lookup in float8.) It is storage, not arithmetic in fp8: a
request costs what it cost before, and so does memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modelpack.passes.base import ANY_HARDWARE, STORED, GraphPass, Inapplicable, PassContext
from modelpack.passes.shared.editing import attributes_of, set_nodes
from modelpack.passes.shared.tables import is_lookup

if TYPE_CHECKING:
    import onnx

SMALLEST = 1024
"""Numbers that a weight has at least: for smaller ones scales and nodes cost more than 8 bits save."""
LARGEST = 448.0
"""Of e4m3 without infinities."""
OPSET = 19
"""The first whose Cast takes float8 (onnx.ai, Cast)."""
FP8, SCALE, WIDE = ".fp8", ".fp8.scale", ".fp8.wide"


class Fp8Weights(GraphPass):
    """float8 e4m3 initializers, Cast and Mul."""

    name: ClassVar[str] = "fp8-weights"
    title: ClassVar[str] = "weights kept in fp8"
    stage: ClassVar[int] = STORED
    hardware: ClassVar[frozenset[str]] = ANY_HARDWARE
    about: ClassVar[str] = "https://onnx.ai/onnx/technical/float8.html"

    def change(self, model: onnx.ModelProto, context: PassContext) -> onnx.ModelProto:
        version = max((one.version for one in model.opset_import if one.domain in {"", "ai.onnx"}), default=0)
        if version < OPSET:
            raise Inapplicable(f"the graph is of opset {version}, and float8 came with {OPSET}")
        given = {value.name for value in model.graph.input}
        chosen = [one for one in model.graph.initializer if one.name not in given and fits(one)]
        if not chosen:
            raise Inapplicable(f"no float matrices of at least {SMALLEST} numbers")
        rows = by_rows(model.graph.node)
        narrowed = [part for tensor in chosen for part in narrow(tensor, 0 if tensor.name in rows else -1)]
        widened = [node for tensor in chosen for node in widening(tensor.name)]
        for tensor in chosen:
            model.graph.initializer.remove(tensor)
        model.graph.initializer.extend(narrowed)
        set_nodes(model.graph, [*widened, *model.graph.node])
        return model


def fits(tensor: onnx.TensorProto) -> bool:
    """A float32 matrix that is large enough, of finite numbers."""
    import onnx
    from onnx import numpy_helper

    if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) < 2:
        return False
    return int(np.prod(tensor.dims)) >= SMALLEST and bool(np.isfinite(numpy_helper.to_array(tensor)).all())


def by_rows(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    """Weights whose rows belong together: tables, what Gemm reads transposed, filters."""
    return {
        node.input[0] if is_lookup(node) else node.input[1]
        for node in nodes
        if is_lookup(node)
        or node.op_type == "Conv"
        or (node.op_type == "Gemm" and attributes_of(node).get("transB"))
    }


def narrow(tensor: onnx.TensorProto, axis: int) -> tuple[onnx.TensorProto, onnx.TensorProto]:
    """The weights in float8 and their scales, one for each place of `axis`."""
    from onnx import numpy_helper

    eighths, scale = in_float8(numpy_helper.to_array(tensor), axis)
    return (
        numpy_helper.from_array(eighths, tensor.name + FP8),
        numpy_helper.from_array(scale, tensor.name + SCALE),
    )


def in_float8(values: NDArray[np.float32], axis: int) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Rounded to the nearest, ties to even; a channel of zeros stays zero."""
    import ml_dtypes

    others = tuple(one for one in range(values.ndim) if one != axis % values.ndim)
    largest = np.abs(values).max(axis=others, keepdims=True)
    scale = np.where(largest > 0, largest / np.float32(LARGEST), np.float32(1)).astype(np.float32)
    # the division may end a hair above what float8 holds, which would become NaN
    scaled = np.clip(values / scale, -LARGEST, LARGEST)
    return scaled.astype(ml_dtypes.float8_e4m3fn), scale


def widening(name: str) -> list[onnx.NodeProto]:
    """float8 -> float32 under the weight's own name."""
    from onnx import TensorProto, helper

    return [
        helper.make_node("Cast", [name + FP8], [name + WIDE], name + WIDE, to=TensorProto.FLOAT),
        helper.make_node("Mul", [name + WIDE, name + SCALE], [name], f"{name}.fp8.scaled"),
    ]
