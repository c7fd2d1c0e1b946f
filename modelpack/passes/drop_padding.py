"""Dense layers of a text encoder on real tokens only: what pads a short text to the longest one is left out.

ByteTransformer (Zhai et al., arXiv:2210.03052) packs the tokens of a batch before what is computed token by token
(dense layers, normalization, activation) and spreads them again before attention. Here the graph itself tells which
values are of that kind: it is run on two batches, and what has (texts, tokens, ...) in both and is made by operators
that work along the last axis is packed. Attention, which gets its tokens spread, becomes one operator (`attention.py`).
Answers do not change but by the ranges of dynamic int8, which then no padding widens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from modelpack.formats.signature import Arrays
from modelpack.passes.base import PACKED, GraphPass, Inapplicable, PassContext
from modelpack.passes.shared import attention
from modelpack.passes.shared.editing import add_constants, attributes_of, set_nodes
from modelpack.runtimes import single_thread
from modelpack.usecases.optional.serving import text_of

if TYPE_CHECKING:
    import onnx

BATCHES = ((3, 5), (2, 7))
"""(texts, tokens) of the two batches; no size occurs twice."""
PADDING = 2
"""Tokens by which their first text is shorter."""
DENSE = frozenset({"DynamicQuantizeMatMul", "Gemm", "MatMul", "MatMulIntegerToFloat", "MatMulNBits"})
ALONG_LAST = DENSE | {
    *("Add", "Sub", "Mul", "Div", "Erf", "Tanh", "Relu", "Sigmoid", "Sqrt", "Cast", "Identity"),
    *("Gelu", "BiasGelu", "FastGelu", "QuickGelu", "LayerNormalization", "SkipLayerNormalization"),
    *("Gather", "QuantizeLinear", "DequantizeLinear", "Split"),
}
"""Operators whose last axis alone matters, as far as `along_last` agrees."""
AXIS = {"Gather": 0, "LayerNormalization": -1, "Split": 0}
"""Their axis where the attribute is left out."""
LAST = (-1, 2)
ROWS, PLACES = "padding.rows", "padding.places"


class DropPadding(GraphPass):
    """Packs the tokens of a batch before what is computed token by token."""

    name: ClassVar[str] = "drop-padding"
    title: ClassVar[str] = "padding left out"
    stage: ClassVar[int] = PACKED
    about: ClassVar[str] = (
        "https://arxiv.org/abs/2210.03052, https://onnx.ai/onnx/operators/onnx__Attention.html"
    )

    def change(self, model: onnx.ModelProto, context: PassContext) -> onnx.ModelProto:
        text = text_of(context.usecase)
        if text is None:
            raise Inapplicable("the use case takes no text")
        seen = observe(model, text.mask, context.examples)
        if attention.join(model, text.mask, per_token(seen, text.mask), seen):
            seen = observe(model, text.mask, context.examples)
        packing = Packing(model.graph, text.mask, per_token(seen, text.mask))
        if not packing.packed & {name for node in model.graph.node if is_dense(node) for name in node.output}:
            raise Inapplicable("no dense layer works token by token")
        packing.rewrite()
        return model


def is_dense(node: onnx.NodeProto) -> bool:
    return node.op_type in DENSE


def observe(model: onnx.ModelProto, mask: str, examples: Arrays) -> list[dict[str, Any]]:
    """All values of the graph by name on both batches, in which the first text has padding."""
    import onnx

    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    known = {value.name for value in model.graph.output}
    names = [name for node in model.graph.node for name in node.output if name]
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    session = single_thread.session(watched.SerializeToString(), optimized=False)
    found = []
    for texts, tokens in BATCHES:
        given = {
            name: np.ascontiguousarray(np.resize(array[:, :tokens], (texts, tokens)))
            for name, array in examples.items()
        }
        given[mask][0, -PADDING:] = 0
        found.append({**given, **dict(zip(names, session.run(names, given), strict=True))})
    return found


def per_token(seen: Sequence[Mapping[str, Any]], mask: str) -> frozenset[str]:
    """Names of the values of shape (texts, tokens, width) in all batches."""
    found = [
        {
            name
            for name, value in values.items()
            if np.ndim(value) == 3 and np.shape(value)[:2] == values[mask].shape
        }
        for values in seen
    ]
    return frozenset(set.intersection(*found))


@dataclass
class Packing:
    """Which values of a graph are packed to (real tokens, width), and the rewriting.

    `mask` names the input that is 1 where there is a token; `per_token` the values that could be packed. What comes of
    the mask alone is not, and ends what is: where it multiplies, padding is taken out.
    """

    graph: onnx.GraphProto
    mask: str
    per_token: frozenset[str]
    packed: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        constant = {tensor.name for tensor in self.graph.initializer} | {""}
        masks = {self.mask}
        packed = set()
        for node in self.graph.node:
            if constant.issuperset(node.input):
                constant |= set(node.output)
            elif (constant | masks).issuperset(node.input):
                masks |= set(node.output)
            elif self.along_last(node, constant) and masks.isdisjoint(node.input):
                packed |= set(node.output) & self.per_token
        self.packed = frozenset(packed)

    def along_last(self, node: onnx.NodeProto, constant: set[str]) -> bool:
        """Whether each token's row of the result needs that token's rows of the inputs and constants alone."""
        varying = [name for name in node.input if name not in constant]
        if node.op_type not in ALONG_LAST or not varying or not self.per_token.issuperset(varying):
            return False
        if (is_dense(node) or node.op_type == "Gather") and varying != [node.input[0]]:
            return False
        return axis_of(node) in LAST and node.output[0] in self.per_token

    def rewrite(self) -> None:
        """In place: packed where it can be, spread where others read it."""
        from onnx import helper

        nodes, made = list(self.graph.node), [*self.beginning()]
        spread: set[str] = set()
        gathered: set[str] = set()
        last = {value.name for value in self.graph.output}
        for node in nodes:
            ours = bool(node.output) and node.output[0] in self.packed
            for place, name in enumerate(node.input):
                if ours and name in self.per_token:
                    if name not in self.packed and name not in gathered:
                        gathered.add(name)
                        made.extend(self.gathering(name))
                    node.input[place] = packed_name(name)
                elif not ours and name in self.packed and name not in spread:
                    spread.add(name)
                    made.append(helper.make_node("Gather", [packed_name(name), PLACES], [name], axis=0))
            if ours:
                set_last_axis(node)
                for place, name in enumerate(node.output):
                    if name:
                        node.output[place] = packed_name(name)
            made.append(node)
        made.extend(
            helper.make_node("Gather", [packed_name(name), PLACES], [name], axis=0)
            for name in sorted((last & self.packed) - spread)
        )
        set_nodes(self.graph, made)
        del self.graph.value_info[:]

    def beginning(self) -> Iterator[onnx.NodeProto]:
        """Nodes that tell where real tokens are: `ROWS` (real tokens,) of the flat batch, `PLACES` (texts, tokens) of
        each token among the real ones. A place of padding reads the first row, and nobody reads what comes of it."""
        from onnx import helper

        constants = {"flat": [-1], "axis": [0], "one": [1], "along": 0}
        add_constants(
            self.graph, {name: np.array(one, np.int64) for name, one in constants.items()}, "padding"
        )
        yield helper.make_node("Reshape", [self.mask, "padding.flat"], ["padding.given"])
        yield helper.make_node("NonZero", ["padding.given"], ["padding.found"])
        yield helper.make_node("Squeeze", ["padding.found", "padding.axis"], [ROWS])
        yield helper.make_node("CumSum", ["padding.given", "padding.along"], ["padding.counted"])
        yield helper.make_node("Sub", ["padding.counted", "padding.one"], ["padding.number"])
        yield helper.make_node("Mul", ["padding.number", "padding.given"], ["padding.kept"])
        yield helper.make_node("Shape", [self.mask], ["padding.shape"])
        yield helper.make_node("Reshape", ["padding.kept", "padding.shape"], [PLACES])

    def gathering(self, name: str) -> Iterator[onnx.NodeProto]:
        """Nodes that pack a value from outside."""
        from onnx import helper

        flat = f"{name}.flat"
        yield helper.make_node("Flatten", [name], [flat], axis=2)
        yield helper.make_node("Gather", [flat, ROWS], [packed_name(name)], axis=0)


def packed_name(name: str) -> str:
    return f"{name}.tokens"


def axis_of(node: onnx.NodeProto) -> int:
    """The axis an operator works along; the last for those that have none."""
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        return -1
    return int(attributes_of(node).get("axis", AXIS.get(node.op_type, -1)))


def set_last_axis(node: onnx.NodeProto) -> None:
    """Count the axis from the end, for there is one axis less."""
    for attribute in node.attribute:
        if attribute.name == "axis" and attribute.i == 2:
            attribute.i = -1
