"""Embedding tables whose rows share their pieces: product quantization.

A row is cut into pieces of four numbers; for each place of a piece 256 representatives are found (k-means), and a row
keeps one byte per piece: sixteen bytes for 64 numbers, and the representatives once (Jégou, Douze, Schmid, *Product
Quantization for Nearest Neighbor Search*, PAMI 2011). It is what hashing a table's rows into shared ones comes to
when the model is trained already: hash functions fix in advance which rows share, so the rest of the model has to be
trained with them (Svenstrup et al., *Hash Embeddings*, 2017; Shi et al., *Compositional Embeddings*, 2020); here
rows share where they are alike. Where the use case gives training traffic, a row weighs with the square root of its
lookups, so that what is asked for often is kept closest. Tables of fewer rows than `FEWEST`, for which the
representatives would weigh as much as they save, go into packed int4.

Read like `embedding-int4`: put together once, when the graph is loaded.
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

PIECE = 4
REPRESENTATIVES = 256
FEWEST = 16 * REPRESENTATIVES
ROUNDS = 15
LEARNED_FROM = 32_768
"""Rows at most that representatives are found on; all rows are then assigned."""
AT_ONCE = 16_384
SEED = 7


class EmbeddingCodebook(TablePass):
    """One byte for four numbers, for large tables that Gather reads."""

    name: ClassVar[str] = "embedding-codebook"
    title: ClassVar[str] = "embedding tables by shared pieces of rows"
    about: ClassVar[str] = "https://doi.org/10.1109/TPAMI.2010.57"

    by_traffic: ClassVar[bool] = True

    def store(self, name: str, values: Floats, seen: Counts | None) -> Stored | None:
        """`pieces` (rows, width / 4) of bytes and `shared` (width / 4 * 256, 4) in half precision; small tables in
        int4."""
        rows, width = values.shape
        if rows < FEWEST or width % PIECE:
            return in_int4(name, values)
        weight = np.ones(rows) if seen is None else np.sqrt(seen + 1.0)
        generator = np.random.default_rng(SEED)
        places = range(width // PIECE)
        parts = [np.ascontiguousarray(values[:, PIECE * place : PIECE * (place + 1)]) for place in places]
        shared = [representatives(part, weight, generator) for part in parts]
        codes = [nearest(part, own).astype(np.uint8) for part, own in zip(parts, shared, strict=True)]
        arrays: dict[str, NDArray[Any]] = {
            "pieces": np.stack(codes, axis=1),
            "shared": np.concatenate(shared).astype(np.float16),
            "begins": np.arange(len(parts), dtype=np.int32) * REPRESENTATIVES,
            "whole": np.array([0, width], dtype=np.int64),
        }
        return Stored(arrays, lookup_in("float"), assembling(name))


def representatives(part: Floats, weight: NDArray[np.float64], generator: np.random.Generator) -> Floats:
    """256 weighted means of (rows, 4), by Lloyd's algorithm from random rows; the same for the same generator."""
    if len(part) > LEARNED_FROM:
        some = np.sort(generator.choice(len(part), LEARNED_FROM, replace=False))
        part, weight = part[some], weight[some]
    first = generator.choice(len(part), REPRESENTATIVES, replace=False, p=weight / weight.sum())
    means = part[first].astype(np.float64)
    for _ in range(ROUNDS):
        owner = nearest(part, means.astype(np.float32))
        total = np.bincount(owner, weight, REPRESENTATIVES)
        sums = np.stack(
            [np.bincount(owner, weight * column, REPRESENTATIVES) for column in part.T.astype(np.float64)],
            axis=1,
        )
        used = total > 0
        means[used] = sums[used] / total[used, None]
    # Rows are assigned by what is kept: half precision.
    return means.astype(np.float16).astype(np.float32)


def nearest(part: Floats, means: Floats) -> NDArray[np.int64]:
    """For each of (rows, 4) the place of the closest of `means`."""
    squares = np.square(means).sum(axis=1)
    found = [
        np.argmin(squares - 2 * (part[begin : begin + AT_ONCE] @ means.T), axis=1)
        for begin in range(0, len(part), AT_ONCE)
    ]
    return np.concatenate(found)


def assembling(name: str) -> list[onnx.NodeProto]:
    """Once, when the graph is loaded: `<name>.float` (rows, width)."""
    from onnx import TensorProto

    node = nodes_below(name)
    return [
        node("Cast", ["pieces"], "codes", to=TensorProto.INT32),
        node("Add", ["codes", "begins"], "at"),
        node("Cast", ["shared"], "means", to=TensorProto.FLOAT),
        node("Gather", ["means", "at"], "parts", axis=0),
        node("Reshape", ["parts", "whole"], "float"),
    ]
