"""A forest as the attributes of ONNX's TreeEnsembleRegressor.

A question for membership in a set becomes a chain of `BRANCH_EQ` nodes that share the child of a member, as ONNX
Runtime expects it (tree_ensemble_common.h: "LGBM conversion implements set membership via a series of Equals nodes").
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelpack.errors import BadInput
from modelpack.formats import tree_ensemble
from modelpack.formats.tree_ensemble import Nodes
from modelpack.sources.trees.forest import Forest, Tree, round_down

MOST_NODES = 5_000_000
PARTS = ("feature", "value", "left", "right", "missing_left")


def attributes(forest: Forest, double: bool, path: Path) -> dict[str, Any]:
    """The operator's attributes; `double`: limits and leaves in float64. Raises BadInput for too many nodes."""
    from onnx import numpy_helper

    trees = [unfold(tree) for tree in forest.trees]
    sizes = [len(tree["left"]) for tree in trees]
    if sum(sizes) > MOST_NODES:
        raise BadInput(f"its trees have {sum(sizes):,} nodes; at most {MOST_NODES:,}", where=str(path))
    joined = {name: np.concatenate([tree[name] for tree in trees]) for name in (*PARTS, "equal")}
    leaf, equal = joined["left"] < 0, joined["equal"]
    limits = np.where(leaf, 0, joined["value"])
    weights = joined["value"][leaf]
    if not double:
        limits = np.where(equal, limits, round_down(limits)).astype(np.float32)
        weights = weights.astype(np.float32)
    ids = np.concatenate([np.arange(size) for size in sizes])
    of_tree = np.repeat(np.arange(len(trees)), sizes)
    outputs = np.repeat([tree.output for tree in forest.trees], sizes)
    base = np.array(forest.base, np.float64 if double else np.float32)
    numbers = {"base_values": base, "nodes_values": limits, "target_weights": weights}
    nodes = Nodes(of_tree, ids, leaf, joined["feature"], joined["value"], joined["left"], joined["right"])
    told = tree_ensemble.attributes(nodes, forest.mode)
    for name, array in numbers.items():
        told.pop(name, None)
        told |= {f"{name}_as_tensor": numpy_helper.from_array(array)} if double else {name: array.tolist()}
    return told | {
        "n_targets": len(forest.base),
        "nodes_modes": np.where(leaf, "LEAF", np.where(equal, "BRANCH_EQ", forest.mode)).tolist(),
        "nodes_missing_value_tracks_true": np.where(leaf, 0, joined["missing_left"]).tolist(),
        "target_ids": outputs[leaf].tolist(),
    }


def unfold(tree: Tree) -> dict[str, NDArray[Any]]:
    """The tree's arrays, each set a chain: its node asks for the first member, nodes at the end for the rest."""
    parts: dict[str, NDArray[Any]] = {name: np.array(getattr(tree, name)) for name in PARTS}
    parts["equal"] = np.zeros(len(tree.left), np.bool_)
    more: dict[str, list[Any]] = {name: [] for name in parts}
    end = len(tree.left)
    for node, members in tree.categories.items():
        parts["equal"][node], parts["value"][node] = True, members[0]
        yes, no = int(tree.left[node]), int(tree.right[node])
        for at, member in enumerate(members[1:], 1):
            following = end + 1 if at < len(members) - 1 else no
            row = (tree.feature[node], member, yes, following, 0, True)
            for name, one in zip(more, row, strict=True):
                more[name].append(one)
            end += 1
        if len(members) > 1:
            parts["right"][node] = end - len(members) + 1
    return {name: np.concatenate([array, np.array(more[name], array.dtype)]) for name, array in parts.items()}
