"""Export to ONNX: the graph that every CPU runtime reads, with its weights in a file beside it."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any, ClassVar

from modelpack.draft import ONNX, TORCH, Draft
from modelpack.passes.base import ANY_HARDWARE, EXPORT, Pass, Workshop
from modelpack.passes.half_attention import half_attention
from modelpack.runtimes.base import CUDA
from modelpack.sources.onnx import write
from modelpack.usecases.base import Signature

OPSET = 20
MOST_AXES = 8


class OnnxExport(Pass):
    """`torch.onnx.export(dynamo=True)` with a free batch dimension.

    A module with a method `own_graph()` writes its whole graph itself (one step of a language model; for the
    CUDA provider its attention is put in 16 bits); one with a method
    `complete_graph(ModelProto)` may write what the exporter would be slow to carry (the
    attributes of an operator with thousands of tree nodes).
    """

    name: ClassVar[str] = "onnx"
    title: ClassVar[str] = "export to ONNX"
    stage: ClassVar[int] = EXPORT
    takes: ClassVar[str] = TORCH
    gives: ClassVar[str] = ONNX
    required: ClassVar[bool] = True
    hardware: ClassVar[frozenset[str]] = ANY_HARDWARE
    about: ClassVar[str] = "https://docs.pytorch.org/docs/stable/onnx_export.html"

    def apply(self, draft: Draft, workshop: Workshop) -> Draft:
        import torch

        model = workshop.usecase.load(draft.path)
        if own_graph := getattr(model, "own_graph", None):
            graph = own_graph()
            if workshop.hardware == CUDA:
                half_attention(graph)
            return write(graph, workshop.folder)
        signature = workshop.usecase.signature()
        given = tuple(torch.from_numpy(workshop.examples[tensor.name][:2]) for tensor in signature.inputs)
        with quiet(), torch.no_grad():
            program = torch.onnx.export(
                model,
                given,
                dynamo=True,
                opset_version=OPSET,
                input_names=[tensor.name for tensor in signature.inputs],
                output_names=[tensor.name for tensor in signature.outputs],
                dynamic_shapes=free_batch(signature),
                verbose=False,
            )
        if program is None:
            raise RuntimeError("the exporter gave no program")
        graph = program.model_proto
        if complete := getattr(model, "complete_graph", None):
            complete(graph)
        return write(graph, workshop.folder)


def free_batch(signature: Signature) -> tuple[dict[int, Any], ...]:
    """The dimensions that differ from request to request: the batch, and others that all inputs share by place."""
    import torch

    axes = [torch.export.Dim("batch"), *(torch.export.Dim(f"axis{place}") for place in range(1, MOST_AXES))]
    return tuple(
        {place: axes[place] for place, size in enumerate(tensor.shape) if size == -1}
        for tensor in signature.inputs
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The exporter talks on stdout and through warnings and logging; what matters comes as an exception."""
    loud = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loud]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loud:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loud, levels, strict=True):
                logger.setLevel(level)
