"""Kernels launched together: the runs of a graph captured once on the GPU and replayed. The model stays as it is.

Only for models whose shapes are fixed but for the number of rows: a graph holds for one shape.
"""

from __future__ import annotations

import json
import shutil
from typing import ClassVar

from modelpack.formats.variant import ONNX, SESSION, Draft
from modelpack.passes.base import COMPILED, Inapplicable, Pass, Workshop
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

    def apply(self, draft: Draft, workshop: Workshop) -> Draft:
        signature = workshop.usecase.signature()
        free = [one.name for one in (*signature.inputs, *signature.outputs) if -1 in one.shape[1:]]
        if free:
            raise Inapplicable(
                f"the shape of {', '.join(free)} varies by request, and a graph holds for one shape"
            )
        workshop.folder.mkdir(parents=True, exist_ok=True)
        for name, path in draft.files.items():
            shutil.copyfile(path, workshop.folder / name)
        session = {**draft.session, "cuda_graph": True}
        (workshop.folder / SESSION).write_text(json.dumps(session, sort_keys=True) + "\n")
        return Draft(ONNX, workshop.folder / draft.path.name)
