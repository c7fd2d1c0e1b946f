"""Unstructured pruning: nine of ten weights of the dense layers become zero, the rest is tuned, zeros are not stored.

The smallest weights by magnitude go, over all layers together (Han et al., "Learning both Weights and Connections",
arXiv:1506.02626; Zhu & Gupta, arXiv:1710.01878), and stay zero while the others are trained on. What it buys is size
only: CPU kernels multiply zeros like any number. So the pass exports by itself and keeps the layers as ONNX
sparse initializers, 12 bytes for each weight that is left against 4 for every one; ONNX Runtime makes them dense
again when it loads (onnx.ai/onnx/repo-docs/IR.html, onnxruntime: graph.cc, `SparseTensorProtoToDenseTensorProto`).
Quantization afterwards finds no dense weights and leaves these layers alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from modelpack.formats.onnx_files import write
from modelpack.formats.variant import ONNX, TORCH, Variant
from modelpack.passes.base import EXPORT, Inapplicable, Pass, PassContext
from modelpack.passes.onnx import OnnxExport
from modelpack.passes.shared.learning import SEED, learner, save_variant

if TYPE_CHECKING:
    import onnx

ZEROS = 0.9
SMALLEST = 1024
"""Weights a layer has at least: in smaller ones there is nothing to save."""
TUNED = 0.5
"""Share of the usual epochs that the rest is trained for."""
BYTES_DENSE, BYTES_SPARSE = 4, 12


class Prune(Pass):
    """Magnitude pruning with tuning, exported with sparse weights."""

    name: ClassVar[str] = "prune"
    title: ClassVar[str] = "nine of ten weights zero, tuned, stored sparsely"
    stage: ClassVar[int] = EXPORT
    takes: ClassVar[str] = TORCH
    gives: ClassVar[str] = ONNX
    trains: ClassVar[bool] = True
    about: ClassVar[str] = "https://arxiv.org/abs/1506.02626"

    def apply(self, variant: Variant, context: PassContext) -> Variant:
        import onnx

        usecase, training_rows = learner(context)
        model = context.usecase.load(variant.path)
        with_zeros(model, lambda: usecase.tune(model, training_rows, SEED, context.progress, share=TUNED))
        within = context.folder / "zeros"
        exported = OnnxExport().apply(save_variant(model, at(context, within)), at(context, within / "whole"))
        graph = onnx.load(str(exported.path))
        if not stored_sparsely(graph.graph):
            raise Inapplicable("no dense layer became sparse enough to be worth it")
        return write(graph, context.folder)


def at(context: PassContext, folder: Any) -> PassContext:
    """The context with another folder."""
    from dataclasses import replace

    return replace(context, folder=folder)


def with_zeros(model: Any, tune: Any) -> None:
    """The smallest weights of all larger dense layers zero, also after `tune()`. Raises Inapplicable without such."""
    from torch import nn
    from torch.nn.utils import prune

    layers = [one for one in model.modules() if isinstance(one, nn.Linear) and one.weight.numel() >= SMALLEST]
    if not layers:
        raise Inapplicable(f"no dense layer of at least {SMALLEST} weights")
    named = [(one, "weight") for one in layers]
    prune.global_unstructured(named, prune.L1Unstructured, amount=ZEROS)
    tune()
    for one, name in named:
        prune.remove(one, name)  # type: ignore[no-untyped-call]


def stored_sparsely(graph: onnx.GraphProto) -> int:
    """Every float initializer that is smaller as a sparse one becomes it; how many did."""
    import onnx
    from onnx import numpy_helper

    fitting = []
    for tensor in graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) != 2:
            continue
        values = numpy_helper.to_array(tensor)
        places = np.flatnonzero(values)
        if values.size >= SMALLEST and places.size * BYTES_SPARSE < values.size * BYTES_DENSE:
            fitting.append((tensor, values, places))
    for tensor, values, places in fitting:
        left = numpy_helper.from_array(values.ravel()[places], tensor.name)
        where = numpy_helper.from_array(places.astype(np.int64), f"{tensor.name}.places")
        graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(left, where, list(values.shape)))
        graph.initializer.remove(tensor)
    return len(fitting)
