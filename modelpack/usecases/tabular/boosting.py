"""Boosted trees by LightGBM (Ke et al., NeurIPS 2017), brought into the module that ships.

Repeatable by LightGBM's own promise: `deterministic`, `force_row_wise`, one thread, one seed
(lightgbm.readthedocs.io/en/stable/Parameters.html#deterministic).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelpack.progress import Progress
from modelpack.usecases.tabular.frame import BINARY, Column, Part
from modelpack.usecases.tabular.hyperparameters import Boosting
from modelpack.usecases.tabular.model import Tabular
from modelpack.usecases.tabular.training import shape_for
from modelpack.usecases.tabular.trees import TreeArrays


def train(
    columns: tuple[Column, ...],
    task: str,
    part: Part,
    boosting: Boosting,
    seed: int,
    progress: Progress,
    scale: str | None = None,
) -> Tabular:
    """Trees fitted to `part`, as the module that ships, in evaluation mode."""
    import torch

    empty = Tabular(shape_for(columns, task, part, "trees", scale, forest=(1, 1, 1)))
    empty.know(part)
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in part.inputs.items()}
    with torch.no_grad():
        rows = empty.features(tensors).numpy()
        size = np.broadcast_to(empty.size(tensors).numpy(), part.target.shape)
    forest = grow(rows, part.target, size, task, boosting, seed, progress)
    model = Tabular(
        shape_for(columns, task, part, "trees", scale, forest=(*forest.feature.shape, forest.depth))
    )
    model.know(part)
    model.body.know(forest)  # type: ignore[operator]
    return model.eval()


def grow(
    rows: NDArray[np.float32],
    target: NDArray[np.float32],
    size: NDArray[np.float32],
    task: str,
    boosting: Boosting,
    seed: int,
    progress: Progress,
) -> TreeArrays:
    """The trees. An amount is learned as a multiple of `size`, an error weighing as much as it does in units."""
    import lightgbm

    options = {
        "objective": boosting.objective or ("binary" if task == BINARY else "regression_l1"),
        "num_leaves": boosting.leaves,
        "max_depth": boosting.depth,
        "learning_rate": boosting.learning_rate,
        "min_data_in_leaf": boosting.rows_per_leaf,
        "feature_fraction": boosting.feature_share,
        "bagging_fraction": boosting.row_share,
        "bagging_freq": 1 if boosting.row_share < 1 else 0,
        "lambda_l2": boosting.l2,
        "use_missing": False,
        "seed": seed,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    wanted, weight = (target, None) if task == BINARY else (target / size, size)
    data = lightgbm.Dataset(rows, wanted, weight=weight)
    with progress.track("boosting", boosting.rounds, "trees") as advance:
        booster = lightgbm.train(
            options, data, num_boost_round=boosting.rounds, callbacks=[lambda _: advance(1)]
        )
    return forest_of(booster.dump_model())


def forest_of(dumped: dict[str, Any]) -> TreeArrays:
    """LightGBM's JSON as arrays. Raises ValueError for splits that are not `<=` (categories)."""
    trees = [flat(one["tree_structure"]) for one in dumped["tree_info"]]
    nodes = max(len(tree) for tree, _ in trees)
    shape = (len(trees), nodes)
    own = np.broadcast_to(np.arange(nodes), shape)
    feature, left, right = np.zeros(shape, np.int64), own.copy(), own.copy()
    threshold, value = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for number, (tree, _) in enumerate(trees):
        for place, (index, limit, low, high, leaf) in enumerate(tree):
            feature[number, place], threshold[number, place], value[number, place] = index, limit, leaf
            left[number, place], right[number, place] = low, high
    return TreeArrays(feature, threshold, left, right, value, max(depth for _, depth in trees))


def flat(root: dict[str, Any]) -> tuple[list[tuple[int, float, int, int, float]], int]:
    """A tree's nodes, root first, as (feature, threshold, left, right, value), and its depth."""
    nodes: list[tuple[int, float, int, int, float]] = [(0, 0.0, 0, 0, 0.0)]
    waiting, deepest = [(root, 0, 0)], 0
    while waiting:
        node, place, depth = waiting.pop()
        deepest = max(deepest, depth)
        if "leaf_value" in node:
            nodes[place] = (0, 0.0, place, place, float(node["leaf_value"]))
            continue
        if node["decision_type"] != "<=":
            raise ValueError(f"a split by {node['decision_type']!r} is not known here")
        low, high = len(nodes), len(nodes) + 1
        nodes += [nodes[0], nodes[0]]
        nodes[place] = (int(node["split_feature"]), round_down(float(node["threshold"])), low, high, 0.0)
        waiting += [(node["left_child"], low, depth + 1), (node["right_child"], high, depth + 1)]
    return nodes, deepest


def round_down(threshold: float) -> float:
    """The greatest float32 that is not above it."""
    near = np.float32(threshold)
    return float(near if float(near) <= threshold else np.nextafter(near, np.float32(-np.inf)))
