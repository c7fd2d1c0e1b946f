"""Ranges of activations for int8: found beforehand, or row by row; never one range for all rows of a call.

Rows of many callers share a call. One range for all of them, which is what DynamicQuantizeLinear takes, lets one
caller's outlier take the digits of every other's answer. A range found on calibration inputs costs nothing while
serving, and values beyond it are cut off for their own row alone. Where a use case names nothing to calibrate on each
row has its own, which costs a look at every value (benchmarks/results/ranges.json).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from modelpack.passes.base import Inapplicable, PassContext
from modelpack.runtimes import single_thread
from modelpack.usecases.optional.serving import text_of

if TYPE_CHECKING:
    import onnx

DOMAIN = "com.microsoft"
LEVELS = 255
HALF = 127
MIDDLE = 128
FIRST_OPSET, AXES_ARE_INPUTS = 10, 18
BATCH = 32
ROWS = 512
SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
"""Parts of the range seen that are tried; the one with the least squared error is taken."""
LEAST = np.float32(1e-30)
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Range:
    """A value `x` is stored as `round(x / step) + zero`, 0..255, cut off at both ends."""

    step: float
    zero: int

    def round_trip(self, values: Floats) -> Floats:
        """The values after storing and reading them."""
        codes = np.clip(np.rint(values / np.float32(self.step)) + self.zero, 0, LEVELS)
        return np.asarray((codes - self.zero) * np.float32(self.step), dtype=np.float32)


def covering(values: Floats) -> Range:
    """The range with the least squared error on these values."""
    low, high = min(float(values.min(initial=0)), 0.0), max(float(values.max(initial=0)), 0.0)
    tried = [between(low * share, high * share) for share in SHARES]
    errors = [float(np.square(one.round_trip(values) - values, dtype=np.float64).sum()) for one in tried]
    return tried[int(np.argmin(errors))]


def between(low: float, high: float) -> Range:
    """The range from `low` to `high`, 0 among them."""
    step = max((high - low) / LEVELS, float(LEAST))
    return Range(step, round(-low / step))


def find_ranges(model: onnx.ModelProto, names: Iterable[str], context: PassContext) -> dict[str, Range]:
    """A range for each named value, from the calibration inputs; none where there are none to run the graph on."""
    try:
        seen = activations(model, names, context)
    except Inapplicable:
        return {}
    return {name: covering(values) for name, values in seen.items()}


def activations(model: onnx.ModelProto, names: Iterable[str], context: PassContext) -> dict[str, Floats]:
    """What the named values are on the calibration inputs, zero where a token is padding."""
    import onnx

    wanted = sorted(set(names))
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    for name in wanted:
        watched.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = single_thread.session(watched.SerializeToString())
    inputs = {name: array[:ROWS] for name, array in context.whole_answers().items()}
    count = len(next(iter(inputs.values())))
    parts = [
        session.run(wanted, {name: array[begin : begin + BATCH] for name, array in inputs.items()})
        for begin in range(0, count, BATCH)
    ]
    seen = {name: np.concatenate([part[place] for part in parts]) for place, name in enumerate(wanted)}
    return without_padding(seen, inputs, context)


def without_padding(
    seen: dict[str, Floats], inputs: Mapping[str, NDArray[Any]], context: PassContext
) -> dict[str, Floats]:
    """Activations (texts, tokens, width) with zero where the use case's mask says that there is no token."""
    text = text_of(context.usecase)
    if text is None:
        return seen
    mask = inputs[text.mask].astype(np.float32)[:, :, None]
    return {
        name: array * mask if array.ndim == 3 and array.shape[:2] == mask.shape[:2] else array
        for name, array in seen.items()
    }


