"""Dense layers with 8-bit weights in blocks of 32: closer to the original than one scale per channel.

Weights stay int8 in memory and are multiplied with activations quantized block by block at run time
(`accuracy_level=4`), so an outlier spoils its own block only. One request of a small encoder gains most; large
batches little, for there the multiplications themselves decide.
"""

from __future__ import annotations

import logging
from typing import ClassVar

from modelpack.formats.onnx_files import write
from modelpack.formats.variant import ONNX, Variant
from modelpack.passes.base import GRAPH, Inapplicable, Pass, PassContext

BLOCK = 32
BITS = 8
INT8_ACTIVATIONS = 4


class NBits8(Pass):
    """ONNX Runtime's MatMulNBits for every MatMul with a constant right side."""

    name: ClassVar[str] = "nbits8"
    title: ClassVar[str] = "dense layers in blocks of 8-bit weights"
    stage: ClassVar[int] = GRAPH
    takes: ClassVar[str] = ONNX
    gives: ClassVar[str] = ONNX
    about: ClassVar[str] = (
        "https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits"
    )

    def apply(self, variant: Variant, context: PassContext) -> Variant:
        import onnx
        from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

        logger = logging.getLogger("onnxruntime.quantization.matmul_nbits_quantizer")
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            quantizer = MatMulNBitsQuantizer(
                onnx.load(str(variant.path)),
                bits=BITS,
                block_size=BLOCK,
                is_symmetric=True,
                accuracy_level=INT8_ACTIVATIONS,
            )
            quantizer.process()
        finally:
            logger.setLevel(level)
        graph = quantizer.model.model
        if not any(node.op_type == "MatMulNBits" for node in graph.graph.node):
            raise Inapplicable("no dense layer with constant float weights")
        return write(graph, context.folder)
