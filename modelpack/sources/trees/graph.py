"""Boosted trees from text formats as an ONNX graph: one TreeEnsembleRegressor between the use case's names.

Operator: onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleRegressor.html. The files are parsed here, by their
documented formats, and not by the libraries that wrote them: those are native parsers without limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelpack.errors import BadInput
from modelpack.formats.signature import Signature
from modelpack.formats.tree_ensemble import OPERATOR
from modelpack.server.signature import Tensor
from modelpack.sources.trees.forest import Forest, check_tree
from modelpack.sources.trees.nodes import attributes

if TYPE_CHECKING:
    import onnx

OPSET = 20
ML_OPSET = 3
HALF = 0.5
CODES = "it splits by category: requests carry the numbers that training saw (of a pandas column its codes)"
NUMBERS = ("FP32", "FP64", "INT64", "INT32")
EXACT = ("FP64", "INT64", "INT32")
"""Datatypes in which a number keeps its digits where float32 does not."""


def graph(forest: Forest, wanted: Signature | None, path: Path) -> onnx.ModelProto:
    """The forest with the use case's inputs and outputs, or its own. Raises BadInput when they cannot be matched.

    Inputs: one tensor of all features, or one number per feature, by name. Outputs: one FP32 tensor of its scores, and
    where the use case wants a label too (INT64), the class of the highest, or whether the only one is above one half.
    """
    from onnx import helper

    for number, tree in enumerate(forest.trees):
        check_tree(tree, len(forest.features), number, path)
    signature = wanted or own_signature(forest)
    build = Build(names_of(signature))
    double = forest.double and any(one.datatype in EXACT for one in signature.inputs)
    rows = forest_rows(build, forest, signature.inputs, double, path)
    scores, labels = match_outputs(forest, signature.outputs, path)
    last = build.add(OPERATOR, [rows], domain="ai.onnx.ml", **attributes(forest, double, path))
    last = transform(build, forest.through, last)
    shaped = build.constant("shape", np.array([-1, *scores.shape[1:]], np.int64))
    build.add("Reshape", [last, shaped], scores.name)
    if labels is not None:
        label(build, len(forest.base), last, labels)
    return helper.make_model(
        helper.make_graph(
            build.nodes,
            "trees",
            *([value(one) for one in side] for side in (signature.inputs, signature.outputs)),
            build.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)],
        ir_version=10,
    )


class Build:
    """Nodes and constants of a graph whose inner names never meet the `taken` ones: a feature may be called "sum"."""

    def __init__(self, taken: Iterable[str]) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._taken = set(taken)

    def fresh(self, word: str) -> str:
        """A name that nothing has."""
        while word in self._taken:
            word += "_"
        self._taken.add(word)
        return word

    def add(self, op: str, inputs: Sequence[str], output: str = "", domain: str = "", **more: Any) -> str:
        """A node; the name of its output, made up unless given."""
        from onnx import helper

        output = output or self.fresh(op.lower())
        self.nodes.append(helper.make_node(op, list(inputs), [output], domain=domain, **more))
        return output

    def constant(self, word: str, array: Any) -> str:
        """A constant's name."""
        from onnx import numpy_helper

        name = self.fresh(word)
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name


def names_of(signature: Signature) -> list[str]:
    """Every name that a request or an answer uses."""
    return [one.name for one in (*signature.inputs, *signature.outputs)]


def own_signature(forest: Forest) -> Signature:
    """What trees take and give where nobody says it: a table of the features, and scores."""
    kind = "FP64" if forest.fine else "FP32"
    features = Tensor("features", kind, (-1, len(forest.features)))
    if len(forest.base) == 1:
        return Signature((features,), (Tensor("score", "FP32", (-1,)),))
    outputs = [Tensor("scores", "FP32", (-1, len(forest.base)))]
    if forest.through == "Softmax":
        outputs = [Tensor("label", "INT64", (-1,)), Tensor("probabilities", "FP32", (-1, len(forest.base)))]
    return Signature((features,), tuple(outputs))


def match_outputs(forest: Forest, outputs: Sequence[Tensor], path: Path) -> tuple[Tensor, Tensor | None]:
    """The outputs for scores and label. Raises BadInput."""
    scores = [one for one in outputs if one.datatype == "FP32"]
    labels = [one for one in outputs if one.datatype == "INT64"]
    count = len(forest.base)
    fit = len(scores) == 1 and len(labels) <= 1 and len(outputs) == len(scores) + len(labels)
    if (
        not fit
        or (count > 1 and scores[0].shape != (-1, count))
        or (count == 1 and scores[0].shape not in ((-1,), (-1, 1)))
    ):
        gives = "one FP32 number" if count == 1 else f"{count} FP32 numbers, [-1, {count}],"
        words = ", ".join(f"{one.name} {one.datatype}{list(one.shape)}" for one in outputs)
        raise BadInput(
            f"its trees give {gives} for each row, and an INT64 label; wanted: {words}", where=str(path)
        )
    return scores[0], labels[0] if labels else None


