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

from modelpack.formats.onnx_files import write
from modelpack.formats.variant import ONNX, Variant
from modelpack.passes.base import FUSED, Inapplicable, Pass, PassContext

if TYPE_CHECKING:
    import onnx

MARKS = frozenset({"LayerNormalization", "SkipLayerNormalization"})
"""Operators that tell an encoder."""


class Fuse(Pass):
    """Fewer, larger operators."""

    name: ClassVar[str] = "fuse"
    title: ClassVar[str] = "operators joined"
    stage: ClassVar[int] = FUSED
    takes: ClassVar[str] = ONNX
    gives: ClassVar[str] = ONNX
    about: ClassVar[str] = (
        "https://onnxruntime.ai/docs/performance/transformers-optimization.html, "
        "https://onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html"
    )

    def apply(self, variant: Variant, context: PassContext) -> Variant:
        import onnx

        before = onnx.load(str(variant.path))
        context.folder.mkdir(parents=True, exist_ok=True)
        if MARKS & {node.op_type for node in before.graph.node}:
            after = join_blocks(variant.path)
        else:
            after = optimize(before, context.folder / "whole.onnx")
        if [node.op_type for node in after.graph.node] == [node.op_type for node in before.graph.node]:
            raise Inapplicable("no operators to join")
        used = {node.domain for node in after.graph.node} | {function.domain for function in after.functions}
        kept = [one for one in after.opset_import if one.domain in used | {""}]
        del after.opset_import[:]
        after.opset_import.extend(kept)
        return write(after, context.folder)


def join_blocks(path: Path) -> onnx.ModelProto:
    """Transformer blocks joined by pattern; widths and heads are found in the graph."""
    from onnxruntime.transformers.optimizer import optimize_model

    logger = logging.getLogger("onnxruntime.transformers")
    root, level, own = logging.getLogger(), logging.getLogger().level, logger.level
    root.setLevel(logging.ERROR)
    logger.setLevel(logging.ERROR)
    try:
        model = optimize_model(str(path), model_type="bert", opt_level=0, use_gpu=False).model
    finally:
        root.setLevel(level)
        logger.setLevel(own)
    found: onnx.ModelProto = model
    return found


def optimize(graph: onnx.ModelProto, to: Path) -> onnx.ModelProto:
    """The graph after ONNX Runtime's extended optimizations."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(to)
    onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found = onnx.load(str(to))
    to.unlink()
    return found
