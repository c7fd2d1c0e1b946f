"""XGBoost's `.json` models (xgboost.readthedocs.io/en/stable/tutorials/saving_model.html), read without XGBoost."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from modelpack.errors import BadInput
from modelpack.formats.signature import Signature
from modelpack.sources.base import Converted
from modelpack.sources.tree_graph import LARGEST_TEXT, MOST_TREES, Forest, Tree, graph

if TYPE_CHECKING:
    import onnx

THROUGH = {
    "binary:logistic": "Sigmoid",
    "reg:logistic": "Sigmoid",
    "count:poisson": "Exp",
    "reg:tweedie": "Exp",
    "reg:gamma": "Exp",
    "binary:logitraw": "",
    "reg:squarederror": "",
    "reg:absoluteerror": "",
    "reg:pseudohubererror": "",
    "reg:quantileerror": "",
    "rank:ndcg": "",
    "rank:pairwise": "",
    "rank:map": "",
}
"""What an objective makes of the sum; its `base_score` is given after that."""


class XGBoost(Converted):
    """Boosted trees of numbers, one output."""

    name: ClassVar[str] = "xgboost"
    suffixes: ClassVar[tuple[str, ...]] = ("json",)

    def convert(self, path: Path, wanted: Signature | None, notes: list[str]) -> onnx.ModelProto:
        if path.stat().st_size > LARGEST_TEXT:
            raise BadInput("a model text above 1 GB is refused", where=str(path))
        try:
            forest = parse(json.loads(path.read_bytes()), path)
        except (
            KeyError,
            TypeError,
            ValueError,
            IndexError,
            OverflowError,
            RecursionError,
            AttributeError,
        ) as error:
            raise BadInput(f"damaged or not an XGBoost model: {error!r}"[:300], where=str(path)) from error
        return graph(forest, wanted, path)


def parse(data: dict[str, Any], path: Path) -> Forest:
    """The forest. Raises BadInput for what is not served (dart, categories, several outputs), or its numbers lie."""
    learner = data["learner"]
    shape, objective, booster = (
        learner["learner_model_param"],
        learner["objective"]["name"],
        learner["gradient_booster"],
    )
    if booster["name"] != "gbtree" or objective not in THROUGH:
        raise BadInput(f"{booster['name']} with {objective} is not served", where=str(path))
    if int(shape["num_class"]) > 1 or int(shape.get("num_target", 1)) > 1:
        raise BadInput("trees with several outputs are not served", where=str(path))
    trees, said = booster["model"]["trees"], int(booster["model"]["gbtree_model_param"]["num_trees"])
    count = int(shape["num_feature"])
    names = [str(name) for name in learner.get("feature_names") or ()]
    if len(trees) != said or not 0 < said <= MOST_TREES or (names and len(names) != count):
        raise BadInput(f"it says {said:,} trees of {count:,} features and holds others", where=str(path))
    if not names and count > LARGEST_TEXT // 1000:
        raise BadInput(f"{count:,} features are refused", where=str(path))
    base = np.asarray(json.loads(str(shape["base_score"])), np.float64).reshape(-1)
    if len(base) != 1 or not math.isfinite(base[0]):
        raise BadInput("it has no single base_score", where=str(path))
    return Forest(
        tuple(tree(one, path) for one in trees),
        tuple(names or (f"f{number}" for number in range(count))),
        "BRANCH_LT",
        before(THROUGH[objective], float(base[0])),
        THROUGH[objective],
    )


def before(through: str, base: float) -> float:
    """The number that `through` makes `base` of. Raises ValueError when there is none."""
    if through == "Sigmoid":
        return math.log(base / (1 - base))
    return math.log(base) if through == "Exp" else base


def tree(one: dict[str, Any], path: Path) -> Tree:
    """One tree; a leaf's value stands where a split has its limit."""
    if one.get("categories_nodes") or any(one.get("split_type", ())):
        raise BadInput("splits by category are not served", where=str(path))
    nodes, vector = int(one["tree_param"]["num_nodes"]), int(one["tree_param"].get("size_leaf_vector", 1))
    if nodes != len(one["left_children"]) or vector > 1:
        raise BadInput(
            f"a tree says {nodes:,} nodes and holds {len(one['left_children']):,}", where=str(path)
        )
    return Tree(
        np.asarray(one["split_indices"], np.int64),
        np.asarray(one["split_conditions"], np.float32),
        np.asarray(one["left_children"], np.int64),
        np.asarray(one["right_children"], np.int64),
        np.asarray(one["default_left"], np.int64),
    )
