"""Dense layers in int8: weights quantized per channel, activations at run time.

Symmetric weights in 7 bits (`reduce_range`): on CPUs without VNNI the 8-bit multiply-add of AVX2 saturates, and
the same file has to answer alike on every instance type.
"""

from __future__ import annotations

import logging
from typing import ClassVar

from modelpack.formats.onnx_files import write
from modelpack.formats.variant import ONNX, Variant
from modelpack.passes.base import GRAPH, Pass, PassContext


class Int8(Pass):
    """Dynamic quantization of MatMul and Gemm by ONNX Runtime."""

    name: ClassVar[str] = "int8"
    title: ClassVar[str] = "dense layers in int8"
    stage: ClassVar[int] = GRAPH
    takes: ClassVar[str] = ONNX
    gives: ClassVar[str] = ONNX
    about: ClassVar[str] = (
        "https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html#dynamic-quantization"
    )

    def apply(self, variant: Variant, context: PassContext) -> Variant:
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic

        context.folder.mkdir(parents=True, exist_ok=True)
        whole = context.folder / "whole.onnx"
        root, level = logging.getLogger(), logging.getLogger().level
        root.setLevel(logging.ERROR)
        try:
            quantize_dynamic(
                str(variant.path),
                str(whole),
                op_types_to_quantize=["MatMul", "Gemm"],
                weight_type=QuantType.QInt8,
                per_channel=True,
                reduce_range=True,
                extra_options={"MatMulConstBOnly": True},
            )
        finally:
            root.setLevel(level)
        graph = onnx.load(str(whole))
        whole.unlink()
        return write(graph, context.folder)
