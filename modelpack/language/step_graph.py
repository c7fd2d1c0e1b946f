"""One step of the language model as an ONNX graph, written node by node.

ONNX Runtime has operators for what decoders are made of (GroupQueryAttention with rotary positions and a cache that
stays in place, SimplifiedLayerNormalization), and the exporter would spell them out in a hundred nodes each. Source:
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

    from modelpack.language.llama import Llama

OPSET, IR = 20, 10
MICROSOFT = "com.microsoft"


@dataclass
class Sheet:
    """Nodes and weights as they are written down."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)

    def node(self, kind: str, inputs: list[str], outputs: list[str], domain: str = "", **more: Any) -> str:
        """Write a node down; the name of its first output."""
        from onnx import helper

        self.nodes.append(
            helper.make_node(kind, inputs, outputs, name=f"{outputs[0]}.{kind}", domain=domain, **more)
        )
        return outputs[0]

    def weight(self, name: str, values: NDArray[Any]) -> str:
        """Write a constant down."""
        from onnx import numpy_helper

        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def dense(self, hidden: str, name: str, values: NDArray[Any]) -> str:
        """A dense layer without bias; `values` (rows, columns) as torch keeps them."""
        return self.node("MatMul", [hidden, self.weight(f"{name}.weight", values.T)], [name])

    def norm(self, hidden: str, name: str, values: NDArray[Any], epsilon: float) -> str:
        """Root-mean-square normalization."""
        gain = self.weight(f"{name}.weight", values)
        kind = "SimplifiedLayerNormalization"
        return self.node(kind, [hidden, gain], [name], axis=-1, epsilon=epsilon, stash_type=1)


def step_graph(model: Llama) -> onnx.ModelProto:
    """Inputs `ids` (1, tokens), `wanted` (1) how many of the last of them are answered, `total` (1) the places filled
    after this step, `seen` (1) one less, `keys.N` and `values.N` (1, groups, longest, size); outputs `logits` (wanted,
    vocabulary) and the caches, `keys.N.next` and `values.N.next`, which a caller binds to the same memory."""
    from onnx import TensorProto, helper

    shape, sheet = model.shape, Sheet()
    numbers = {name: value.numpy() for name, value in model.state_dict().items()}
    turns = model.turns
    sheet.weight("cosines", turns.real.numpy())
    sheet.weight("sines", turns.imag.numpy())
    hidden = sheet.node(
        "Gather", [sheet.weight("words.weight", numbers["words.weight"]), "ids"], ["words"], axis=0
    )
    for number in range(shape.layers):
        hidden = layer(sheet, hidden, f"layers.{number}", number, numbers, model)
    begin = sheet.node("Neg", ["wanted"], ["begin"])
    end = sheet.weight("end", np.array([np.iinfo(np.int64).max], np.int64))
    axis = sheet.weight("axis", np.array([1], np.int64))
    hidden = sheet.node("Slice", [hidden, begin, end, axis], ["hidden.wanted"])
    hidden = sheet.node("Squeeze", [hidden, sheet.weight("batch", np.array([0], np.int64))], ["hidden.rows"])
    hidden = sheet.norm(hidden, "norm", numbers["norm.weight"], shape.epsilon)
    head = sheet.weight("head.weight", numbers["words.weight"].T)
    sheet.node("MatMul", [hidden, head], ["logits"])
    cache = [1, shape.groups, shape.longest, shape.size]
    caches = [f"{kind}.{number}" for number in range(shape.layers) for kind in ("keys", "values")]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        sheet.nodes,
        "step",
        [
            value("ids", TensorProto.INT64, [1, "tokens"]),
            value("wanted", TensorProto.INT64, [1]),
            value("seen", TensorProto.INT32, [1]),
            value("total", TensorProto.INT32, [1]),
            *(value(name, TensorProto.FLOAT, cache) for name in caches),
        ],
        [
            value("logits", TensorProto.FLOAT, ["wanted", shape.vocabulary]),
            *(value(f"{name}.next", TensorProto.FLOAT, cache) for name in caches),
        ],
        sheet.weights,
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR)


def layer(
    sheet: Sheet, hidden: str, name: str, number: int, numbers: dict[str, NDArray[Any]], model: Llama
) -> str:
    """Attention and the gated dense layer."""
    shape = model.shape

    def own(part: str) -> NDArray[Any]:
        return numbers[f"{name}.{part}.weight"]

    normed = sheet.norm(hidden, f"{name}.attention_norm", own("attention_norm"), shape.epsilon)
    mixed = sheet.dense(normed, f"{name}.attention", own("attention"))
    sheet.node(
        "GroupQueryAttention",
        [mixed, "", "", f"keys.{number}", f"values.{number}", "seen", "total", "cosines", "sines"],
        [f"{name}.mixed", f"keys.{number}.next", f"values.{number}.next"],
        MICROSOFT,
        num_heads=shape.heads,
        kv_num_heads=shape.groups,
        do_rotary=1,
        rotary_interleaved=1,
    )
    attended = sheet.dense(f"{name}.mixed", f"{name}.attended", own("attended"))
    hidden = sheet.node("Add", [hidden, attended], [f"{name}.residual"])
    normed = sheet.norm(hidden, f"{name}.inner_norm", own("inner_norm"), shape.epsilon)
    both = sheet.dense(normed, f"{name}.inner", own("inner"))
    gate, up = f"{name}.gate", f"{name}.up"
    sheet.node("Split", [both], [gate, up], axis=-1, num_outputs=2)
    opened = sheet.node("Sigmoid", [gate], [f"{name}.opened"])
    opened = sheet.node("Mul", [gate, opened], [f"{name}.swish"])
    joined = sheet.node("Mul", [opened, up], [f"{name}.joined"])
    outer = sheet.dense(joined, f"{name}.outer", own("outer"))
    return sheet.node("Add", [hidden, outer], [f"{name}.next"])
