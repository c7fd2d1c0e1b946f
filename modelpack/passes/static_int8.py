"""Dense layers in int8 with ranges found beforehand: no measuring of activations while serving.

ONNX Runtime's static quantization in QDQ form: weights per output channel, activations per tensor, ranges from the
inputs that the use case names for it, never held-out requests. Of its three ways to find a range (smallest and
largest value, 99.999th percentile, least entropy lost) the one whose answers are closest to the float graph's on
those inputs is taken. Activations of a text encoder reach so far out that no range fits them (measured on MiniLM:
recall@10 of .68 against the float encoder); the gate is there to see that.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modelpack.formats.onnx_files import write
from modelpack.formats.signature import Arrays
from modelpack.formats.variant import ONNX, Variant
from modelpack.passes.base import GRAPH, Inapplicable, Pass, PassContext
from modelpack.passes.shared.dense import matrices_of
from modelpack.runtimes import single_thread
from modelpack.usecases.optional.serving import text_of

if TYPE_CHECKING:
    import onnx

WAYS = ("MinMax", "Percentile", "Entropy")
DENSE = ("MatMul", "Gemm")
BATCH = 64
ROWS, TEXTS = 512, 128
"""Calibration rows used; fewer texts, for all activations of each token are held until their histogram is made."""


class StaticInt8(Pass):
    """Calibrated static quantization of MatMul and Gemm."""

    name: ClassVar[str] = "static-int8"
    title: ClassVar[str] = "dense layers in int8, calibrated"
    stage: ClassVar[int] = GRAPH
    takes: ClassVar[str] = ONNX
    gives: ClassVar[str] = ONNX
    about: ClassVar[str] = (
        "https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html#static-quantization"
    )

    def apply(self, variant: Variant, context: PassContext) -> Variant:
        import onnx

        inputs = context.whole_answers()
        rows = ROWS if text_of(context.usecase) is None else TEXTS
        given = {name: array[:rows] for name, array in inputs.items()}
        if not (layers := dense_layers(onnx.load(str(variant.path)).graph)):
            raise Inapplicable("no dense layer with constant float weights")
        context.folder.mkdir(parents=True, exist_ok=True)
        whole = context.folder / "whole.onnx"
        wanted = answers(str(variant.path), given)
        made, distances = [], []
        for way in WAYS:
            quantize(variant.path, whole, layers, way, given)
            made.append(onnx.load(str(whole)))
            distances.append(distance(answers(str(whole), given), wanted))
            whole.unlink()
        return write(made[int(np.argmin(distances))], context.folder)


def dense_layers(graph: onnx.GraphProto) -> list[str]:
    """The names of MatMul and Gemm nodes whose right side is a constant float matrix."""
    matrices = matrices_of(graph)
    return [node.name for node in graph.node if node.op_type in DENSE and node.input[1] in matrices]


def quantize(source: Path, to: Path, layers: list[str], way: str, given: Arrays) -> None:
    """The graph with these layers quantized, ranges found in this way.

    Weights in 7 bits, as in `int8`: where the CPU has no VNNI, 8 bits saturate in AVX2's multiply-add.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    with hush():
        quantize_static(
            str(source),
            str(to),
            Rows(given),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(DENSE),
            nodes_to_quantize=layers,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=getattr(CalibrationMethod, way),
            calibration_providers=["CPUExecutionProvider"],
        )


class Rows:
    """The calibration inputs batch by batch, as ONNX Runtime's CalibrationDataReader has them."""

    def __init__(self, given: Arrays) -> None:
        self.batches = iter(batches(given))

    def get_next(self) -> Arrays | None:
        """The next batch; None after the last."""
        return next(self.batches, None)


def batches(given: Arrays) -> list[Arrays]:
    """Cut by rows."""
    rows = len(next(iter(given.values())))
    return [
        {name: np.ascontiguousarray(array[begin : begin + BATCH]) for name, array in given.items()}
        for begin in range(0, rows, BATCH)
    ]


def answers(path: str, given: Arrays) -> list[NDArray[Any]]:
    """The graph's outputs for the given rows."""
    session = single_thread.session(path)
    parts = [session.run(None, one) for one in batches(given)]
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]


def distance(got: list[NDArray[Any]], wanted: list[NDArray[Any]]) -> float:
    """The mean squared difference of all float outputs, each in units of its own deviation."""
    pairs = [(one, other) for one, other in zip(got, wanted, strict=True) if other.dtype.kind == "f"]
    errors = [
        float(
            np.square(one - other, dtype=np.float64).mean() / max(float(other.var(dtype=np.float64)), 1e-12)
        )
        for one, other in pairs
    ]
    return sum(errors)


@contextmanager
def hush() -> Iterator[None]:
    """The quantizer advises by logging and prints where it is; what matters comes as an exception."""
    root, level = logging.getLogger(), logging.getLogger().level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(level)
