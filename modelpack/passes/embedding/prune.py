"""Embedding rows that training hardly ever looked up give way to one shared row.

Traffic is counted on requests of the training period alone (`UseCase.traffic`): the graph's own lookups, so that it
works for any table behind any vocabulary. The rows least looked up, together at most `SHARE` of all lookups, become
one row, their mean weighted by traffic: what a rare product has in common with other rare ones. The other rows keep
their numbers; a map from old places to new is folded when the graph is loaded. (Ginart et al., *Mixed Dimension
Embeddings*, also size an embedding by how often it is asked for, but train it so.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from modelpack.passes.base import Inapplicable
from modelpack.passes.shared.tables import Counts, Floats, Lookup, Stored, TablePass

if TYPE_CHECKING:
    import onnx

SHARE = 0.01


class EmbeddingPrune(TablePass):
    """Fewer rows, by traffic in training."""

    name: ClassVar[str] = "embedding-prune"
    title: ClassVar[str] = "one embedding for all that is rarely asked for"
    about: ClassVar[str] = "https://arxiv.org/abs/1909.11810"

    by_traffic: ClassVar[bool] = True

    def store(self, name: str, values: Floats, seen: Counts | None) -> Stored | None:
        """`kept` rows, the shared one first, and `place` (rows,); None where too few rows are rare to save anything."""
        if seen is None:
            raise Inapplicable("the use case gives no requests of its training period")
        rare = rarely(seen)
        others = np.flatnonzero(~rare)
        if rare.sum() < 2 or others.size + 1 > np.iinfo(np.uint16).max:
            return None
        weight = seen[rare].astype(np.float64) + 1e-9
        shared = np.average(values[rare], axis=0, weights=weight).astype(np.float32)
        place = np.zeros(len(values), dtype=np.uint16)
        place[others] = np.arange(1, others.size + 1)
        arrays = {"kept": np.concatenate([shared[None], values[others]]), "place": place}
        saved = values.nbytes - sum(array.nbytes for array in arrays.values())
        return Stored(arrays, look_up_moved) if saved > 0 else None


def rarely(seen: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The rows least looked up, as many as have at most `SHARE` of all lookups together."""
    order = np.argsort(seen, kind="stable")
    least = np.cumsum(seen[order]) <= SHARE * seen.sum()
    rare = np.zeros(len(seen), dtype=np.bool_)
    rare[order[least]] = True
    return rare


def look_up_moved(at: Lookup) -> list[onnx.NodeProto]:
    """A lookup of the new place, then of the row there."""
    from onnx import TensorProto, helper

    place, wide = f"{at.result}.place", f"{at.table}.wide{at.own}"
    return [
        helper.make_node("Cast", [f"{at.table}.place"], [wide], to=TensorProto.INT64),
        helper.make_node("Gather", [wide, at.index], [place], f"{at.own}.place", axis=0),
        helper.make_node("Gather", [f"{at.table}.kept", place], [at.result], f"{at.own}.rows", axis=0),
    ]
