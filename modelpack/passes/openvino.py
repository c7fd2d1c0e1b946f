"""OpenVINO's own format, for its CPU plug-in: in float32, in bfloat16, or with weights in int8.

Read from ONNX by OpenVINO itself and written as IR (docs.openvino.ai/2026/documentation/openvino-ir-format.html). After
`static-int8` the graph's QuantizeLinear pairs become OpenVINO's own int8 execution.

bfloat16 needs `avx512_bf16` or `amx_bf16`. On a CPU without them OpenVINO computes such a pack in float32: right, but
nothing is won, so there the pass says that it cannot be measured.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from modelpack.errors import EcomdeployError
from modelpack.formats.variant import ONNX, OPENVINO, Variant
from modelpack.passes.base import COMPILED, Pass, PassContext

if TYPE_CHECKING:
    import openvino

IR = "model.xml"
STEPS = 127
SMALLEST = 4096
"""Numbers in a matrix below which int8 saves nothing worth a conversion."""
KEEPS_VALUES = frozenset({"Convert", "Reshape", "Squeeze", "Unsqueeze"})


class OpenVinoIr(Pass):
    """As it is, in float32."""

    name: ClassVar[str] = "openvino"
    title: ClassVar[str] = "OpenVINO"
    stage: ClassVar[int] = COMPILED
    takes: ClassVar[str] = ONNX
    gives: ClassVar[str] = OPENVINO
    tools: ClassVar[tuple[str, ...]] = ("openvino",)
    about: ClassVar[str] = "https://docs.openvino.ai/2026/openvino-workflow/model-preparation.html"
    precision: ClassVar[str] = "f32"

    def apply(self, variant: Variant, context: PassContext) -> Variant:
        import openvino

        model = openvino.Core().read_model(str(variant.path))
        self.change(model)
        return write_ir(model, self.precision, context.folder)

    def change(self, model: openvino.Model) -> None:
        """What the pass does to the model, in place. Raises EcomdeployError when there is nothing to gain."""


class OpenVinoBf16(OpenVinoIr):
    """Computed in bfloat16 where the CPU has instructions for it."""

    name: ClassVar[str] = "openvino-bf16"
    title: ClassVar[str] = "OpenVINO in bfloat16"
    instructions: ClassVar[tuple[str, ...]] = ("avx512_bf16", "amx_bf16")
    about: ClassVar[str] = (
        "https://docs.openvino.ai/2026/openvino-workflow/running-inference/optimize-inference/precision-control.html"
    )
    precision: ClassVar[str] = "bf16"

    def change(self, model: openvino.Model) -> None:
        if not has_any(self.instructions):
            raise EcomdeployError(
                f"this CPU has neither {' nor '.join(self.instructions)}: OpenVINO would compute in float32"
            )


class OpenVinoInt8(OpenVinoIr):
    """Weights of dense layers and tables in int8, one scale per row of output; computed in float32."""

    name: ClassVar[str] = "openvino-int8"
    title: ClassVar[str] = "OpenVINO, weights in int8"
    about: ClassVar[str] = (
        "https://docs.openvino.ai/2026/openvino-workflow/model-optimization-guide/weight-compression.html"
    )

    def change(self, model: openvino.Model) -> None:
        if not in_int8(model):
            raise EcomdeployError("no dense layer and no table with constant float weights")


def in_int8(model: openvino.Model) -> int:
    """Put constant matrices that MatMul and Gather read into int8, symmetric, a scale per output; how many."""
    from openvino import opset13

    made: dict[str, Any] = {}
    for node in model.get_ordered_ops():
        place = {"MatMul": 1, "Gather": 0}.get(node.get_type_name())
        if place is None:
            continue
        source = node.input(place).get_source_output().get_node()
        if source.get_type_name() != "Constant" or source.get_element_type().to_string() != "f32":
            continue
        weights = source.get_data()
        if weights.ndim != 2 or weights.size < SMALLEST:
            continue
        rows = place == 0 or bool(node.get_attributes().get("transpose_b"))
        key = f"{source.get_friendly_name()}:{rows}"
        if key not in made:
            largest = np.abs(weights).max(axis=1 if rows else 0, keepdims=True)
            scale = np.maximum(largest / STEPS, np.finfo(np.float32).tiny).astype(np.float32)
            steps = opset13.constant(np.rint(weights / scale).astype(np.int8))
            made[key] = opset13.multiply(opset13.convert(steps, "f32"), opset13.constant(scale))
        node.input(place).replace_source_output(made[key].output(0))
    return len(made)


def write_ir(model: openvino.Model, precision: str, folder: Path) -> Variant:
    """The model as IR in `folder`: the same bytes for the same model, whatever the path."""
    import openvino

    from modelpack.server.engines.openvino import BOUNDS, PRECISION

    model.set_rt_info(precision, list(PRECISION))
    bounds = ",".join(f"{name}={rows}" for name, rows in sorted(tables(model).items()))
    model.set_rt_info(bounds, list(BOUNDS))
    for number, node in enumerate(model.get_ordered_ops()):
        # OpenVINO numbers what has no name by a counter of the process
        node.set_friendly_name(f"{node.get_type_name()}_{number}")
    folder.mkdir(parents=True, exist_ok=True)
    openvino.save_model(model, str(folder / IR), compress_to_fp16=False)
    return Variant(OPENVINO, folder / IR)


def tables(model: openvino.Model) -> dict[str, int]:
    """For each input whose values choose rows of a constant table: how many rows the smallest has."""
    least: dict[str, int] = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Gather":
            continue
        source, shape = node.input(1).get_source_output(), node.input(0).get_partial_shape()
        axis = node.input(2).get_source_output().get_node()
        if shape.rank.is_dynamic or not shape[0].is_static or axis.get_type_name() != "Constant":
            continue
        while source.get_node().get_type_name() in KEEPS_VALUES:
            source = source.get_node().input(0).get_source_output()
        if source.get_node().get_type_name() == "Parameter" and int(axis.get_data().reshape(-1)[0]) == 0:
            name, rows = source.get_any_name(), int(shape[0].get_length())
            least[name] = min(rows, least.get(name, rows))
    return least


def has_any(instructions: tuple[str, ...]) -> bool:
    """Whether this CPU has one of the instruction sets, by the kernel's names."""
    flags = next(
        (line.split() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")),
        [],
    )
    return bool(set(instructions) & set(flags))
