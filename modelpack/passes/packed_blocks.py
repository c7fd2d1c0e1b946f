"""Weights stored in the blocks they were published in, widened when the model is loaded: small files, equal answers.

What `nbits-exact` finds (steps in blocks of 32, GGUF's Q4_1 and Q8_0) is written as packed steps with float16 scales
and a few nodes over constants, which ONNX Runtime folds into the float32 weights at load
(https://onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html, constant folding). A request
costs what it did before; loading takes a little longer, and memory stays that of float32. Equal weights are stored
once, as words that are a language model's first and last layer.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modelpack.passes.base import GraphPass, Inapplicable, PassContext
from modelpack.passes.nbits_exact import BLOCK, BlockSteps, in_steps
from modelpack.passes.shared import nibbles
from modelpack.passes.shared.editing import set_nodes

if TYPE_CHECKING:
    import onnx

Halves = NDArray[np.float16]
NEAR = 1e-5
"""Of its value: how far a scale may be from a float16 to have been one."""


class PackedBlocks(GraphPass):
    """Constant matrices on steps as steps."""

    name: ClassVar[str] = "packed-blocks"
    title: ClassVar[str] = "weights stored in the blocks of bits they were published in"
    about: ClassVar[str] = "https://github.com/ggml-org/ggml/blob/master/docs/gguf.md"

    def change(self, model: onnx.ModelProto, context: PassContext) -> onnx.ModelProto:
        from onnx import numpy_helper

        page = Page()
        kept = []
        for tensor in model.graph.initializer:
            if len(tensor.dims) != 2 or not page.pack(tensor.name, numpy_helper.to_array(tensor)):
                kept.append(tensor)
        if not page.nodes:
            raise Inapplicable("no constant matrix whose weights lie on steps in blocks of 32")
        del model.graph.initializer[:]
        model.graph.initializer.extend([*kept, *page.constants])
        set_nodes(model.graph, [*page.nodes, *model.graph.node])
        return model


@dataclass
class Page:
    """Nodes and constants as they are written down; `stored` has the name of every stored matrix by its content."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    stored: dict[str, str] = field(default_factory=dict)

    def pack(self, name: str, weights: NDArray[Any]) -> bool:
        """Write a matrix as steps, which run along its rows or its columns; False when it lies on none."""
        for turned in (True, False):
            found = in_steps(weights if turned else weights.T)
            halves = None if found is None else original_scales(found)
            if found is not None and halves is not None:
                whole = self._store(name, found, *halves)
                self._node(
                    "Transpose" if turned else "Identity",
                    [whole],
                    name,
                    **({"perm": [1, 0]} if turned else {}),
                )
                return True
        return False

    def _store(self, name: str, found: BlockSteps, scale: Halves, least: Halves | None) -> str:
        """The name of the matrix (rows, columns) in float32."""
        key = hashlib.sha256(found.steps.tobytes() + scale.tobytes()).hexdigest()
        if key in self.stored:
            return self.stored[key]
        rows, count, _ = found.steps.shape
        steps = (
            self._four_bits(name, found.steps)
            if found.bits == 4
            else self._constant(f"{name}.steps", (found.steps.astype(np.int16) - 128).astype(np.int8))
        )
        wide = self._node("Cast", [steps], f"{name}.wide", to=1)
        values = self._node("Mul", [wide, self._half(f"{name}.scales", scale)], f"{name}.scaled")
        if least is not None:
            values = self._node("Add", [values, self._half(f"{name}.least", least)], f"{name}.shifted")
        shape = self._constant(f"{name}.shape", np.array([rows, count * BLOCK], np.int64))
        self.stored[key] = self._node("Reshape", [values, shape], f"{name}.whole")
        return self.stored[key]

    def _four_bits(self, name: str, steps: NDArray[np.uint8]) -> str:
        """Two steps in a byte: the first half of a block in the low bits, the second in the high ones."""
        packed = self._constant(f"{name}.steps", nibbles.pack(steps))
        low = self._node(
            "Mod", [packed, self._constant(f"{name}.sixteen", np.array(16, np.uint8))], f"{name}.low"
        )
        high = self._node("Div", [packed, f"{name}.sixteen"], f"{name}.high")
        return self._node("Concat", [low, high], f"{name}.both", axis=2)

    def _half(self, name: str, values: Halves) -> str:
        """A float16 for every block, widened."""
        return self._node("Cast", [self._constant(f"{name}.half", values[..., None])], name, to=1)

    def _constant(self, name: str, values: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _node(self, kind: str, inputs: list[str], output: str, **more: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], f"{output}.{kind}", **more))
        return output


def original_scales(found: BlockSteps) -> tuple[Halves, Halves | None] | None:
    """Scales and least weights in the float16 that they were published in; None when they were not."""
    scale = found.scale.astype(np.float16)
    least = None if found.offset is None else (found.offset - 8 * found.scale).astype(np.float16)
    pairs = [(scale, found.scale)]
    if least is not None and found.offset is not None:
        pairs.append((least, found.offset - 8 * found.scale))
    for half, full in pairs:
        if (np.abs(half.astype(np.float32) - full) > NEAR * np.abs(full) + 1e-7).any():
            return None
    return scale, least