def label(build: Build, count: int, scores: str, wanted: Tensor) -> None:
    """The class of each row."""
    from onnx import TensorProto

    if count == 1:
        above = build.add("Greater", [scores, build.constant("half", np.float32(HALF))])
        found = build.add("Cast", [above], to=TensorProto.INT64)
    else:
        found = build.add("ArgMax", [scores], axis=1, keepdims=0)
    shape = build.constant("label_shape", np.array([-1, *wanted.shape[1:]], np.int64))
    build.add("Reshape", [found, shape], wanted.name)


def transform(build: Build, through: str, last: str) -> str:
    """What the sum goes through."""
    if through == "SignedSquare":
        return build.add("Mul", [build.add("Abs", [last]), last])
    more: dict[str, Any] = {"axis": 1} if through == "Softmax" else {}
    return build.add(through, [last], **more) if through else last


def forest_rows(build: Build, forest: Forest, inputs: Sequence[Tensor], double: bool, path: Path) -> str:
    """The name of a table of features in the forest's order.

    Raises BadInput when the inputs are others, or too coarse.
    """
    from onnx import TensorProto

    names, count = forest.features, len(forest.features)
    kind = TensorProto.DOUBLE if double else TensorProto.FLOAT
    table = len(inputs) == 1 and inputs[0].datatype in NUMBERS and inputs[0].shape == (-1, count)
    single = all(one.datatype in NUMBERS and one.shape in ((-1,), (-1, 1)) for one in inputs)
    given = {one.name: one for one in inputs}
    if not table and (set(given) != set(names) or not single):
        raise BadInput(
            f"its features are {', '.join(names[:20])}; wanted: {', '.join(given)}", where=str(path)
        )
    coarse = [
        names[at]
        for at in sorted(forest.fine)
        if (inputs[0] if table else given[names[at]]).datatype == "FP32"
    ]
    if coarse:
        raise BadInput(
            f"float32 cannot tell apart what its splits on {', '.join(coarse[:5])} do (large ids, times in seconds)",
            where=str(path),
            hint="declare the input as FP64 or INT64: inputs = (Tensor('features', 'FP64', (-1, …)),)",
        )
    if table:
        wanted = "FP64" if double else "FP32"
        rows = (
            inputs[0].name if inputs[0].datatype == wanted else build.add("Cast", [inputs[0].name], to=kind)
        )
    else:
        column = build.constant("column", np.array([-1, 1], np.int64))
        parts = [build.add("Reshape", [build.add("Cast", [name], to=kind), column]) for name in names]
        rows = build.add("Concat", parts, axis=1)
    return prepare(build, forest, rows, np.float64 if double else np.float32)


def prepare(build: Build, forest: Forest, rows: str, kind: Any) -> str:
    """The table as the trees look at it: categories whole, zeros missing where they mean that."""
    from onnx import TensorProto

    count = len(forest.features)
    if forest.zero_missing:
        tiny = build.add("LessOrEqual", [build.add("Abs", [rows]), build.constant("tiny", kind(1e-35))])
        zero = build.add("And", [tiny, build.constant("zeros", columns(forest.zero_missing, count))])
        rows = build.add("Where", [zero, build.constant("missing", kind("nan")), rows])
    if forest.categories:
        if forest.floor:
            whole = build.add("Floor", [rows])
        else:
            below = build.constant("below", kind(-1))
            limited = build.add("Clip", [rows, below, build.constant("above", kind(2**31))])
            known = build.add("Where", [build.add("IsNaN", [rows]), below, limited])
            code = TensorProto.DOUBLE if kind is np.float64 else TensorProto.FLOAT
            whole = build.add("Cast", [build.add("Cast", [known], to=TensorProto.INT64)], to=code)
        rows = build.add(
            "Where", [build.constant("categories", columns(forest.categories, count)), whole, rows]
        )
    return rows


def columns(some: Iterable[int], count: int) -> Any:
    """A row of booleans, true for some features."""
    mask = np.zeros((1, count), np.bool_)
    mask[0, sorted(some)] = True
    return mask


def value(tensor: Tensor) -> onnx.ValueInfoProto:
    """An input or output as ONNX describes it; the batch is open."""
    from onnx import TensorProto, helper

    kinds = {
        "FP32": TensorProto.FLOAT,
        "FP64": TensorProto.DOUBLE,
        "INT64": TensorProto.INT64,
        "INT32": TensorProto.INT32,
    }
    shape = ["batch" if size == -1 else size for size in tensor.shape]
    return helper.make_tensor_value_info(tensor.name, kinds[tensor.datatype], shape)
