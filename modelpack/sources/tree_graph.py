"""Boosted trees from text formats as an ONNX graph: one TreeEnsembleRegressor between the use case's names.

The files are parsed here, by their
documented formats, and not by the libraries that wrote them: those are native parsers without limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from modelpack.errors import BadInput
from modelpack.formats import tree_ensemble
from modelpack.formats.signature import Signature
from modelpack.formats.tree_ensemble import OPERATOR, Nodes
from modelpack.server.signature import Tensor

if TYPE_CHECKING:
    import onnx

OPSET = 20
ML_OPSET = 3
LARGEST_TEXT = 1_000_000_000
MOST_TREES = 100_000
MOST_DEPTH = 10_000
HALF = 0.5


@dataclass(frozen=True)
class Tree:
    """Nodes as arrays, the root first; `left` is -1 at a leaf. `value`: the limit of a split, or what a leaf adds."""

    feature: NDArray[np.int64]
    value: NDArray[np.float32]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    missing_left: NDArray[np.int64]


@dataclass(frozen=True)
class Forest:
    """Trees, how they compare (`BRANCH_LT` or `BRANCH_LEQ`), what is added, and what the sum goes through.

    `through`: "" or an ONNX operator (`Sigmoid`, `Exp`).
    """

    trees: tuple[Tree, ...]
    features: tuple[str, ...]
    mode: str
    base: float
    through: str


def check_tree(tree: Tree, features: int, number: int, path: Path) -> None:
    """Raises BadInput unless it is one tree: every node but the root has one parent, and no row walks for ever."""
    size = len(tree.left)
    same = {len(part) for part in (tree.feature, tree.value, tree.right, tree.missing_left)} == {size}
    inner = np.flatnonzero(tree.left >= 0) if same else np.zeros(0, np.int64)
    below = np.concatenate([tree.left[inner], tree.right[inner]]) if same else inner
    whole = same and size > 0 and bool(np.isfinite(tree.value).all())
    fit = whole and len(below) == size - 1 and np.array_equal(np.sort(below), np.arange(1, size))
    if not fit or (tree.feature[inner] < 0).any() or (tree.feature[inner] >= features).any():
        raise BadInput(f"tree {number} is damaged: its nodes do not form a tree", where=str(path))
    level, depth, reached = np.zeros(1, np.int64), 0, 1
    while len(level := level[tree.left[level] >= 0]):
        level = np.concatenate([tree.left[level], tree.right[level]])
        depth, reached = depth + 1, reached + len(level)
        if depth > MOST_DEPTH:
            raise BadInput(f"tree {number} is deeper than {MOST_DEPTH:,}", where=str(path))
    if reached != size:
        raise BadInput(f"tree {number} is damaged: it has a loop", where=str(path))


def graph(forest: Forest, wanted: Signature | None, path: Path) -> onnx.ModelProto:
    """The forest with the use case's inputs and outputs. Raises BadInput when they cannot be matched.

    Inputs: one FP32 tensor of all features, or one number per feature, by name. Outputs: one FP32 number, and
    where the use case wants a label too (INT64), whether it is at least one half.
    """
    from onnx import TensorProto, helper

    signature = wanted or Signature(
        (Tensor("features", "FP32", (-1, len(forest.features))),), (Tensor("score", "FP32", (-1,)),)
    )
    for number, tree in enumerate(forest.trees):
        check_tree(tree, len(forest.features), number, path)
    nodes, rows = gather_features(forest, signature.inputs, path)
    scores = [one for one in signature.outputs if one.datatype == "FP32"]
    labels = [one for one in signature.outputs if one.datatype == "INT64"]
    if len(scores) != 1 or len(labels) > 1 or len(signature.outputs) != len(scores) + len(labels):
        raise BadInput("trees give one number, and the use case wants other outputs", where=str(path))
    nodes.append(helper.make_node(OPERATOR, [rows], ["sum"], domain="ai.onnx.ml", **attributes(forest)))
    last = "sum"
    if forest.through:
        nodes.append(helper.make_node(forest.through, [last], [last := "through"]))
    shaped = [-1, *scores[0].shape[1:]]
    constants = [helper.make_tensor("shape", TensorProto.INT64, [len(shaped)], shaped)]
    nodes.append(helper.make_node("Reshape", [last, "shape"], [scores[0].name]))
    if labels:
        constants.append(helper.make_tensor("half", TensorProto.FLOAT, [], [HALF]))
        nodes.append(helper.make_node("GreaterOrEqual", [scores[0].name, "half"], ["over"]))
        nodes.append(helper.make_node("Cast", ["over"], [labels[0].name], to=TensorProto.INT64))
    return helper.make_model(
        helper.make_graph(
            nodes,
            "trees",
            *([value(one) for one in side] for side in (signature.inputs, signature.outputs)),
            constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)],
        ir_version=10,
    )


def gather_features(forest: Forest, inputs: Sequence[Tensor], path: Path) -> tuple[list[Any], str]:
    """Nodes that put the inputs beside each other in the order of the features, and the name of the result."""
    from onnx import TensorProto, helper

    count = len(forest.features)
    if len(inputs) == 1 and inputs[0].datatype == "FP32" and inputs[0].shape == (-1, count):
        return [], inputs[0].name
    given = {one.name: one for one in inputs}
    numbers = all(
        one.datatype in ("FP32", "INT64", "INT32") and one.shape in ((-1,), (-1, 1)) for one in inputs
    )
    if set(given) != set(forest.features) or not numbers:
        raise BadInput(
            f"its features are {', '.join(forest.features[:20])}; wanted: {', '.join(given)}", where=str(path)
        )
    column = helper.make_tensor("column", TensorProto.INT64, [2], [-1, 1])
    nodes = [helper.make_node("Constant", [], ["column"], value=column)]
    for name in forest.features:
        nodes.append(helper.make_node("Cast", [name], [f"{name}/number"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Reshape", [f"{name}/number", "column"], [f"{name}/column"]))
    parts = [f"{name}/column" for name in forest.features]
    return [*nodes, helper.make_node("Concat", parts, ["rows"], axis=1)], "rows"


def attributes(forest: Forest) -> dict[str, Any]:
    """The operator's attributes."""
    trees = forest.trees
    sizes = [len(tree.left) for tree in trees]
    ids = np.concatenate([np.arange(size) for size in sizes])
    of_tree = np.repeat(np.arange(len(trees)), sizes)
    joined = {
        name: np.concatenate([getattr(tree, name) for tree in trees])
        for name in ("feature", "value", "left", "right", "missing_left")
    }
    leaf = joined["left"] < 0
    nodes = Nodes(of_tree, ids, leaf, joined["feature"], joined["value"], joined["left"], joined["right"])
    return {
        **tree_ensemble.attributes(nodes, forest.mode),
        "base_values": [forest.base],
        "nodes_missing_value_tracks_true": np.where(leaf, 0, joined["missing_left"]).tolist(),
    }


def value(tensor: Tensor) -> onnx.ValueInfoProto:
    """An input or output as ONNX describes it; the batch is open."""
    from onnx import TensorProto, helper

    kinds = {"FP32": TensorProto.FLOAT, "INT64": TensorProto.INT64, "INT32": TensorProto.INT32}
    shape = ["batch" if size == -1 else size for size in tensor.shape]
    return helper.make_tensor_value_info(tensor.name, kinds[tensor.datatype], shape)
