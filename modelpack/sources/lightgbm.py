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
from modelpack.formats.signature import Arrays, Run, Signature
from modelpack.sources.base import LibraryFormat
from modelpack.sources.trees.asking import answers, table
from modelpack.sources.trees.forest import LARGEST_TEXT, MOST_TREES, Forest, Tree
from modelpack.sources.trees.graph import CODES, graph

if TYPE_CHECKING:
    import onnx

THROUGH = {
    "binary": "Sigmoid",
    "cross_entropy": "Sigmoid",
    "cross_entropy_lambda": "Softplus",
    "multiclass": "Softmax",
    "multiclassova": "Sigmoid",
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
    "custom": "",
}
"""What an objective makes of the sum (`ObjectiveFunction::ConvertOutput`)."""
CATEGORY, MISSING_LEFT, ZERO, NAN = 1, 2, 4, 8
WORD_BITS = 32
PLAIN = "train it with linear_tree=false: a leaf that is a number"


class LightGBM(LibraryFormat):
    """Boosted trees of numbers and categories, averaged or added, for one output or several."""

    name: ClassVar[str] = "lightgbm"
    suffixes: ClassVar[tuple[str, ...]] = ("txt", "lgb")
    library: ClassVar[str] = "lightgbm"
    opening: ClassVar[bytes] = b"tree\n"

    def convert(self, path: Path, wanted: Signature | None, notes: list[str]) -> onnx.ModelProto:
        if path.stat().st_size > LARGEST_TEXT:
            raise BadInput("a model text above 1 GB is refused", where=str(path))
        try:
            forest = parse(path.read_bytes().decode(), path)
        except (KeyError, ValueError, IndexError, OverflowError, TypeError) as error:
            raise BadInput(f"damaged or not a LightGBM model: {error!r}"[:300], where=str(path)) from error
        if forest.categories:
            notes.append(CODES)
        return graph(forest, wanted, path)

    def original(self, path: Path, signature: Signature) -> Run:
        import lightgbm

        booster = lightgbm.Booster(model_file=str(path))
        names = booster.feature_name()

        def run(inputs: Arrays) -> Arrays:
            rows = table(inputs, signature, names, np.float64)
            return answers(booster.predict(rows, num_threads=1), signature)

        return run


def parse(text: str, path: Path) -> Forest:
    """The forest. Raises BadInput for what is not served, KeyError or ValueError for what is damaged."""
    body, end, _ = text.partition("\nend of trees")
    head, *blocks = body.split("\nTree=")
    if not end or not head.startswith("tree\n"):
        raise ValueError("it does not begin with 'tree' or its trees do not end")
    said = fields(head)
    objective, *options = said.get("objective", "custom").split(" ")
    if objective not in THROUGH:
        raise BadInput(
            f"the objective {said['objective']!r} is not served",
            where=str(path),
            hint=f"served: {', '.join(THROUGH)}",
        )
    outputs = int(said["num_tree_per_iteration"])
    sizes, names = said["tree_sizes"].split(), said["feature_names"].split()
    if len(sizes) != len(blocks) or not 0 < len(blocks) <= MOST_TREES or not 0 < outputs <= len(blocks):
        raise BadInput(f"it says {len(sizes):,} trees and holds {len(blocks):,}", where=str(path))
    if int(said["max_feature_idx"]) != len(names) - 1 or len(blocks) % outputs:
        raise BadInput(f"it names {len(names):,} features of {said['max_feature_idx']} + 1", where=str(path))
    scale = 1.0
    for option in options:
        scale = float(option.removeprefix("sigmoid:")) if option.startswith("sigmoid:") else scale
    if "average_output" in head.split("\n"):
        scale /= len(blocks) // outputs
    parts = [fields(f"number={block}") for block in blocks]
    trees = tuple(tree(one, at % outputs, scale, path) for at, one in enumerate(parts))
    through = "SignedSquare" if objective == "regression" and "sqrt" in options else THROUGH[objective]
    zero = zeros_missing(parts, path)
    return Forest(
        trees, tuple(names), "BRANCH_LEQ", (0.0,) * outputs, through, double=True, zero_missing=zero
    )


