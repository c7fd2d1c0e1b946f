"""A use case for one model file: x (rows, 4) -> p; and what a variant of it answers."""

from __future__ import annotations

from typing import Any

import numpy as np
from tiny_usecase import Tiny

from modelpack.formats.signature import Signature
from modelpack.formats.variant import Variant
from modelpack.runtimes.onnxruntime import OnnxRuntime
from modelpack.server.signature import Tensor


class Given(Tiny):
    """x (rows, 4) -> p."""

    def signature(self) -> Signature:
        return Signature((Tensor("x", "FP32", (-1, 4)),), (Tensor("p", "FP32", (-1,)),))


def answered(variant: Variant, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return OnnxRuntime().open(variant, Given())({"x": rows.astype(np.float32)})["p"]
