"""Export to ONNX: the graph that every CPU runtime reads, with its weights in a file beside it."""

from __future__ import annotations

from typing import ClassVar

from modelpack.formats.onnx_export import free_batch, quiet
from modelpack.formats.onnx_files import write
from modelpack.formats.variant import ONNX, TORCH, Variant
from modelpack.language.task import LanguageTask
from modelpack.passes.base import ANY_HARDWARE, EXPORT, Pass, PassContext
from modelpack.passes.shared.half_attention import half_attention
from modelpack.runtimes.hardware import CUDA

OPSET = 20


class OnnxExport(Pass):
    """`torch.onnx.export(dynamo=True)` with a free batch dimension.

    A `LanguageTask` writes the graph of one step itself (for the CUDA provider its attention is put in 16 bits). A
    module with a method `complete_graph(ModelProto)` may write what the exporter would be slow to carry (the attributes
    of an operator with thousands of tree nodes or ids).
    """

    name: ClassVar[str] = "onnx"
    title: ClassVar[str] = "export to ONNX"
    stage: ClassVar[int] = EXPORT
    takes: ClassVar[str] = TORCH
    gives: ClassVar[str] = ONNX
    required: ClassVar[bool] = True
    hardware: ClassVar[frozenset[str]] = ANY_HARDWARE
    about: ClassVar[str] = "https://docs.pytorch.org/docs/stable/onnx_export.html"

    def apply(self, variant: Variant, context: PassContext) -> Variant:
        import torch

        usecase = context.usecase
        model = usecase.load(variant.path)
        if isinstance(usecase, LanguageTask):
            graph = usecase.step_graph(model)
            if context.hardware == CUDA:
                half_attention(graph)
            return write(graph, context.folder)
        signature = usecase.signature()
        given = tuple(torch.from_numpy(context.examples[tensor.name][:2]) for tensor in signature.inputs)
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
        return write(graph, context.folder)