def zeros_missing(parts: list[dict[str, str]], path: Path) -> frozenset[int]:
    """Features of which zero counts as missing. Raises BadInput where only some of a feature's splits say so."""
    found: set[int] = set()
    others: set[int] = set()
    for said in parts:
        if int(said["num_leaves"]) > 1:
            features, kinds = (numbers(said[name], np.int64) for name in ("split_feature", "decision_type"))
            zero = (kinds & (ZERO | CATEGORY)) == ZERO
            found |= set(features[zero].tolist())
            others |= set(features[~zero].tolist())
    if found & others:
        raise BadInput("splits that differ in whether zero is missing are not served", where=str(path))
    return frozenset(found)


def fields(block: str) -> dict[str, str]:
    """The `key=value` lines."""
    return {
        key: value for line in block.split("\n") if "=" in line for key, _, value in [line.partition("=")]
    }


def tree(said: dict[str, str], output: int, scale: float, path: Path) -> Tree:
    """One tree, its leaves times `scale`: splits first, then leaves."""
    if int(said.get("is_linear", "0")):
        raise BadInput("trees with a linear model in each leaf are not served", where=str(path), hint=PLAIN)
    leaves, given = int(said["num_leaves"]), numbers(said["leaf_value"]) * scale
    if leaves != len(given) or leaves < 1:
        raise BadInput(f"a tree of {leaves:,} leaves with {len(given):,} values is refused", where=str(path))
    splits = leaves - 1
    feature, kind, left, right = (
        numbers(said.get(name, "") if leaves == 1 else said[name], np.int64)
        for name in ("split_feature", "decision_type", "left_child", "right_child")
    )
    limit = numbers(said.get("threshold", "") if leaves == 1 else said["threshold"])
    if leaves == 1:
        feature, kind, left, right, limit = feature[:0], kind[:0], left[:0], right[:0], limit[:0]
    if {len(part) for part in (feature, kind, left, right, limit)} != {splits}:
        raise BadInput(f"a tree of {leaves:,} leaves has other numbers of splits", where=str(path))
    # Where nothing counts as missing, LightGBM takes NaN for zero.
    told = (kind & (NAN | ZERO)) > 0
    missing = np.where(told, (kind & MISSING_LEFT) > 0, limit >= 0) & ((kind & CATEGORY) == 0)
    none, zero = np.full(leaves, -1, np.int64), np.zeros(leaves, np.int64)
    return Tree(
        np.concatenate([feature, zero]),
        np.concatenate([limit, given]),
        np.concatenate([place_child(left, splits), none]),
        np.concatenate([place_child(right, splits), none]),
        np.concatenate([missing.astype(np.int64), zero]),
        categories(said, np.flatnonzero(kind & CATEGORY), limit, path),
        output,
    )


def categories(
    said: dict[str, str], nodes: NDArray[np.int64], limit: NDArray[np.float64], path: Path
) -> dict[int, tuple[int, ...]]:
    """Of each split by category the ones that go left: bits in 32-bit words, `limit` says which run of words."""
    if not len(nodes):
        return {}
    borders, words = numbers(said["cat_boundaries"], np.int64), numbers(said["cat_threshold"], np.int64)
    found = {}
    for node in nodes.tolist():
        place = int(limit[node])
        if not 0 <= place < len(borders) - 1 or not 0 <= borders[place] <= borders[place + 1] <= len(words):
            raise BadInput("a split by category is damaged", where=str(path))
        run = words[borders[place] : borders[place + 1]]
        members = [
            WORD_BITS * at + bit
            for at, word in enumerate(run.tolist())
            for bit in range(WORD_BITS)
            if word >> bit & 1
        ]
        # An empty set sends every row right; no category is below zero.
        found[node] = tuple(members) or (-2,)
    return found


def place_child(child: NDArray[Any], splits: int) -> NDArray[np.int64]:
    """Where a child stands among splits and leaves."""
    return np.where(child < 0, splits + ~child, child)


def numbers(text: str, kind: type[np.generic] = np.float64) -> NDArray[Any]:
    """Numbers between blanks. Raises ValueError for other words."""
    return np.array(text.split(), dtype=kind)
