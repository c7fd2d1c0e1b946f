"""Float weights kept in 16 bits, calculated with in 32: half of the file, the same kernels.

Every large float32 matrix is rounded to the nearest float16 (11 bits of precision, IEEE 754) and cast back to float32
in the graph. A table that only lookups read is cast after the lookup, so it stays small in memory too; any other
weight is cast once, when ONNX Runtime loads the graph and folds constants, so a request costs nothing more. A matrix
with a number that float16 cannot hold (above 65504) stays as it is. It is not arithmetic in half precision: CPUs
without AVX512-FP16 have none, and those that do are not served by ONNX Runtime's dense kernels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from modelpack.passes.base import STORED, GraphPass, Inapplicable, PassContext
from modelpack.passes.shared.editing import set_nodes
from modelpack.passes.shared.tables import is_lookup, used_elsewhere

if TYPE_CHECKING:
    import onnx

SMALLEST = 256
"""Numbers that a weight has at least: for smaller ones the node costs more than it saves."""
HALF = ".half"


class HalfWeights(GraphPass):
    """float16 initializers and a Cast."""

    name: ClassVar[str] = "half-weights"
    title: ClassVar[str] = "weights kept in 16 bits"
    stage: ClassVar[int] = STORED
    about: ClassVar[str] = "https://onnx.ai/onnx/operators/onnx__Cast.html"

    def change(self, model: onnx.ModelProto, context: PassContext) -> onnx.ModelProto:
        chosen = {tensor.name for tensor in model.graph.initializer if fits(tensor)}
        if not chosen:
            raise Inapplicable(f"no float weights of at least {SMALLEST} numbers that fit 16 bits")
        halve(model.graph, chosen)
        return model


def fits(tensor: onnx.TensorProto) -> bool:
    """A float32 weight that is large enough and within float16's range."""
    import onnx
    from onnx import numpy_helper

    if tensor.data_type != onnx.TensorProto.FLOAT or int(np.prod(tensor.dims)) < SMALLEST:
        return False
    largest = float(np.abs(numpy_helper.to_array(tensor)).max())
    return largest <= float(np.finfo(np.float16).max)


def halve(graph: onnx.GraphProto, chosen: set[str]) -> None:
    """The chosen weights in 16 bits, cast where they are read."""
    from onnx import numpy_helper

    lookups = [node for node in graph.node if is_lookup(node) and node.input[0] in chosen]
    tables = {node.input[0] for node in lookups} - used_elsewhere(graph, lookups)
    for tensor in graph.initializer:
        if tensor.name in chosen:
            values = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name + HALF))
    nodes = [cast(name + HALF, name) for name in sorted(chosen - tables)]
    for node in graph.node:
        if is_lookup(node) and node.input[0] in tables:
            found, own = node.output[0], node.input[0]
            node.input[0], node.output[0] = own + HALF, found + HALF
            nodes += [node, cast(found + HALF, found)]
        else:
            nodes.append(node)
    set_nodes(graph, nodes)


def cast(given: str, made: str) -> onnx.NodeProto:
    """float16 -> float32."""
    import onnx

    return onnx.helper.make_node("Cast", [given], [made], f"{made}.wide", to=onnx.TensorProto.FLOAT)
