"""ONNX Runtime on one thread, which repeats exactly and is how a replica is measured."""

from __future__ import annotations

import os
from typing import Any


def session(graph: str | bytes, optimized: bool = True) -> Any:
    """An `onnxruntime.InferenceSession` on the CPU of a file or a serialized graph; not `optimized`: every value stays
    as it is written."""
    # Its Linux wheels send telemetry unless told not to before the import.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if not optimized:
        options.log_severity_level = 4
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
