"""Boosted trees as a torch module: gathers in torch, one TreeEnsembleRegressor in ONNX.

In torch every row walks all trees at once, `depth` steps (Nakandala et al., "A Tensor Compiler for Unified Machine
Learning Prediction Serving", OSDI 2020: tree traversal). A leaf points to itself. Thresholds are rounded down to
float32, so that `x <= threshold` decides as LightGBM's float64 does for every float32 x.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from modelpack.formats.tree_ensemble import OPERATOR, Nodes, attributes

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class TreeArrays:
    """Trees as arrays (trees, nodes): where a row goes on, and what a leaf adds. Node 0 is the root."""

    feature: NDArray[np.int64]
    threshold: NDArray[np.float32]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    value: NDArray[np.float32]
    depth: int


class Trees(nn.Module):
    """(rows, features) float32 -> (rows, 1): the sum over all trees."""

    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    value: Tensor

    def __init__(self, trees: int, nodes: int, depth: int) -> None:
        super().__init__()
        self.depth = depth
        for name in ("feature", "left", "right"):
            self.register_buffer(name, torch.zeros(trees, nodes, dtype=torch.int64))
        for name in ("threshold", "value"):
            self.register_buffer(name, torch.zeros(trees, nodes))

    def know(self, forest: TreeArrays) -> None:
        """Take these trees."""
        for name in ("feature", "left", "right", "threshold", "value"):
            getattr(self, name).copy_(torch.from_numpy(getattr(forest, name)))

    def complete_graph(self, graph: onnx.ModelProto) -> None:
        """Write the trees into the exported operator: as arguments of the exporter they would take it minutes."""
        from onnx import helper

        arrays = (getattr(self, name).numpy() for name in ("feature", "threshold", "left", "right", "value"))
        found = operator(*arrays)
        for node in graph.graph.node:
            if node.op_type == OPERATOR:
                del node.attribute[:]
                node.attribute.extend(helper.make_attribute(name, value) for name, value in found.items())

    def forward(self, rows: Tensor) -> Tensor:
        if torch.onnx.is_in_onnx_export():
            return torch.onnx.ops.symbolic(
                f"ai.onnx.ml::{OPERATOR}",
                (rows,),
                {"n_targets": 1},
                dtype=torch.float32,
                shape=(rows.shape[0], 1),
                version=4,
            )
        trees, nodes = self.feature.shape
        first = torch.arange(trees) * nodes
        below = (torch.stack([self.right, self.left]) + first.unsqueeze(1)).reshape(-1)
        feature, threshold = self.feature.reshape(-1), self.threshold.reshape(-1)
        at = first.expand(rows.shape[0], trees)
        for _ in range(self.depth):
            goes_left = rows.gather(1, torch.take(feature, at)) <= torch.take(threshold, at)
            at = torch.take(below, at + goes_left * (trees * nodes))
        return torch.take(self.value, at).sum(1, keepdim=True)


def operator(
    feature: NDArray[np.int64],
    threshold: NDArray[np.float32],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    value: NDArray[np.float32],
) -> dict[str, Any]:
    """The attributes of TreeEnsembleRegressor, nodes that no row reaches left out."""
    leaf = left == np.arange(feature.shape[1])[None, :]
    used = np.zeros(feature.shape, dtype=np.bool_)
    used[:, 0] = True
    tree, node = np.nonzero(~leaf)
    used[tree, left[tree, node]] = True
    used[tree, right[tree, node]] = True
    at = tree, node = np.nonzero(used)
    kept = np.where(leaf, value, threshold)[at]
    return attributes(Nodes(tree, node, leaf[at], feature[at], kept, left[at], right[at]), "BRANCH_LEQ")
