"""Operators of a graph joined before it is packed: transformer blocks by patterns, all else by ONNX Runtime itself.

Where the graph holds an encoder (LayerNormalization or Softmax over attention), ONNX Runtime's transformer optimizer
joins attention, skip-and-normalise and bias-and-GELU into one operator each. Any other graph is written as ONNX
Runtime's own optimizations leave it, the extended ones that hold on every x86-64 CPU; the runtime does those again
whenever it loads a graph, so there this can only make the start quicker, and the gate says so.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from modelpack.passes.base import FUSED, GraphPass, Inapplicable, PassContext

if TYPE_CHECKING:
    import onnx

MARKS = frozenset({"LayerNormalization", "SkipLayerNormalization"})
"""Operators that tell an encoder."""


class Fuse(GraphPass):
    """Fewer, larger operators."""

    name: ClassVar[str] = "fuse"
    title: ClassVar[str] = "operators joined"
    stage: ClassVar[int] = FUSED
    about: ClassVar[str] = (
        "https://onnxruntime.ai/docs/performance/transformers-optimization.html, "
        "https://onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html"
    )

    def change(self, model: onnx.ModelProto, context: PassContext) -> onnx.ModelProto:
        before = [node.op_type for node in model.graph.node]
        after = join_blocks(model) if MARKS & {*before} else optimize(model, context.folder)
        if [node.op_type for node in after.graph.node] == before:
            raise Inapplicable("no operators to join")
        used = {node.domain for node in after.graph.node} | {function.domain for function in after.functions}
        kept = [one for one in after.opset_import if one.domain in used | {""}]
        del after.opset_import[:]
        after.opset_import.extend(kept)
        return after


def join_blocks(model: onnx.ModelProto) -> onnx.ModelProto:
    """Transformer blocks joined by pattern; widths and heads are found in the graph."""
    from onnxruntime.transformers.optimizer import optimize_model

    logger = logging.getLogger("onnxruntime.transformers")
    root, level, own = logging.getLogger(), logging.getLogger().level, logger.level
    root.setLevel(logging.ERROR)
    logger.setLevel(logging.ERROR)
    try:
        found: onnx.ModelProto = optimize_model(model, model_type="bert", opt_level=0, use_gpu=False).model
    finally:
        root.setLevel(level)
        logger.setLevel(own)
    return found


def optimize(graph: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """The graph after ONNX Runtime's extended optimizations."""
    import onnx
    import onnxruntime

    folder.mkdir(parents=True, exist_ok=True)
    to = folder / "whole.onnx"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(to)
    onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found = onnx.load(str(to))
    to.unlink()
    return found
