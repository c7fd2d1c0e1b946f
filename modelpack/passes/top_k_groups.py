"""The best of very many in two steps: groups by their largest, then only the best groups' members.

TopK over a whole catalogue compares every score with a heap, one by one. The k best lie in the k groups with the
largest maxima, so a maximum per group (MaxPool, which is vectorised), TopK over groups and TopK over the members of k
groups find the same numbers. Exact; only which of several equal scores is named may differ.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from modelpack.passes.base import FUSED, GraphPass, Inapplicable, PassContext
from modelpack.passes.shared.editing import add_constants, attributes_of, set_nodes

if TYPE_CHECKING:
    import onnx

FEWEST = 2048
"""Scores in a row, below which one TopK is quick enough."""
MOST_GROUPS_OF_ALL = 4
"""k groups must be at most a quarter of all groups, or two steps are no shortcut."""


class TopKGroups(GraphPass):
    """TopK along a long last axis of a matrix."""

    name: ClassVar[str] = "top-k-groups"
    title: ClassVar[str] = "the best k by groups"
    stage: ClassVar[int] = FUSED
    about: ClassVar[str] = "https://arxiv.org/abs/2206.14286"

    def change(self, model: onnx.ModelProto, context: PassContext) -> onnx.ModelProto:
        graph = model.graph
        widths = known_widths(model)
        constant = {tensor.name: tensor for tensor in graph.initializer}
        nodes: list[onnx.NodeProto] = []
        for node in graph.node:
            count = top_k_of(node, constant)
            width = widths.get(node.input[0], 0) if count else 0
            size = group_size(width, count)
            if not size:
                nodes.append(node)
                continue
            add_constants(graph, numbers(width, size), below=node.output[0])
            nodes += in_two_steps(node, size)
        if len(nodes) == len(graph.node):
            raise Inapplicable(f"no TopK over at least {FEWEST:,} scores a row")
        set_nodes(graph, nodes)
        return model


def known_widths(model: onnx.ModelProto) -> dict[str, int]:
    """The size of the second axis of every matrix in the graph whose size is fixed."""
    from onnx import shape_inference

    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    sizes = {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in [*graph.value_info, *graph.input, *graph.output]
    }
    return {name: size[1] for name, size in sizes.items() if len(size) == 2}


def top_k_of(node: onnx.NodeProto, constant: dict[str, Any]) -> int:
    """k of a TopK for the largest along the second axis, sorted; 0 for any other node."""
    from onnx import numpy_helper

    if node.op_type != "TopK" or node.input[1] not in constant:
        return 0
    given = attributes_of(node)
    fits = given.get("axis", -1) in (1, -1) and given.get("largest", 1) and given.get("sorted", 1)
    return int(numpy_helper.to_array(constant[node.input[1]]).ravel()[0]) if fits else 0


def group_size(width: int, count: int) -> int:
    """Members of a group, so that both steps look at about as many; 0 where two steps are no shortcut."""
    if width < FEWEST or not count:
        return 0
    size = max(2, round(math.sqrt(width / count)))
    groups = -(-width // size)
    return size if groups >= MOST_GROUPS_OF_ALL * count else 0


def numbers(width: int, size: int) -> dict[str, np.ndarray[Any, Any]]:
    """Constants of the two steps."""
    return {
        "axis": np.array([1], dtype=np.int64),
        "places": np.array([2], dtype=np.int64),
        "size": np.array(size, dtype=np.int64),
        "members": np.arange(size, dtype=np.int64),
        "flat": np.array([0, -1], dtype=np.int64),
        "last": np.array(width - 1, dtype=np.int64),
        "never": np.array(-np.inf, dtype=np.float32),
    }


def in_two_steps(node: onnx.NodeProto, size: int) -> list[onnx.NodeProto]:
    """The nodes in place of a TopK. The last group may be short: places beyond the end count as never."""
    from onnx import helper

    scores, count = node.input
    values, indices = node.output[0], node.output[1]

    def own(name: str) -> str:
        return f"{values}.{name}"

    def make(operator: str, given: list[str], outputs: list[str], **attributes: Any) -> onnx.NodeProto:
        return helper.make_node(operator, given, outputs, f"{outputs[0]}.of", **attributes)

    return [
        make("Unsqueeze", [scores, own("axis")], [own("row")]),
        make("MaxPool", [own("row")], [own("most")], kernel_shape=[size], strides=[size], ceil_mode=1),
        make("Squeeze", [own("most"), own("axis")], [own("largest")]),
        make("TopK", [own("largest"), count], [own("best"), own("groups")], axis=1),
        make("Mul", [own("groups"), own("size")], [own("begin")]),
        make("Unsqueeze", [own("begin"), own("places")], [own("begins")]),
        make("Add", [own("begins"), own("members")], [own("within")]),
        make("Reshape", [own("within"), own("flat")], [own("wide")]),
        make("Min", [own("wide"), own("last")], [own("place")]),
        make("GatherElements", [scores, own("place")], [own("found")], axis=1),
        make("Greater", [own("wide"), own("last")], [own("beyond")]),
        make("Where", [own("beyond"), own("never"), own("found")], [own("real")]),
        make("TopK", [own("real"), count], [values, own("chosen")], axis=1),
        make("GatherElements", [own("place"), own("chosen")], [indices], axis=1),
    ]
