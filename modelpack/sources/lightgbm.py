"""LightGBM's text models (`Booster.save_model`), read without LightGBM: `key=value` lines, one block per tree.

Format: `GBDT::SaveModelToString` and `Tree::ToString` in LightGBM's sources. A child below zero is the leaf `~child`.
`decision_type`: bit 0 category, bit 1 missing goes left, bits 2-3 what is missing (0 nothing, 1 zero, 2 NaN).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modelpack.errors import BadInput
from modelpack.formats.signature import Signature
from modelpack.sources.base import Converted
from modelpack.sources.tree_graph import LARGEST_TEXT, MOST_TREES, Forest, Tree, graph

if TYPE_CHECKING:
    import onnx

THROUGH = {
    "binary sigmoid:1": "Sigmoid",
    "cross_entropy": "Sigmoid",
    "poisson": "Exp",
    "tweedie": "Exp",
    "gamma": "Exp",
    "regression": "",
    "regression_l1": "",
    "huber": "",
    "fair": "",
    "quantile": "",
    "mape": "",
    "lambdarank": "",
    "rank_xendcg": "",
}
CATEGORY, MISSING_LEFT, ZERO, NAN = 1, 2, 4, 8


class LightGBM(Converted):
    """Boosted trees of numbers, one output."""

    name: ClassVar[str] = "lightgbm"
    suffixes: ClassVar[tuple[str, ...]] = ("txt", "lgb")

    def convert(self, path: Path, wanted: Signature | None, notes: list[str]) -> onnx.ModelProto:
        if path.stat().st_size > LARGEST_TEXT:
            raise BadInput("a model text above 1 GB is refused", where=str(path))
        try:
            forest = parse(path.read_bytes().decode(), path)
        except (KeyError, ValueError, IndexError, OverflowError, TypeError) as error:
            raise BadInput(f"damaged or not a LightGBM model: {error!r}"[:300], where=str(path)) from error
        return graph(forest, wanted, path)


def parse(text: str, path: Path) -> Forest:
    """The forest. Raises BadInput for what is not served, KeyError or ValueError for what is damaged."""
    body, end, _ = text.partition("\nend of trees")
    head, *blocks = body.split("\nTree=")
    if not end or not head.startswith("tree\n"):
        raise ValueError("it does not begin with 'tree' or its trees do not end")
    said = fields(head)
    words = said.get("objective", "regression").split(" ")
    objective = " ".join(words[:2]) if words[0] == "binary" else words[0]
    if objective not in THROUGH or "average_output" in head.split("\n") or "sqrt" in words:
        raise BadInput(f"the objective {said.get('objective')!r} is not served", where=str(path))
    if int(said["num_class"]) != 1 or int(said["num_tree_per_iteration"]) != 1:
        raise BadInput("trees with several outputs are not served", where=str(path))
    sizes, names = said["tree_sizes"].split(), said["feature_names"].split()
    if len(sizes) != len(blocks) or not 0 < len(blocks) <= MOST_TREES:
        raise BadInput(f"it says {len(sizes):,} trees and holds {len(blocks):,}", where=str(path))
    if int(said["max_feature_idx"]) != len(names) - 1:
        raise BadInput(f"it names {len(names):,} features of {said['max_feature_idx']} + 1", where=str(path))
    trees = tuple(tree(fields(f"number={block}"), path) for block in blocks)
    return Forest(trees, tuple(names), "BRANCH_LEQ", 0.0, THROUGH[objective])


def fields(block: str) -> dict[str, str]:
    """The `key=value` lines."""
    return {
        key: value for line in block.split("\n") if "=" in line for key, _, value in [line.partition("=")]
    }


def tree(said: dict[str, str], path: Path) -> Tree:
    """One tree: splits first, then leaves."""
    leaves, given = int(said["num_leaves"]), numbers(said["leaf_value"])
    if leaves != len(given) or int(said.get("num_cat", "0")) or int(said.get("is_linear", "0")):
        raise BadInput(f"a tree of {leaves:,} leaves with {len(given):,} values is refused", where=str(path))
    if leaves == 1:
        return alone(float(given[0]))
    splits = leaves - 1
    feature, kind, left, right = (
        numbers(said[name], np.int64)
        for name in ("split_feature", "decision_type", "left_child", "right_child")
    )
    limit = numbers(said["threshold"])
    if {len(part) for part in (feature, kind, left, right, limit)} != {splits}:
        raise BadInput(f"a tree of {leaves:,} leaves has other numbers of splits", where=str(path))
    if (kind & (CATEGORY | ZERO)).any():
        raise BadInput("splits by category, or with zero as missing, are not served", where=str(path))
    # Where nothing counts as missing, LightGBM takes NaN for zero.
    missing = np.where(kind & NAN, (kind & MISSING_LEFT) > 0, limit >= 0).astype(np.int64)
    none, zero = np.full(leaves, -1, np.int64), np.zeros(leaves, np.int64)
    value = np.concatenate([rounded_down(limit), given.astype(np.float32)])
    return Tree(
        np.concatenate([feature, zero]),
        value,
        np.concatenate([place_child(left, splits), none]),
        np.concatenate([place_child(right, splits), none]),
        np.concatenate([missing, zero]),
    )


def alone(value: float) -> Tree:
    """A tree that is one leaf."""
    none, zero = np.full(1, -1, np.int64), np.zeros(1, np.int64)
    return Tree(zero, np.full(1, value, np.float32), none, none, zero)


def place_child(child: NDArray[Any], splits: int) -> NDArray[np.int64]:
    """Where a child stands among splits and leaves."""
    return np.where(child < 0, splits + ~child, child)


def numbers(text: str, kind: type[np.generic] = np.float64) -> NDArray[Any]:
    """Numbers between blanks. Raises ValueError for other words."""
    return np.array(text.split(), dtype=kind)


def rounded_down(limit: NDArray[np.float64]) -> NDArray[np.float32]:
    """The greatest float32 that is not above each, so that float32 rows are decided alike."""
    near = limit.astype(np.float32)
    return np.where(near > limit, np.nextafter(near, np.float32(-np.inf)), near)
