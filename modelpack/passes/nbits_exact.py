"""Dense layers in the blocks of 4 or 8 bits that their weights were published in, to the bit but for float rounding.

Language models are often published in blocks of 32 weights: `scale * step + least` with 16 steps (GGUF's Q4_1), or
`scale * step` with steps from -127 to 127 (Q8_0). `MatMulNBits` multiplies such steps without widening them. Its own
zero points are whole steps, so what `least` adds to a block is computed beside it: the sum of the block's inputs
times an offset, one small MatMul. Weights that lie on no such steps are left as they are: rounding them is another
matter (AWQ, arXiv:2306.00978; GPTQ, arXiv:2210.17323).

Activations are rounded to 8 bits in blocks, which is where the speed comes from and the only loss, except before
layers that a few huge activations go into (`LOUD`: Sun et al., arXiv:2402.17762), found on the calibration inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modelpack.passes.base import GraphPass, Inapplicable, PassContext
from modelpack.passes.shared.editing import add_constants, drop_unread, set_nodes

if TYPE_CHECKING:
    import onnx

BLOCK = 32
INT8_ACTIVATIONS = 4
FEWEST_ROWS = 64
NEAR = 0.02
"""Steps by which a weight may lie off a whole step and still count as published in such blocks."""
MICROSOFT = "com.microsoft"

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class BlockSteps:
    """A matrix (columns, rows) in blocks: whole `steps` (rows, blocks, 32) from 0 on, of `bits`; `scale` and, where
    the middle step is not zero, its `offset`, (rows, blocks)."""

    bits: int
    steps: NDArray[np.uint8]
    scale: Floats
    offset: Floats | None


class NBitsExact(GraphPass):
    """ONNX Runtime's MatMulNBits for every MatMul whose constant right side lies on steps in blocks of 32."""

    name: ClassVar[str] = "nbits-exact"
    title: ClassVar[str] = "dense layers in the blocks of bits they were published in"
    about: ClassVar[str] = (
        "https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits"
    )

    def change(self, model: onnx.ModelProto, context: PassContext) -> onnx.ModelProto:
        from onnx import helper, numpy_helper

        graph = model.graph
        weights = {tensor.name: tensor for tensor in graph.initializer}
        changed = {
            place: found
            for place, node in enumerate(graph.node)
            if node.op_type == "MatMul"
            and node.input[1] in weights
            and (found := in_steps(numpy_helper.to_array(weights[node.input[1]]))) is not None
        }
        if not changed:
            raise Inapplicable("no dense layer whose constant weights lie on steps in blocks of 32")
        nodes, sums = [], set[str]()
        for place, node in enumerate(graph.node):
            nodes += replace_dense(graph, node, changed[place], sums) if place in changed else [node]
        set_nodes(graph, nodes)
        drop_unread(graph)
        if all(one.domain != MICROSOFT for one in model.opset_import):
            model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
        return model


def in_steps(weights: NDArray[Any]) -> BlockSteps | None:
    """A matrix (columns, rows) as steps; None when it lies on none."""
    columns, rows = weights.shape if weights.ndim == 2 else (1, 0)
    if weights.dtype != np.float32 or columns % BLOCK or rows < FEWEST_ROWS:
        return None
    blocks = np.ascontiguousarray(weights.T).reshape(rows, -1, BLOCK)
    least = blocks.min(axis=2)
    scale = (blocks.max(axis=2) - least) / np.float32(15)
    steps = whole(blocks - least[..., None], scale)
    if steps is not None:
        return BlockSteps(4, steps.astype(np.uint8), scale, least + np.float32(8) * scale)
    scale = np.abs(blocks).max(axis=2) / np.float32(127)
    steps = whole(blocks, scale)
    return None if steps is None else BlockSteps(8, (steps + 128).astype(np.uint8), scale, None)


def whole(values: Floats, scale: Floats) -> Floats | None:
    """`values` (rows, blocks, 32) in steps of `scale` (rows, blocks); None when they are not whole steps."""
    places = values / np.maximum(scale, np.finfo(np.float32).tiny)[..., None]
    steps: Floats = np.rint(places)
    return steps if np.abs(places - steps).max() <= NEAR else None


def replace_dense(
    graph: onnx.GraphProto, node: onnx.NodeProto, found: BlockSteps, sums: set[str]
) -> list[onnx.NodeProto]:
    """The nodes of one dense layer: the steps, and where there are offsets their part and the sum of both."""
    from onnx import helper

    given, name, out = node.input[0], node.input[1], node.output[0]
    rows, count, _ = found.steps.shape
    packed = found.steps if found.bits == 8 else found.steps[..., 0::2] | (found.steps[..., 1::2] << 4)
    add_constants(graph, {"steps": packed, "scales": found.scale}, below=name)
    stepped = helper.make_node(
        "MatMulNBits",
        [given, f"{name}.steps", f"{name}.scales"],
        [out if found.offset is None else f"{out}.stepped"],
        f"{out}.MatMulNBits",
        domain=MICROSOFT,
        K=count * BLOCK,
        N=rows,
        bits=found.bits,
        block_size=BLOCK,
        accuracy_level=INT8_ACTIVATIONS,
    )
    if found.offset is None:
        return [stepped]
    add_constants(graph, {"offsets": found.offset.T}, below=name)
    before = [] if given in sums else sum_blocks(graph, given, count)
    sums.add(given)
    return [
        *before,
        stepped,
        helper.make_node("MatMul", [f"{given}.sums", f"{name}.offsets"], [f"{out}.offset"], f"{out}.offset"),
        helper.make_node("Add", [f"{out}.stepped", f"{out}.offset"], [out], f"{out}.Add"),
    ]


def sum_blocks(graph: onnx.GraphProto, given: str, count: int) -> list[onnx.NodeProto]:
    """The sums of a value's blocks of 32: (batch, tokens, columns) -> (batch, tokens, blocks)."""
    from onnx import helper

    blocks, shape, axis = f"{given}.blocks", f"{given}.blocks.shape", f"{given}.blocks.axis"
    add_constants(graph, {shape: np.array([0, 0, count, BLOCK], np.int64), axis: np.array([3], np.int64)})
    return [
        helper.make_node("Reshape", [given, shape], [blocks], blocks),
        helper.make_node("ReduceSum", [blocks, axis], [f"{given}.sums"], f"{given}.sums", keepdims=0),
    ]
