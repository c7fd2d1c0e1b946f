"""Boosted trees as numbers, and whether they are trees at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelpack.errors import BadInput

LARGEST_TEXT = 1_000_000_000
MOST_TREES = 100_000
MOST_DEPTH = 10_000
WHOLE_IN_FLOAT32 = 2.0**24


@dataclass(frozen=True)
class Tree:
    """Nodes as arrays, the root first; `left` is -1 at a leaf. `value`: the limit of a split, or what a leaf adds.

    `categories`: nodes that ask whether a number is in a set instead; such a one goes left. `output`: which of the
    forest's sums the tree adds to.
    """

    feature: NDArray[np.int64]
    value: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    missing_left: NDArray[np.int64]
    categories: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    output: int = 0


@dataclass(frozen=True)
class Forest:
    """Trees, how they compare (`BRANCH_LT` or `BRANCH_LEQ`), what is added to each output, what the sums go through.

    `through`: "", an ONNX operator of one input (`Sigmoid`, `Exp`, `Softplus`, `Softmax`), or `SignedSquare`.
    `double`: the library compares in float64. `zero_missing`: features of which zero counts as missing. `floor`:
    whether a category below zero is rounded down, not towards zero.
    """

    trees: tuple[Tree, ...]
    features: tuple[str, ...]
    mode: str
    base: tuple[float, ...]
    through: str
    double: bool = False
    zero_missing: frozenset[int] = frozenset()
    floor: bool = False

    @property
    def categories(self) -> frozenset[int]:
        """Features that are asked for membership in a set."""
        return frozenset(int(tree.feature[node]) for tree in self.trees for node in tree.categories)

    @property
    def fine(self) -> frozenset[int]:
        """Features whose limits float32 cannot keep, or keep apart; none where the library itself has no more."""
        if not self.double:
            return frozenset()
        found = set()
        for feature, limits in limits_by_feature(self.trees).items():
            near = round_down(limits)
            large = (np.abs(limits) >= WHOLE_IN_FLOAT32) & np.isfinite(limits) & (near != limits)
            if len(np.unique(near)) < len(limits) or large.any():
                found.add(feature)
        return frozenset(found)


def limits_by_feature(trees: tuple[Tree, ...]) -> dict[int, NDArray[np.float64]]:
    """The different limits of each feature's splits."""
    inner = [(tree.left >= 0) & ~np.isin(np.arange(len(tree.left)), [*tree.categories]) for tree in trees]
    features = np.concatenate([tree.feature[which] for tree, which in zip(trees, inner, strict=True)])
    limits = np.concatenate([tree.value[which] for tree, which in zip(trees, inner, strict=True)])
    return {int(one): np.unique(limits[features == one]) for one in np.unique(features)}


def round_down(limit: NDArray[np.float64]) -> NDArray[np.float32]:
    """The greatest float32 that is not above each, so that float32 rows are decided alike."""
    with np.errstate(over="ignore"):
        near = limit.astype(np.float32)
    return np.where(near > limit, np.nextafter(near, np.float32(-np.inf)), near)


def check_tree(tree: Tree, features: int, number: int, path: Path) -> None:
    """Raises BadInput unless it is one tree: every node but the root has one parent, and no row walks for ever."""
    size = len(tree.left)
    same = {len(part) for part in (tree.feature, tree.value, tree.right, tree.missing_left)} == {size}
    inner = np.flatnonzero(tree.left >= 0) if same else np.zeros(0, np.int64)
    below = np.concatenate([tree.left[inner], tree.right[inner]]) if same else inner
    whole = same and size > 0 and bool(np.isfinite(tree.value[tree.left < 0]).all())
    whole = whole and not np.isnan(tree.value[inner]).any()
    fit = whole and len(below) == size - 1 and np.array_equal(np.sort(below), np.arange(1, size))
    if not fit or (tree.feature[inner] < 0).any() or (tree.feature[inner] >= features).any():
        raise BadInput(f"tree {number} is damaged: its nodes do not form a tree", where=str(path))
    if len(reach(tree, number, path)) != size:
        raise BadInput(f"tree {number} is damaged: it has a loop", where=str(path))


def reach(tree: Tree, number: int, path: Path) -> NDArray[np.int64]:
    """The nodes that a row can come to. Raises BadInput when it is too deep, or more are found than there are."""
    level, levels = np.zeros(1, np.int64), [np.zeros(1, np.int64)]
    while len(level := level[tree.left[level] >= 0]):
        level = np.concatenate([tree.left[level], tree.right[level]])
        levels.append(level)
        outside = (level < 0).any() or (level >= len(tree.left)).any()
        if outside or len(levels) > MOST_DEPTH or sum(map(len, levels)) > len(tree.left):
            what = f"tree {number} is damaged: it has a loop, or is deeper than {MOST_DEPTH:,}"
            raise BadInput(what, where=str(path))
    return np.sort(np.concatenate(levels))


def drop_deleted(tree: Tree, number: int, path: Path) -> Tree:
    """The tree without nodes that nothing leads to: pruning leaves them in place."""
    kept = reach(tree, number, path)
    place = np.full(len(tree.left), -1, np.int64)
    place[kept] = np.arange(len(kept))
    left, right = (np.where(side[kept] >= 0, place[side[kept]], -1) for side in (tree.left, tree.right))
    rest: dict[str, Any] = {name: getattr(tree, name)[kept] for name in ("feature", "value", "missing_left")}
    categories = {int(place[node]): some for node, some in tree.categories.items() if place[node] >= 0}
    return Tree(left=left, right=right, categories=categories, output=tree.output, **rest)
