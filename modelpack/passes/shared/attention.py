"""Self-attention found in a graph, however it is written there, and written as ONNX's one operator for it.

`Attention` (onnx.ai/onnx/operators/onnx__Attention.html, from opset 23 on) stands for the dozen shapes, slices,
products and masks that an exporter leaves. Around each Softmax lies what is computed between one value per token
(queries, keys and values side by side) and the next; it is replaced only where the operator gives the same numbers on
batches with padding, so a causal mask, relative positions or another scale are left as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from modelpack.passes.shared.editing import set_nodes

if TYPE_CHECKING:
    import onnx

OPSET = 23
CLOSE = 1e-4
"""Of the largest number, between two ways to compute the same attention."""
MASK = "attention.mask"
Values = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Attention:
    """`joined` (texts, tokens, 3 x width) holds queries, keys and values; `result` is (texts, tokens, width)."""

    joined: str
    result: str
    heads: int


def join(model: onnx.ModelProto, mask: str, per_token: frozenset[str], seen: Sequence[Values]) -> bool:
    """In place: every attention that is found by one operator; whether there was one. `mask` names the input that is 1
    where there is a token, `per_token` the values of shape (texts, tokens, width); `seen` are all values by name on
    batches with padding."""
    graph = model.graph
    found = [
        one
        for one in candidates(graph, per_token, seen[0])
        if all(same(one, values, values[mask] > 0) for values in seen)
    ]
    if not found:
        return False
    by_result = {one.result: one for one in found}
    nodes = list(masks(graph, mask))
    for node in graph.node:
        if node.output[0] in by_result:
            nodes += write_attention(by_result[node.output[0]])
        else:
            nodes.append(node)
    set_nodes(graph, nodes_behind(nodes, {value.name for value in graph.output}))
    for one in model.opset_import:
        if not one.domain:
            one.version = max(one.version, OPSET)
    return True


def candidates(graph: onnx.GraphProto, per_token: frozenset[str], values: Values) -> list[Attention]:
    """What may be an attention, by what stands around each Softmax and by shapes."""
    made = {name: node for node in graph.node for name in node.output}
    found = []
    for softmax in (node for node in graph.node if node.op_type == "Softmax"):
        before = {name for name in trace_back(softmax, made, per_token) if name in per_token}
        after = following(softmax, graph, per_token)
        weights = values[softmax.output[0]]
        if len(before) == 1 and after and weights.ndim == 4:
            (joined,) = before
            if values[joined].shape[-1] == 3 * values[after].shape[-1]:
                found.append(Attention(joined, after, weights.shape[1]))
    return found


def trace_back(
    softmax: onnx.NodeProto, made: Mapping[str, onnx.NodeProto], per_token: frozenset[str]
) -> set[str]:
    """The values that a Softmax is computed from, none beyond those per token."""
    found: set[str] = set()
    waiting = list(softmax.input)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        if name in made and name not in per_token:
            waiting += made[name].input
    return found


def following(softmax: onnx.NodeProto, graph: onnx.GraphProto, per_token: frozenset[str]) -> str:
    """The one value per token that is made of a Softmax; empty where there is none or more than one."""
    inside, found = {softmax.output[0]}, set()
    for node in graph.node:
        if not inside.isdisjoint(node.input):
            names = set(node.output)
            found |= names & per_token
            inside |= names - per_token
    return found.pop() if len(found) == 1 else ""


def same(one: Attention, values: Values, real: NDArray[np.bool_]) -> bool:
    """Whether the operator's formula gives what the graph gave, for real tokens."""
    joined = values[one.joined].astype(np.float64)
    texts, tokens, width = joined.shape
    if width % (3 * one.heads):
        return False
    split = joined.reshape(texts, tokens, 3, one.heads, width // 3 // one.heads)
    query, key, value = split.transpose(2, 0, 3, 1, 4)
    scores = query @ key.transpose(0, 1, 3, 2) / np.sqrt(query.shape[-1])
    scores = np.where(real[:, None, None, :], scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    mixed = (weights / weights.sum(axis=-1, keepdims=True)) @ value
    wanted = values[one.result][real]
    got = mixed.transpose(0, 2, 1, 3).reshape(texts, tokens, -1)[real]
    return bool(np.abs(got - wanted).max() <= CLOSE * max(float(np.abs(wanted).max()), 1e-6))


def masks(graph: onnx.GraphProto, mask: str) -> list[onnx.NodeProto]:
    """Nodes that make of (texts, tokens) what the operator wants: (texts, 1, tokens, tokens), true where a token may
    look."""
    from onnx import TensorProto, helper, numpy_helper

    constants = {"places": [1, 2], "one": [1]}
    for name, value in constants.items():
        array = np.array(value, dtype=np.int64)
        graph.initializer.append(numpy_helper.from_array(array, f"attention.{name}"))
    return [
        helper.make_node("Cast", [mask], ["attention.real"], to=TensorProto.BOOL),
        helper.make_node("Unsqueeze", ["attention.real", "attention.places"], ["attention.once"]),
        helper.make_node("Shape", [mask], ["attention.tokens"], start=1),
        helper.make_node(
            "Concat",
            ["attention.one", "attention.one", "attention.tokens", "attention.one"],
            ["attention.shape"],
            axis=0,
        ),
        helper.make_node("Expand", ["attention.once", "attention.shape"], [MASK]),
    ]


def write_attention(one: Attention) -> list[onnx.NodeProto]:
    """An attention as two nodes."""
    from onnx import helper

    parts = [f"{one.result}.{name}" for name in ("query", "key", "value")]
    return [
        helper.make_node("Split", [one.joined], parts, f"{one.result}.split", axis=-1, num_outputs=3),
        helper.make_node(
            "Attention",
            [*parts, MASK],
            [one.result],
            f"{one.result}.attention",
            q_num_heads=one.heads,
            kv_num_heads=one.heads,
        ),
    ]


def nodes_behind(nodes: Sequence[onnx.NodeProto], wanted: set[str]) -> list[onnx.NodeProto]:
    """The nodes that the wanted values are made by, in their order."""
    read, kept = set(wanted), []
    for node in reversed(nodes):
        if not read.isdisjoint(node.output):
            kept.append(node)
            read |= set(node.input)
    return kept[::-1]
