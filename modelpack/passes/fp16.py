"""Weights and arithmetic in 16-bit floating point, for GPUs with tensor cores; what callers send and get stays fp32.

Operators that lose too much in 16 bits (softmax over long axes among them, as ONNX Runtime lists) stay in fp32. Not for
CPUs: their provider has few fp16 kernels and casts around every operator, which is slower than fp32. Micikevicius et
al., *Mixed Precision Training*, 2018 (arXiv:1710.03740).
"""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, ClassVar

from modelpack.passes.base import STORED, GraphPass, Inapplicable, PassContext
from modelpack.runtimes.hardware import CUDA

if TYPE_CHECKING:
    import onnx


class Fp16(GraphPass):
    """ONNX Runtime's own converter."""

    name: ClassVar[str] = "fp16"
    title: ClassVar[str] = "arithmetic in fp16"
    stage: ClassVar[int] = STORED
    hardware: ClassVar[frozenset[str]] = frozenset({CUDA})
    about: ClassVar[str] = "https://onnxruntime.ai/docs/performance/model-optimizations/float16.html"

    def change(self, model: onnx.ModelProto, context: PassContext) -> onnx.ModelProto:
        import onnx
        from onnxruntime.transformers.float16 import convert_float_to_float16

        # it reports every constant that it clips, on standard output
        with contextlib.redirect_stdout(io.StringIO()):
            halved: onnx.ModelProto = convert_float_to_float16(model, keep_io_types=True)
        if not any(one.data_type == onnx.TensorProto.FLOAT16 for one in halved.graph.initializer):
            raise Inapplicable("no weights in fp32")
        return halved
