"""Embedding tables hashed: rows share a few hundred vectors, each row a weighted sum of two of them.

Two fixed hash functions send a row to two of `buckets` shared vectors, and the row keeps two weights of its own
(Svenstrup, Hansen & Winther, "Hash Embeddings for Efficient Word Representations", arXiv:1709.03933). Vectors and
weights are fitted to the trained table by least squares, one after the other in turns, where the use case gives
training traffic every row weighing with the square root of its lookups. The places are computed from the row's number,
so they take no room. Tables of fewer rows than `FEWEST` go into packed int4.

The papers train such a table from the start. Compared on validation baskets of the recommender (never on held-out
ones), this form was closest among those of its size: quotient and remainder (Shi et al., arXiv:1909.02107), added or
multiplied, rows in order of number or of traffic, left more of the table out; and a quarter of an epoch of training
after the fit made recall no better for any of them. So the pass does not train.

Put together once, when the graph is loaded, like `embedding-int4`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modelpack.passes.embedding.int4 import in_int4
from modelpack.passes.shared.editing import nodes_below
from modelpack.passes.shared.tables import Counts, Floats, Stored, TablePass, lookup_in

if TYPE_CHECKING:
    import onnx

FEWEST = 4096
SHARED_BY = 24
"""Rows for every shared vector."""
MOST_BUCKETS = 2048
PRIME = 2**31 - 1
FACTORS, OFFSETS = (1_103_515_245, 1_664_525_003), (12_345, 1_013_904_223)
"""Of two hash functions `(factor * row + offset) mod PRIME mod buckets` (Carter & Wegman, 1979)."""
ROUNDS = 6
RIDGE, SMALL_RIDGE = 1e-3, 1e-6

Exact = NDArray[np.float64]


class EmbeddingHash(TablePass):
    """Two shared vectors and two weights for a row, for large tables that Gather reads."""

    name: ClassVar[str] = "embedding-hash"
    title: ClassVar[str] = "embedding tables hashed into shared vectors"
    about: ClassVar[str] = "https://arxiv.org/abs/1709.03933"
    by_traffic: ClassVar[bool] = True

    def store(self, name: str, values: Floats, seen: Counts | None) -> Stored | None:
        """`buckets` (count, width) and `weights` (rows, 2, 1) in half precision; small tables in int4."""
        rows = len(values)
        if rows < FEWEST:
            return in_int4(name, values)
        count = min(-(-rows // SHARED_BY), MOST_BUCKETS)
        importance = np.ones(rows) if seen is None else np.sqrt(seen + 1.0)
        buckets, weights = fitted(values.astype(np.float64), places(rows, count), importance, count)
        arrays: dict[str, NDArray[Any] | np.generic] = {
            "buckets": buckets.astype(np.float16),
            "weights": weights.astype(np.float16)[:, :, None],
            "zero": np.int64(0),
            "rows": np.int64(rows),
            "one": np.int64(1),
            "upright": np.array([-1, 1], np.int64),
            "factors": np.array([FACTORS], np.int64),
            "offsets": np.array([OFFSETS], np.int64),
            "prime": np.int64(PRIME),
            "count": np.int64(count),
            "pair": np.array([1], np.int64),
        }
        return Stored(arrays, lookup_in("float"), assembling(name))


def places(rows: int, count: int) -> NDArray[np.int64]:
    """The two buckets of each row, (rows, 2)."""
    number = np.arange(rows, dtype=np.int64)[:, None]
    found: NDArray[np.int64] = (number * np.array(FACTORS) + np.array(OFFSETS)) % PRIME % count
    return found


def fitted(values: Exact, at: NDArray[np.int64], importance: Exact, count: int) -> tuple[Exact, Exact]:
    """Buckets (count, width) and weights (rows, 2) of the least squared error, by turns: each is linear in the
    other."""
    weights: Exact = np.ones((len(values), 2))
    for _ in range(ROUNDS):
        buckets = best_buckets(values, at, weights, importance, count)
        own = buckets[at]
        squares: Exact = np.einsum("rkw,rjw->rkj", own, own) + SMALL_RIDGE * np.eye(2)
        wanted: Exact = np.einsum("rkw,rw->rk", own, values)
        weights = np.asarray(np.linalg.solve(squares, wanted[..., None])[..., 0], np.float64)
    return buckets, weights


def best_buckets(
    values: Exact, at: NDArray[np.int64], weights: Exact, importance: Exact, count: int
) -> Exact:
    """Buckets for given weights: the normal equations of all rows together."""
    pairs = (at[:, :, None] * count + at[:, None, :]).ravel()
    shares = importance[:, None, None] * weights[:, :, None] * weights[:, None, :]
    squares = np.bincount(pairs, shares.ravel(), count * count).reshape(count, count)
    weighted = importance[:, None] * weights
    wanted = np.stack(
        [np.bincount(at.ravel(), (weighted * one[:, None]).ravel(), count) for one in values.T], axis=1
    )
    found: Exact = np.asarray(np.linalg.solve(squares + RIDGE * np.eye(count), wanted), np.float64)
    return found


def assembling(name: str) -> list[onnx.NodeProto]:
    """Once, when the graph is loaded: `<name>.float` (rows, width)."""
    from onnx import TensorProto

    node = nodes_below(name)
    return [
        node("Range", ["zero", "rows", "one"], "numbers"),
        node("Reshape", ["numbers", "upright"], "number"),
        node("Mul", ["number", "factors"], "scaled"),
        node("Add", ["scaled", "offsets"], "moved"),
        node("Mod", ["moved", "prime"], "hashed"),
        node("Mod", ["hashed", "count"], "at"),
        node("Cast", ["buckets"], "vectors", to=TensorProto.FLOAT),
        node("Gather", ["vectors", "at"], "both", axis=0),
        node("Cast", ["weights"], "shares", to=TensorProto.FLOAT),
        node("Mul", ["both", "shares"], "parts"),
        node("ReduceSum", ["parts", "pair"], "float", keepdims=0),
    ]
