"""Dense layers with 8-bit weights in blocks of 32: closer to the original than one scale per channel.

Weights stay int8 in memory and are multiplied with activations quantized block by block at run time
(`accuracy_level=4`), so an outlier spoils its own block only. One request of a small encoder gains most; large
batches little, for there the multiplications themselves decide.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, ClassVar

from modelpack.passes.base import GraphPass, Inapplicable, PassContext

if TYPE_CHECKING:
    import onnx

BLOCK = 32
BITS = 8
INT8_ACTIVATIONS = 4


class NBits8(GraphPass):
    """ONNX Runtime's MatMulNBits for every MatMul with a constant right side."""

    name: ClassVar[str] = "nbits8"
    title: ClassVar[str] = "dense layers in blocks of 8-bit weights"
    about: ClassVar[str] = (
        "https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits"
    )

    def change(self, model: onnx.ModelProto, context: PassContext) -> onnx.ModelProto:
        from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

        logger = logging.getLogger("onnxruntime.quantization.matmul_nbits_quantizer")
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            quantizer = MatMulNBitsQuantizer(
                model,
                bits=BITS,
                block_size=BLOCK,
                is_symmetric=True,
                accuracy_level=INT8_ACTIVATIONS,
            )
            quantizer.process()
        finally:
            logger.setLevel(level)
        made: onnx.ModelProto = quantizer.model.model
        if not any(node.op_type == "MatMulNBits" for node in made.graph.node):
            raise Inapplicable("no dense layer with constant float weights")
        return made