@dataclass(frozen=True)
class Product:
    """A dense layer in int8: names of its input, of int8 `weights` (inputs, outputs), of their `scale` (outputs,), of a
    `bias` (outputs,) or "", and of its result. Constants of its own are named after the result. `opset` is the graph's,
    at least 10; from 18 on a reduction's axes are an input."""

    given: str
    weights: str
    scale: str
    bias: str
    result: str
    opset: int

    def nodes(
        self, covered: Range | None
    ) -> tuple[list[onnx.NodeProto], dict[str, NDArray[Any] | np.generic]]:
        """The layer, and its further constants; `covered` is its input's range, None for one of each row's own."""
        return self.quantize_by(covered) if covered else self.by_row()

    def quantize_by(
        self, covered: Range
    ) -> tuple[list[onnx.NodeProto], dict[str, NDArray[Any] | np.generic]]:
        """With a range found beforehand."""
        from onnx import helper

        codes, step, zero = (f"{self.result}.{one}" for one in ("codes", "step", "zero"))
        nodes = [
            helper.make_node("QuantizeLinear", [self.given, step, zero], [codes], f"{codes}.of"),
            self.multiply(codes, step, zero, self.bias, self.result),
        ]
        return nodes, {step: np.float32(covered.step), zero: np.uint8(covered.zero)}

    def by_row(self) -> tuple[list[onnx.NodeProto], dict[str, NDArray[Any] | np.generic]]:
        """With a range for every row: its largest value is 127 steps."""
        from onnx import helper

        own = {one: f"{self.result}.{one}" for one in BY_ROW}

        def node(operator: str, given: list[str], made: str, **attributes: Any) -> onnx.NodeProto:
            return helper.make_node(
                operator, [own.get(one, one) for one in given], [own.get(made, made)], **attributes
            )

        along_last: dict[str, Any] = {"axes": [-1]} if self.opset < AXES_ARE_INPUTS else {}
        nodes = [
            node("Abs", [self.given], "sizes"),
            node(
                "ReduceMax", ["sizes", *([] if along_last else ["last"])], "largest", keepdims=1, **along_last
            ),
            node("Max", ["largest", "least"], "reach"),
            node("Mul", ["reach", "part"], "row_step"),
            node("Div", [self.given, "row_step"], "counted"),
            node("QuantizeLinear", ["counted", "one", "zero"], "codes"),
            self.multiply(own["codes"], own["one"], own["zero"], "", own["product"]),
            node("Mul", ["product", "row_step"], "scaled" if self.bias else self.result),
        ]
        if self.bias:
            nodes.append(node("Add", ["scaled", self.bias], self.result))
        last = {} if along_last else {own["last"]: np.array([-1], dtype=np.int64)}
        return nodes, {
            **last,
            own["least"]: LEAST,
            own["part"]: np.float32(1 / HALF),
            own["one"]: np.float32(1),
            own["zero"]: np.uint8(MIDDLE),
        }

    def multiply(self, codes: str, step: str, zero: str, bias: str, result: str) -> onnx.NodeProto:
        """The product of whole numbers, back in float."""
        from onnx import helper

        given = [codes, self.weights, step, self.scale, zero, *(("", bias) if bias else ())]
        return helper.make_node("MatMulIntegerToFloat", given, [result], f"{result}.int8", domain=DOMAIN)


BY_ROW = (
    *("sizes", "last", "largest", "least", "reach", "part", "row_step", "counted", "one", "zero", "codes"),
    *("product", "scaled"),
)


def opset_of(model: onnx.ModelProto) -> int:
    """The version of the standard operators. Raises Inapplicable where it has no QuantizeLinear yet."""
    version = next(one.version for one in model.opset_import if one.domain in ("", "ai.onnx"))
    if version < FIRST_OPSET:
        raise Inapplicable(f"the graph is of opset {version}; int8 needs {FIRST_OPSET}: export it anew")
    return int(version)


def with_domain(model: onnx.ModelProto) -> None:
    """In place: the model names the operators' domain."""
    from onnx import helper

    if all(one.domain != DOMAIN for one in model.opset_import):
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
