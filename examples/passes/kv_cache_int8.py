"""A language model's keys and values kept as int8 between steps: a quarter of the memory of its caches.

ONNX Runtime's GroupQueryAttention quantizes a token's keys and values when it writes them and multiplies with them as
they are (its CPU kernels from 1.31 on). Its scales are constants, one for every channel of every group, so they must be
known beforehand: the largest that each channel comes to on the use case's calibration prompts, over 127. Keys have
channels that reach far out and need scales of their own, which values would not (Liu et al., "KIVI",
arXiv:2402.02750; Hooper et al., "KVQuant", arXiv:2401.18079). What reaches beyond its scale is cut off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modelpack.passes.base import GraphPass, Inapplicable, PassContext
from modelpack.server.engines.decoder import NOTHING

if TYPE_CHECKING:
    import onnx

ATTENTION = "GroupQueryAttention"
KEYS, VALUES = 3, 4
"""Places of the caches among the operator's inputs; what they come out as is two outputs earlier."""
SCALES = 12
"""The place of the keys' scales; the values' follow."""
BITS, LARGEST = 8, 127
SMALLEST = 1e-6

Floats = NDArray[np.float32]


class KvCacheInt8(GraphPass):
    """Caches of GroupQueryAttention in int8, a scale per channel."""

    name: ClassVar[str] = "kv-cache-int8"
    title: ClassVar[str] = "keys and values kept as int8"
    about: ClassVar[str] = (
        "https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md"
        "#com.microsoft.GroupQueryAttention"
    )

    def change(self, model: onnx.ModelProto, context: PassContext) -> onnx.ModelProto:
        nodes = [node for node in model.graph.node if in_floats(model.graph, node)]
        if not nodes:
            raise Inapplicable("no attention that keeps keys and values in float32")
        if context.calibration is None:
            raise Inapplicable("the use case names nothing to calibrate on")
        caches = [node.input[place] for node in nodes for place in (KEYS, VALUES)]
        largest = reached(model, caches, prompts(context.calibration["ids"]))
        for node in nodes:
            narrow(model.graph, node, largest)
        return model


def in_floats(graph: onnx.GraphProto, node: onnx.NodeProto) -> bool:
    """An attention whose caches are float inputs of the graph."""
    import onnx

    floats = {one.name for one in graph.input if one.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    return node.op_type == ATTENTION and {node.input[KEYS], node.input[VALUES]} <= floats


def prompts(ids: NDArray[Any]) -> list[NDArray[np.int64]]:
    """Rows (prompts, tokens) without what fills them up."""
    return [row[row != NOTHING].astype(np.int64) for row in ids]


def reached(
    model: onnx.ModelProto, caches: Sequence[str], given: Sequence[NDArray[np.int64]]
) -> Mapping[str, Floats]:
    """The largest magnitude of every channel, (groups, size), by cache, when the graph has read these prompts."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    shapes = {one.name: one.shape for one in session.get_inputs()}
    empty = {name: np.zeros(shapes[name], np.float32) for name in caches}
    largest = {name: np.zeros((shapes[name][1], shapes[name][3]), np.float32) for name in caches}
    for ids in given:
        feeds = {
            **empty,
            "ids": ids[None],
            "wanted": np.array([1], np.int64),
            "seen": np.array([len(ids) - 1], np.int32),
            "total": np.array([len(ids)], np.int32),
        }
        found = session.run([f"{name}.next" for name in caches], feeds)
        for name, cache in zip(caches, found, strict=True):
            largest[name] = np.maximum(largest[name], np.abs(cache[0, :, : len(ids)]).max(axis=1))
    return largest


def narrow(graph: onnx.GraphProto, node: onnx.NodeProto, largest: Mapping[str, Floats]) -> None:
    """Let the attention keep int8: its caches' types, their scales, and what it is told of them."""
    import onnx
    from onnx import helper, numpy_helper

    values = {one.name: one for one in (*graph.input, *graph.output)}
    node.input.extend([""] * (SCALES - len(node.input)))
    for cache, result in ((node.input[KEYS], node.output[1]), (node.input[VALUES], node.output[2])):
        scale = np.maximum(largest[cache], SMALLEST) / LARGEST
        graph.initializer.append(
            numpy_helper.from_array(scale[None, :, None].astype(np.float32), f"{cache}.scale")
        )
        node.input.append(f"{cache}.scale")
        for name in (cache, result):
            values[name].type.tensor_type.elem_type = onnx.TensorProto.INT8
    told = {"k_quant_type": "PER_CHANNEL", "v_quant_type": "PER_CHANNEL", "kv_cache_bit_width": BITS}
    node.attribute.extend(helper.make_attribute(name, value) for name, value in told.items())
