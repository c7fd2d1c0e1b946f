"""Kernels launched together: the runs of a graph captured once on the GPU and replayed. The model stays as it is.

Only for models whose shapes are fixed but for the number of rows: a graph holds for one shape.
"""

from __future__ import annotations

import json
import shutil
from typing import ClassVar

from modelpack.formats.variant import ONNX, SESSION, Variant
from modelpack.passes.base import COMPILED, Inapplicable, Pass, PassContext
from modelpack.runtimes.hardware import CUDA


class CudaGraphs(Pass):
    """A session option beside the model (`modelpack/server/engines/graphs.py` obeys it)."""

    name: ClassVar[str] = "cuda-graphs"
    title: ClassVar[str] = "runs captured as CUDA graphs"
    stage: ClassVar[int] = COMPILED
    takes: ClassVar[str] = ONNX
    gives: ClassVar[str] = ONNX
    hardware: ClassVar[frozenset[str]] = frozenset({CUDA})
    about: ClassVar[str] = (
        "https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html#using-cuda-graphs-preview"
    )

    def apply(self, variant: Variant, context: PassContext) -> Variant:
        signature = context.usecase.signature()
        free = [one.name for one in (*signature.inputs, *signature.outputs) if -1 in one.shape[1:]]
        if free:
            raise Inapplicable(
                f"the shape of {', '.join(free)} varies by request, and a graph holds for one shape"
            )
        context.folder.mkdir(parents=True, exist_ok=True)
        for name, path in variant.files.items():
            shutil.copyfile(path, context.folder / name)
        session = {**variant.session, "cuda_graph": True}
        (context.folder / SESSION).write_text(json.dumps(session, sort_keys=True) + "\n")
        return Variant(ONNX, context.folder / variant.path.name)
