"""Large dense layers with weights of four bits on disk, multiplied in int8: an eighth of the size at int8's speed.

The recommender's scoring layer has a column for every product and is most of its bytes. Weights are packed in blocks
of 32 with a scale each; when the graph is loaded they become int8 with a scale per output (the same MatMulInteger as
the pass `int8`; 7 bits, because AVX2's multiply-add saturates beyond). MatMulNBits would keep four bits in memory too,
but unpacks at every call, which a full batch pays for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modelpack.formats.onnx_files import write
from modelpack.formats.variant import ONNX, Variant
from modelpack.passes.base import GRAPH, Inapplicable, Pass, PassContext
from modelpack.passes.shared import nibbles, ranges

if TYPE_CHECKING:
    import onnx

FEWEST_WEIGHTS = 65_536
BLOCK = 32
STEPS = 63
Floats = NDArray[np.float32]


class DenseInt4(Pass):
    """MatMul and Gemm with constant weights, large ones only."""

    name: ClassVar[str] = "dense-int4"
    title: ClassVar[str] = "large dense layers in packed int4, multiplied in int8"
    stage: ClassVar[int] = GRAPH
    takes: ClassVar[str] = ONNX
    gives: ClassVar[str] = ONNX
    about: ClassVar[str] = "https://arxiv.org/abs/2212.09720"

    def apply(self, variant: Variant, context: PassContext) -> Variant:
        import onnx
        from onnx import numpy_helper

        model = onnx.load(str(variant.path))
        graph = model.graph
        constant = {tensor.name: tensor for tensor in graph.initializer}
        layers = {
            place: weights
            for place, node in enumerate(graph.node)
            if (weights := outputs_first(node, constant)) is not None
        }
        if not layers:
            raise Inapplicable(f"no dense layer of at least {FEWEST_WEIGHTS:,} constant weights")
        covered = ranges.found(model, {graph.node[place].input[0] for place in layers}, context)
        opset = ranges.opset_of(model)
        nodes, constants = [], dict[str, Any]()
        for place, node in enumerate(graph.node):
            if place not in layers:
                nodes.append(node)
                continue
            own, further = product(node, opset).nodes(covered.get(node.input[0]))
            nodes += own
            constants |= further
        for name, array in constants.items():
            graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
        for name, weights in {graph.node[place].input[1]: found for place, found in layers.items()}.items():
            for suffix, array in stored_constants(weights).items():
                graph.initializer.append(numpy_helper.from_array(np.asarray(array), f"{name}.{suffix}"))
            nodes = [*multiplier(name), *nodes]
        read = {name for node in nodes for name in node.input}
        for tensor in [one for one in graph.initializer if one.name not in read]:
            graph.initializer.remove(tensor)
        del graph.node[:]
        graph.node.extend(nodes)
        ranges.with_domain(model)
        return write(model, context.folder)


def product(node: onnx.NodeProto, opset: int) -> ranges.Product:
    """A layer over the int8 weights that `multiplier` makes."""
    name, bias = node.input[1], node.input[2] if len(node.input) > 2 else ""
    return ranges.Product(node.input[0], f"{name}.int8", f"{name}.scale", bias, node.output[0], opset)


def outputs_first(node: onnx.NodeProto, constant: dict[str, Any]) -> Floats | None:
    """The weights as (outputs, inputs) of a layer that this pass can change; else None."""
    from onnx import TensorProto, helper, numpy_helper

    tensor = constant.get(node.input[1]) if node.op_type in ("MatMul", "Gemm") else None
    if tensor is None or tensor.data_type != TensorProto.FLOAT or len(tensor.dims) != 2:
        return None
    given = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    if (given.get("alpha", 1.0), given.get("beta", 1.0), given.get("transA", 0)) != (1.0, 1.0, 0):
        return None
    values: Floats = numpy_helper.to_array(tensor)
    weights = values if given.get("transB") else np.ascontiguousarray(values.T)
    return weights if weights.size >= FEWEST_WEIGHTS and weights.shape[1] % BLOCK == 0 else None


def stored_constants(weights: Floats) -> dict[str, nibbles.Constant]:
    """What stays of (outputs, inputs) weights."""
    codes, scales = nibbles.in_codes(weights, BLOCK)
    return {
        "nibbles": nibbles.pack(codes),
        "scales": scales,
        **nibbles.constants(BLOCK, weights.shape[1]),
        "inputs": np.array([1], dtype=np.int64),
        "most": np.float32(STEPS),
        "least": np.float32(np.finfo(np.float16).tiny),
    }


def multiplier(name: str) -> list[onnx.NodeProto]:
    """Once, when the graph is loaded: `<name>.int8` (inputs, outputs) and `<name>.scale` (outputs,)."""
    from onnx import TensorProto, helper

    def node(operator: str, given: list[str], made: str, **attributes: Any) -> onnx.NodeProto:
        return helper.make_node(
            operator, [f"{name}.{one}" for one in given], [f"{name}.{made}"], **attributes
        )

    return [
        *nibbles.widening(name, f"{name}.float"),
        node("Abs", ["float"], "sizes"),
        node("ReduceMax", ["sizes", "inputs"], "largest", keepdims=1),
        node("Max", ["largest", "least"], "reach"),
        node("Div", ["reach", "most"], "step"),
        node("Div", ["float", "step"], "counted"),
        node("Round", ["counted"], "rounded"),
        node("Cast", ["rounded"], "narrow", to=TensorProto.INT8),
        node("Transpose", ["narrow"], "int8", perm=[1, 0]),
        node("Squeeze", ["step", "inputs"], "scale"),
    ]
