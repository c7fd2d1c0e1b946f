"""XGBoost's `.json` models (xgboost.readthedocs.io/en/stable/tutorials/saving_model.html), read without XGBoost."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from modelpack.errors import BadInput
from modelpack.formats.signature import Arrays, Run, Signature
from modelpack.sources import strict_json
from modelpack.sources.base import LibraryFormat
from modelpack.sources.trees.asking import answers, table
from modelpack.sources.trees.forest import LARGEST_TEXT, MOST_TREES, Forest, Tree, drop_deleted
from modelpack.sources.trees.graph import CODES, graph

if TYPE_CHECKING:
    import onnx

THROUGH = {
    "binary:logistic": "Sigmoid",
    "reg:logistic": "Sigmoid",
    "multi:softprob": "Softmax",
    "multi:softmax": "Softmax",
    "count:poisson": "Exp",
    "reg:tweedie": "Exp",
    "reg:gamma": "Exp",
    "survival:cox": "Exp",
    "survival:aft": "Exp",
    "binary:logitraw": "",
    "reg:squarederror": "",
    "reg:squaredlogerror": "",
    "reg:absoluteerror": "",
    "reg:pseudohubererror": "",
    "reg:quantileerror": "",
    "rank:ndcg": "",
    "rank:pairwise": "",
    "rank:map": "",
}
"""What an objective makes of the sum; its `base_score` is given after that."""

OTHERS = {
    "oblivious_trees": "CatBoost: model.save_model('model.onnx', format='onnx'), which takes no categories",
    "tree_info": "LightGBM: booster.save_model('model.txt')",
    "nodeid": "XGBoost: booster.save_model('model.json'); dump_model() leaves out what answers need",
}
"""What to save in place of another library's JSON, or of a dump, by a key of it."""


class XGBoost(LibraryFormat):
    """Boosted trees of numbers and categories, for one output or several; where training stopped early, the best."""

    name: ClassVar[str] = "xgboost"
    suffixes: ClassVar[tuple[str, ...]] = ("json",)
    library: ClassVar[str] = "xgboost"
    opening: ClassVar[bytes] = b'{"learner"'

    def convert(self, path: Path, wanted: Signature | None, notes: list[str]) -> onnx.ModelProto:
        if path.stat().st_size > LARGEST_TEXT:
            raise BadInput("a model text above 1 GB is refused", where=str(path))
        try:
            forest = parse(strict_json.parse(path.read_bytes(), path, "it"), path, notes)
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
        if forest.categories:
            notes.append(CODES)
        return graph(forest, wanted, path)

    def original(self, path: Path, signature: Signature) -> Run:
        import xgboost

        booster = xgboost.Booster({"nthread": 1}, model_file=str(path))
        said = json.loads(booster.save_config())["learner"]
        softmax = said["objective"]["name"] == "multi:softmax"
        names = booster.feature_names or [f"f{number}" for number in range(booster.num_features())]
        best = booster.attr("best_iteration")

        def run(inputs: Arrays) -> Arrays:
            rows = xgboost.DMatrix(
                table(inputs, signature, names, np.float32),
                feature_names=booster.feature_names,
                feature_types=booster.feature_types,
                enable_categorical=True,
                nthread=1,
            )
            until = (0, 0) if best is None else (0, int(best) + 1)
            # The class alone is what it answers to predict(): its scores are asked for.
            found = booster.predict(rows, output_margin=softmax, iteration_range=until)
            return answers(through_softmax(found) if softmax else found, signature)

        return run


def through_softmax(margins: Any) -> Any:
    """Scores of the classes."""
    grown = np.exp(margins - margins.max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True)


def parse(data: dict[str, Any], path: Path, notes: list[str]) -> Forest:
    """The forest. Raises BadInput for what is not served, or its numbers lie."""
    check_maker(data, path)
    learner = data["learner"]
    shape, objective, booster = (
        learner["learner_model_param"],
        learner["objective"]["name"],
        learner["gradient_booster"],
    )
    if booster["name"] not in ("gbtree", "dart"):
        raise BadInput(
            f"the booster {booster['name']!r} is not served", where=str(path), hint="served: gbtree, dart"
        )
    if objective not in THROUGH:
        raise BadInput(
            f"the objective {objective!r} is not served",
            where=str(path),
            hint=f"served: {', '.join(THROUGH)}",
        )
    model = (booster["gbtree"] if booster["name"] == "dart" else booster)["model"]
    outputs = max(int(shape["num_class"]), int(shape.get("num_target", 1)), 1)
    trees, said = model["trees"], int(model["gbtree_model_param"]["num_trees"])
    count = int(shape["num_feature"])
    names = [str(name) for name in learner.get("feature_names") or ()]
    if len(trees) != said or not 0 < said <= MOST_TREES or (names and len(names) != count):
        what = (
            f"it says {said:,} trees of {count:,} features and holds others" if said else "it holds no trees"
        )
        raise BadInput(what, where=str(path))
    if not names and count > LARGEST_TEXT // 1000:
        raise BadInput(f"{count:,} features are refused", where=str(path))
    weights = booster["weight_drop"] if booster["name"] == "dart" else [1.0] * said
    turns = zip(trees, model["tree_info"], weights, strict=True)
    kept = list(turns)[: best(learner, model, outputs, said, notes)]
    return Forest(
        tuple(
            tree(one, int(output), float(weight), at, path) for at, (one, output, weight) in enumerate(kept)
        ),
        tuple(names or (f"f{number}" for number in range(count))),
        "BRANCH_LT",
        base(shape, THROUGH[objective], outputs, path),
        THROUGH[objective],
        floor=True,
    )


