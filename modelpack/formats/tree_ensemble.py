"""Decision trees as ONNX has them: the attributes of TreeEnsembleRegressor.

Operator: onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleRegressor.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

OPERATOR = "TreeEnsembleRegressor"
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Nodes:
    """The nodes of all trees, one after another: whose they are and their number there, whether they are leaves, what
    they look at, their limit or (of a leaf) what it adds, and where a row goes on."""

    tree: Whole
    number: Whole
    leaf: NDArray[np.bool_]
    feature: Whole
    value: NDArray[np.float32]
    left: Whole
    right: Whole


def attributes(nodes: Nodes, mode: str) -> dict[str, Any]:
    """`mode` is how a value is compared with a limit to go left: "BRANCH_LEQ" or "BRANCH_LT"."""
    leaf = nodes.leaf
    return {
        "n_targets": 1,
        "nodes_treeids": nodes.tree.tolist(),
        "nodes_nodeids": nodes.number.tolist(),
        "nodes_featureids": np.where(leaf, 0, nodes.feature).tolist(),
        "nodes_values": np.where(leaf, 0, nodes.value).astype(np.float32).tolist(),
        "nodes_modes": ["LEAF" if one else mode for one in leaf.tolist()],
        "nodes_truenodeids": np.where(leaf, 0, nodes.left).tolist(),
        "nodes_falsenodeids": np.where(leaf, 0, nodes.right).tolist(),
        "target_treeids": nodes.tree[leaf].tolist(),
        "target_nodeids": nodes.number[leaf].tolist(),
        "target_ids": [0] * int(leaf.sum()),
        "target_weights": nodes.value[leaf].tolist(),
    }