def check_maker(data: Any, path: Path) -> None:
    """Raises BadInput, with what to save, for JSON that is known to be another library's, or a dump."""
    first = data[0] if isinstance(data, list) and data else data
    known = next((key for key in OTHERS if key in first), "") if isinstance(first, dict) else ""
    if known:
        raise BadInput(
            "it is JSON of another kind than XGBoost's models", where=str(path), hint=OTHERS[known]
        )


def best(learner: dict[str, Any], model: dict[str, Any], outputs: int, said: int, notes: list[str]) -> int:
    """How many trees count: those up to `best_iteration`, where training stopped early. Raises ValueError."""
    attributes = learner.get("attributes") or {}
    if "best_iteration" not in attributes:
        return said
    turn = int(attributes["best_iteration"])
    borders = model.get("iteration_indptr")
    parallel = max(1, int(model["gbtree_model_param"].get("num_parallel_tree", 1)))
    if borders and not 0 <= turn < len(borders) - 1:
        raise ValueError(f"its best_iteration is {turn:,} of {len(borders) - 1:,} turns")
    count = int(borders[turn + 1]) if borders else (turn + 1) * parallel * outputs
    if not 0 < count <= said:
        raise ValueError(f"its best_iteration is {turn:,} of {said:,} trees")
    if count < said:
        notes.append(
            f"training stopped early: the {count:,} trees up to best_iteration {turn:,} are taken of {said:,}, as "
            "XGBClassifier and XGBRegressor do (Booster.predict takes all unless told iteration_range)"
        )
    return count


def base(shape: dict[str, Any], through: str, outputs: int, path: Path) -> tuple[float, ...]:
    """What is added to each output's sum."""
    given = np.asarray(json.loads(str(shape["base_score"])), np.float64).reshape(-1)
    if len(given) not in (1, outputs) or not np.isfinite(given).all():
        raise BadInput("it has no proper base_score", where=str(path))
    return tuple(before(through, float(one)) for one in np.broadcast_to(given, outputs))


def before(through: str, base: float) -> float:
    """The number that `through` makes `base` of. Raises ValueError when there is none."""
    if through == "Sigmoid":
        return math.log(base / (1 - base))
    return math.log(base) if through == "Exp" else base


def tree(one: dict[str, Any], output: int, weight: float, number: int, path: Path) -> Tree:
    """One tree, its leaves times `weight`; a leaf's value stands where a split has its limit."""
    nodes, vector = int(one["tree_param"]["num_nodes"]), int(one["tree_param"].get("size_leaf_vector", 1))
    if vector > 1:
        hint = "train it with multi_strategy='one_output_per_tree'"
        raise BadInput("trees with several numbers in a leaf are not served", where=str(path), hint=hint)
    if nodes != len(one["left_children"]):
        raise BadInput(
            f"a tree says {nodes:,} nodes and holds {len(one['left_children']):,}", where=str(path)
        )
    left, right = (np.asarray(one[side], np.int64) for side in ("left_children", "right_children"))
    missing_left, feature = (np.asarray(one[name], np.int64) for name in ("default_left", "split_indices"))
    value = np.asarray(one["split_conditions"], np.float32).astype(np.float64)
    value = np.where(left < 0, np.float32(weight) * value, value) if len(value) == len(left) else value
    sets = categories(one, path)
    for node in sets:
        # A member goes right here, and left in a `Tree`.
        left[node], right[node], missing_left[node] = right[node], left[node], 1 - missing_left[node]
    made = Tree(feature, value, left, right, missing_left, sets, output)
    return drop_deleted(made, number, path) if int(one["tree_param"].get("num_deleted", 0)) else made


def categories(one: dict[str, Any], path: Path) -> dict[int, tuple[int, ...]]:
    """Of each split by category its members."""
    found = {}
    runs = (one.get(f"categories_{name}") or () for name in ("nodes", "segments", "sizes"))
    for node, begin, size in zip(*runs, strict=True):
        members = one["categories"][int(begin) : int(begin) + int(size)]
        if not 0 <= int(node) < len(one["left_children"]) or len(members) != int(size):
            raise BadInput("a split by category is damaged", where=str(path))
        found[int(node)] = tuple(int(member) for member in members) or (-2,)
    return found
